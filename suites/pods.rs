//! What checks about pods that do not work share.

use crate::fact::facts::pods::{Container, Pod};

/// How often a container that has just failed was restarted before, if it fails again and again.
const FAILED_BEFORE: i32 = 2;

/// The exit code with which a container's program has just ended, if it did so again and again. The kubelet reports
/// CrashLoopBackOff when it next looks at the pod, which may be a minute later.
pub(super) fn failed_again(container: &Container) -> Option<i32> {
    container.failed.filter(|_| container.restarts >= FAILED_BEFORE)
}

/// Why a pod is not Ready: its phase, and what its containers and its condition report.
pub(super) fn why_not_ready(pod: &Pod) -> String {
    let waiting = pod.containers.iter().filter_map(|container| container.waiting.as_deref());
    let all = [pod.phase.as_str()].into_iter().chain(waiting).chain([pod.not_ready_because.as_str()]);
    all.filter(|why| !why.is_empty()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::pods::testing::static_pod;

    #[test]
    fn a_pod_that_is_not_ready_has_a_reason() {
        let (_, mut pod) = static_pod("etcd", "n1", &[]);
        pod.phase = "Running".into();
        assert_eq!(why_not_ready(&pod), "Running");
        pod.containers[0].waiting = Some("CrashLoopBackOff".into());
        pod.not_ready_because = "containers with unready status: [etcd]".into();
        assert_eq!(why_not_ready(&pod), "Running, CrashLoopBackOff, containers with unready status: [etcd]");
    }

    #[test]
    fn one_failure_is_not_a_crash_loop() {
        let failed = |code, restarts| failed_again(&Container { failed: code, restarts, ..Container::default() });
        assert_eq!([failed(Some(1), 2), failed(Some(1), 1), failed(None, 9)], [Some(1), None, None]);
    }
}
