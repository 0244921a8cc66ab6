//! # exec and port-forward reach pods on every node
//!
//! ## Why
//! They are how people look into a pod when it matters, and they take another way than logs: the API server turns its request
//! into a stream, and the kubelet passes that on to the container runtime. A load balancer that does not let streams through,
//! or a packet filter on the node, breaks them and nothing else.
//!
//! ## Fix
//! The message says where it ends. An address of the loopback interface: the kubelet does not reach its runtime's streaming
//! server, look at the packet filter of the node that is named. "dial tcp" to port 10250, "Forbidden" or "x509": see KL-09.
//! When all nodes fail and KL-09 passes, something before the API server does not let connections be upgraded: try `kubectl
//! exec` with the address of a control-plane node as `--server`.
//!
//! ## Source
//! <https://kubernetes.io/docs/tasks/debug/debug-application/get-shell-running-container/>; kubernetes/kubernetes
//! `pkg/registry/core/pod/rest/subresources.go`, `pkg/kubelet/server/server.go`, `staging/src/k8s.io/kubelet/pkg/cri/streaming`.
//! In this program's own pods, on up to 20 nodes: `seaworthy --version` is executed, and an exchange with the pod's own port
//! goes through a forwarded one. Only the profile ci does so, because the right to is one on all pods where each run makes its
//! own namespace.

use std::collections::{BTreeMap, BTreeSet};

use super::api_server_to_kubelet::Cause;
use crate::check::{Subject, Verdict};
use crate::fact::facts::kubelet_logs::Came;
use crate::fact::facts::pod_streams::PodStreams;

crate::check!("KL-14", "exec-and-port-forward", Major, judge);

fn judge(streams: &PodStreams) -> Verdict {
    let mut verdict = Verdict::new();
    let mut broken: BTreeMap<(&str, Cause), (BTreeSet<String>, String)> = BTreeMap::new();
    verdict.each(
        &streams.asked,
        |node| Subject::node(node),
        |verdict, node, answers| {
            for (way, came) in [("exec", &answers.exec), ("port-forward", &answers.port_forward)] {
                verdict.confirm();
                let (cause, words) = match came {
                    Came::Wanted => continue,
                    Came::Error { message, .. } => (Cause::of(message), message.clone()),
                    Came::Nothing { after_ms } => (Cause::Network, format!("no answer within {after_ms} ms")),
                };
                let first = || (BTreeSet::new(), format!("for {}: {words}", answers.pod));
                broken.entry((way, cause)).or_insert_with(first).0.insert(node.clone());
            }
        },
    );
    for ((way, cause), (nodes, words)) in broken {
        let expected = format!("{way} reaches a pod through the API server and the kubelet");
        verdict.tell_counted(Subject::nodes(&nodes), cause.difference(&expected, &words));
    }
    if streams.others > 0 {
        verdict.note(format!(
            "{} of {} nodes were asked about",
            streams.asked.len(),
            streams.asked.len() + streams.others
        ));
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
    fn one_cause_on_several_nodes_is_told_once_for_each_way() {
        let refused = || error("dial tcp 127.0.0.1:42613: connect: connection refused");
        let verdict = judged([Ok((refused(), Came::Wanted)), Ok((refused(), Came::Nothing { after_ms: 5000 }))]);
        assert_eq!(
            seen_of(&verdict),
            [
                "Nodes n1, n2: for p0: dial tcp 127.0.0.1:42613: connect: connection refused",
                "Node n2: for p1: no answer within 5000 ms"
            ]
        );
        assert!(verdict.findings(Severity::Major)[0].impact.as_deref().unwrap().contains("while logs work"));
    }

    #[test]
    fn what_we_may_not_do_is_undecided() {
        let refused = Unobserved::Refused { missing: "create pods/exec".into(), message: "forbidden".into() };
        assert_eq!(judged([Ok((Came::Wanted, Came::Wanted)), Err(refused)]).gaps().len(), 1);
    }
}
