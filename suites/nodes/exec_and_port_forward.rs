//! # exec and port-forward reach pods on every node
//!
//! ## Why
//! People use them to look into a pod when it matters, and they take another path than logs: the API server upgrades the
//! request to a stream, and the kubelet proxies it to the container runtime. A load balancer that does not support upgrades, or
//! a packet filter on the node, breaks them and nothing else.
//!
//! ## Fix
//! The message shows where the path ends. A loopback address: the kubelet cannot connect to its runtime's streaming server, so
//! check the packet filter of the node that is named. "dial tcp" to port 10250, "Forbidden" or "x509": see KL-09. If all nodes
//! fail and KL-09 passes, something in front of the API server does not support upgrades: try `kubectl exec` with the address of
//! a control-plane node as `--server`.
//!
//! ## Source
//! <https://kubernetes.io/docs/tasks/debug/debug-application/get-shell-running-container/>; kubernetes/kubernetes
//! `pkg/registry/core/pod/rest/subresources.go`, `pkg/kubelet/server/server.go`, `staging/src/k8s.io/kubelet/pkg/cri/streaming`.
//! In the run's own pods, on up to 20 nodes, the check executes `seaworthy --version` and exchanges data with the pod's port
//! through a forwarded one. Only the profile ci does this, because it needs a right on all pods if each run creates its own
//! namespace.

use super::api_server_to_kubelet::{Broken, Cause};
use crate::check::{Subject, Verdict};
use crate::fact::facts::kubelet_logs::Came;
use crate::fact::facts::pod_streams::PodStreams;

crate::check!("KL-14", "exec-and-port-forward", Major, judge, builds_on: ["KL-09"]);

fn judge(streams: &PodStreams) -> Verdict {
    let mut verdict = Verdict::new();
    let (mut exec, mut port_forward) = (Broken::default(), Broken::default());
    verdict.each(
        &streams.asked,
        |node| Subject::node(node),
        |verdict, node, answers| {
            for (broken, came) in [(&mut exec, &answers.exec), (&mut port_forward, &answers.port_forward)] {
                let (cause, words) = match came {
                    Came::Wanted => {
                        verdict.confirm();
                        continue;
                    }
                    Came::Error { message, .. } => (Cause::of(message), message.clone()),
                    Came::Nothing { after_ms } => (Cause::Network, format!("no answer within {after_ms} ms")),
                };
                broken.add(cause, node, &answers.pod, &words);
            }
        },
    );
    exec.report(&mut verdict, "exec reaches a pod through the API server and the kubelet");
    port_forward.report(&mut verdict, "port-forward reaches a pod through the API server and the kubelet");
    if streams.others > 0 {
        verdict.note(format!("{} of {} nodes were sampled", streams.asked.len(), streams.asked.len() + streams.others));
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::check::testing::seen_of;
    use crate::fact::facts::pod_streams::StreamAnswers;
    use crate::seen::{Seen, Unobserved};

    fn judged<const N: usize>(answers: [Seen<(Came, Came)>; N]) -> Verdict {
        let asked = answers.into_iter().enumerate().map(|(i, answers)| {
            let answers =
                answers.map(|(exec, port_forward)| StreamAnswers { pod: format!("p{i}"), exec, port_forward });
            (format!("n{}", i + 1), answers)
        });
        judge(&PodStreams { asked: asked.collect(), others: 0 })
    }

    fn error(message: &str) -> Came {
        Came::Error { status: 500, message: message.into() }
    }

    #[test]
    fn streams_into_pods_of_all_nodes_pass() {
        let verdict = judged([Ok((Came::Wanted, Came::Wanted)), Ok((Came::Wanted, Came::Wanted))]);
        assert_eq!((verdict.observations(), seen_of(&verdict)), (4, vec![]));
    }

    #[test]
    fn one_cause_on_several_nodes_is_one_finding_for_each_way() {
        let refused = || error("dial tcp 127.0.0.1:42613: connect: connection refused");
        let verdict = judged([Ok((refused(), Came::Wanted)), Ok((refused(), Came::Nothing { after_ms: 5000 }))]);
        assert_eq!(
            seen_of(&verdict),
            [
                "Node n1, n2: pod p0: dial tcp 127.0.0.1:42613: connect: connection refused",
                "Node n2: pod p1: no answer within 5000 ms"
            ]
        );
        assert!(verdict.findings(Severity::Major)[0].impact.as_deref().unwrap().contains("logs work"));
    }

    #[test]
    fn what_we_may_not_do_is_inconclusive() {
        let refused = Unobserved::Refused { missing: "create pods/exec".into(), message: "forbidden".into() };
        assert_eq!(judged([Ok((Came::Wanted, Came::Wanted)), Err(refused)]).gaps().len(), 1);
    }
}
