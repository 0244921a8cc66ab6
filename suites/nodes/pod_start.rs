//! # A new pod starts on every node that is Ready
//!
//! ## Why
//! A kubelet reports that its node is Ready while its network plugin has no free address, its runtime cannot create
//! containers, or its disk refuses new files. Pods that run there keep running, and the scheduler keeps choosing the
//! node: whatever is new, restarted or moved hangs in ContainerCreating.
//!
//! ## Fix
//! Keep new pods away (`kubectl cordon NODE`) and read why on the node: `journalctl -u kubelet -e`, `journalctl -u
//! containerd -e`, `crictl info`. Usual causes: no free pod address (addresses that the network plugin did not release,
//! in `/var/lib/cni/networks`), a missing plugin in `/opt/cni/bin`, no free inode or process id.
//!
//! ## Source
//! <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/>; kubernetes/kubernetes
//! `pkg/kubelet/nodestatus/setters.go` (what Ready depends on). The pod of a run's probe is what must start. The Events of the
//! pod show that its kubelet has tried and failed; a pod that is only late, or whose image is missing, is inconclusive.

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::nodes::{Node, Nodes};
use crate::fact::facts::probe_reports::{CANNOT_START, ProbeReports};

crate::check!("KL-16", "pod-start", Critical, judge, builds_on: ["CN-01", "CP-15", "KL-01"]);

fn judge(nodes: &Nodes, reports: &ProbeReports) -> Verdict {
    let mut verdict = Verdict::new();
    for (name, report) in &reports.0 {
        let subject = || Subject::node(name);
        let Err(why) = &report.answers else {
            verdict.confirm();
            continue;
        };
        let how = report.not_started().filter(|_| nodes.0.get(name).is_some_and(Node::is_ready));
        let Some(how) = how else {
            verdict.unseen(subject(), why);
            continue;
        };
        let events: Vec<&String> = report.events.iter().flatten().flatten().collect();
        // One that is only late may be busy, or may have lost the API server for a while.
        if !has_failed(how, &events) {
            verdict.unseen(subject(), why);
            continue;
        }
        verdict.find(
            subject(),
            Finding::new("the kubelet of a node that is Ready starts a new pod", "it did not start the probe's pod")
                .evidence([format!("{name}: {how}")])
                .evidence(events.iter().map(|event| format!("{name}: {event}")))
                .impact(
                    "pods that are new, restarted or moved do not run there, and the scheduler keeps choosing the node",
                )
                .fix(format!(
                    "keep new pods away: kubectl cordon {name}; then read why on {name}: journalctl -u kubelet -e; \
                     journalctl -u containerd -e"
                )),
        );
    }
    verdict
}

/// Whether the kubelet has tried to start the pod and failed: it reports so in an Event, or as the reason why a container
/// waits.
fn has_failed(how: &str, events: &[&String]) -> bool {
    how.starts_with(CANNOT_START) || events.iter().any(|event| event.starts_with("Failed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::check::testing::seen_of;
    use crate::fact::facts::nodes::Condition;
    use crate::fact::facts::probe_reports::answers::Answers;
    use crate::fact::facts::probe_reports::testing::reports;
    use crate::seen::{Seen, Unobserved};

    fn judged(ready: &str, answers: Seen<Answers>, events: Option<Seen<Vec<String>>>) -> Verdict {
        let condition = Condition { status: ready.into(), reason: String::new(), message: String::new() };
        let node = Node { conditions: [("Ready".to_owned(), condition)].into(), ..Node::default() };
        let mut reports = reports([("n1", Answers::default())]);
        let report = reports.0.get_mut("n1").unwrap();
        (report.answers, report.events) = (answers, events);
        judge(&Nodes([("n1".to_owned(), node)].into()), &reports)
    }

    fn stuck() -> Seen<Answers> {
        Err(Unobserved::unreachable(
            "the kubelet",
            "the probe did not get beyond Pending, ContainerCreating within 20 s",
        ))
    }

    #[test]
    fn a_probe_that_answered_has_started() {
        assert_eq!(judged("True", Ok(Answers::default()), None).observations(), 1);
    }

    #[test]
    fn a_ready_node_that_starts_no_pod_is_found_with_the_reason() {
        let event = "FailedCreatePodSandBox: no IP addresses available in range set".to_owned();
        let verdict = judged("True", stuck(), Some(Ok(vec![event])));
        assert_eq!(seen_of(&verdict), ["Node n1: it did not start the probe's pod"]);
        let evidence = &verdict.findings(Severity::Critical)[0].evidence;
        assert!(evidence[0].contains("no IP addresses available"), "{evidence:?}");
    }

    #[test]
    fn a_pod_that_is_only_late_is_inconclusive() {
        let refused = Unobserved::Refused { missing: "list events".into(), message: "forbidden".into() };
        for events in [None, Some(Err(refused)), Some(Ok(vec!["Pulling: Pulling image".to_owned()]))] {
            let verdict = judged("True", stuck(), events);
            assert_eq!((verdict.observations(), verdict.gaps().len()), (0, 1));
        }
        let cause = format!("{CANNOT_START} (RunContainerError: exec format error)");
        let cannot = judged("True", Err(Unobserved::invalid("the probe on n1", cause)), None);
        assert_eq!(cannot.findings(Severity::Critical).len(), 1);
        assert_eq!(judged("Unknown", stuck(), None).gaps().len(), 1);
        let silent = Err(Unobserved::TimedOut { target: "the probe".into(), after_ms: 5 });
        assert_eq!(judged("True", silent, None).gaps().len(), 1);
    }
}
