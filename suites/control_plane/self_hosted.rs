//! # No parts of a self-hosted control plane remain
//!
//! ## Why
//! Self-hosted control planes ran as Deployments and DaemonSets of their own cluster. No supported kubeadm or kubelet handles
//! them. Leftovers either run beside the static pods, with old versions and flags, or block the next upgrade.
//!
//! ## Fix
//! If the static pods are complete (CP-03), delete the leftovers with the command of the finding. If not, move the control
//! plane to static pods first.
//!
//! ## Source
//! kubernetes/enhancements KEP-378 (historical); kubernetes/kubernetes `cmd/kubeadm` no longer has a phase for it, and
//! the kubelet has no checkpoints to start it from. A second scheduler that runs as a Deployment is common and not reported.

use crate::check::{Finding, Verdict};
use crate::fact::facts::system_workloads::{SystemWorkloads, Workload};
use crate::suites::rights;

crate::check!("CP-04", "self-hosted", Info, judge);

/// Programs that are always part of a control plane.
const PROGRAMS: [&str; 2] = ["kube-apiserver", "kube-controller-manager"];
/// Name prefixes that the tools of that time used.
const NAMES: [&str; 2] = ["self-hosted-", "bootkube"];
const NAMED: [&str; 4] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "pod-checkpointer"];

fn judge(workloads: &SystemWorkloads) -> Verdict {
    let mut verdict = Verdict::new();
    if workloads.0.is_empty() {
        return verdict.does_not_apply("kube-system has no Deployments and no DaemonSets");
    }
    for (object, workload) in &workloads.0 {
        let reason = reason(&object.name, workload);
        verdict.expect(object.into(), reason.is_none(), || {
            Finding::new("the control plane consists of static pods only", reason.unwrap_or_default())
                .impact("the cluster cannot be upgraded in place, or an old control plane runs beside the new one")
                .fix(format!(
                    "check that static pods run the control plane (kubectl -n kube-system get pods -l \
                     tier=control-plane -o wide); if they do, and only then: kubectl delete {}",
                    rights::object(object)
                ))
                .managed_by(workload.manager.as_ref())
        });
    }
    verdict
}

/// Why a workload looks like part of a control plane.
fn reason(name: &str, workload: &Workload) -> Option<String> {
    if NAMES.iter().any(|prefix| name.starts_with(prefix)) || NAMED.contains(&name) {
        return Some("the workload has the name of a part of a self-hosted control plane".into());
    }
    let runs = workload.images.values().chain(&workload.programs).find(|runs| PROGRAMS.contains(&program(runs)))?;
    Some(format!("the workload runs {runs}"))
}

/// The last part of an image's or a program's path, without tag and digest.
fn program(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split(['@', ':']).next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::object_ref::testing::object;

    fn judged(path: &str, runs: &[&str]) -> Vec<Finding> {
        let runs = runs.iter().map(ToString::to_string).collect();
        judge(&SystemWorkloads([(object(path), Workload { programs: runs, ..Workload::default() })].into()))
            .findings(Severity::Info)
    }

    #[test]
    fn add_ons_and_a_second_scheduler_are_not_a_control_plane() {
        assert!(judged("Deployment kube-system/coredns", &["registry.k8s.io/coredns/coredns:v1.14.2"]).is_empty());
        assert!(judged("DaemonSet kube-system/kube-proxy", &["registry.k8s.io/kube-proxy:v1.37.2"]).is_empty());
        assert!(judged("Deployment kube-system/my-scheduler", &["registry.k8s.io/kube-scheduler:v1.37.2"]).is_empty());
    }

    #[test]
    fn parts_are_known_by_name_image_and_program() {
        let by_name = judged("DaemonSet kube-system/self-hosted-kube-scheduler", &["scheduler:1"]);
        let fix = &by_name[0].fix;
        assert!(
            fix.ends_with("only then: kubectl delete daemonset self-hosted-kube-scheduler -n kube-system"),
            "{fix}"
        );
        assert!(judged("DaemonSet kube-system/pod-checkpointer", &[]).len() == 1);
        let by_image = judged("DaemonSet kube-system/api", &["registry.example:5000/kube-apiserver:v1.13.0@sha256:0"]);
        assert_eq!(by_image[0].seen, "the workload runs registry.example:5000/kube-apiserver:v1.13.0@sha256:0");
        assert!(
            judged("Deployment kube-system/kcm", &["hyperkube:v1.10", "/usr/bin/kube-controller-manager"]).len() == 1
        );
    }

    #[test]
    fn nothing_to_look_at_is_not_a_pass() {
        assert!(judge(&SystemWorkloads::default()).reason().is_some());
    }
}
