//! # The API server reaches every kubelet
//!
//! ## Why
//! `kubectl logs`, `exec` and `port-forward` go through the API server to port 10250 of the kubelet. If that path is blocked,
//! the cluster looks healthy, but no one can look into a pod when it matters.
//!
//! ## Fix
//! The message shows where the path ends. "Forbidden (user=kube-apiserver-kubelet-client": its ClusterRoleBinding to
//! `system:kubelet-api-admin` is missing. "x509": the kubelet's certificate is not signed by the CA of
//! `--kubelet-certificate-authority`. "refused", "no route" or a timeout: open TCP port 10250 from every control-plane node to
//! the node that is named, or repair the konnectivity agents.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/registry/core/pod/rest/log.go`, `pkg/kubelet/server/auth.go`;
//! <https://kubernetes.io/docs/concepts/architecture/control-plane-node-communication/>. The check requests one line of the log of one
//! kube-system pod on each node, on up to 20 nodes, and does not keep it.

use std::collections::BTreeMap;

use crate::check::finding::Difference;
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::kubelet_logs::{Came, KubeletLogs, UNKNOWN_TO_KUBELET};
use crate::seen::Unobserved;

crate::check!(
    "KL-09",
    "api-server-to-kubelet",
    Critical,
    judge,
    builds_on: ["AA-22", "KL-01", "KL-13", "PK-08", "PK-09"]
);

const LOG: &str = "the API server can fetch the last line of a pod's log from the kubelet";

fn judge(logs: &KubeletLogs) -> Verdict {
    let mut verdict = Verdict::new();
    let mut broken = Broken::default();
    for (node, answer) in &logs.asked {
        // A pod that is replaced meanwhile, as by a rollout, is not a fault.
        if let Err(Unobserved::Absent { evidence }) = answer {
            verdict.note_about(Subject::node(node), evidence);
            continue;
        }
        let Some(answer) = verdict.seen(|| Subject::node(node), answer) else { continue };
        let (cause, words) = match &answer.came {
            Came::Wanted => {
                verdict.confirm();
                continue;
            }
            Came::Error { status, message } => (Cause::of(message), format!("HTTP {status}: {message}")),
            Came::Nothing { after_ms } => (Cause::Network, format!("no answer within {after_ms} ms")),
        };
        broken.add(cause, node, &answer.pod, &words);
    }
    broken.report(&mut verdict, LOG);
    if logs.others > 0 {
        verdict.note(format!("{} of {} nodes were sampled", logs.asked.len(), logs.asked.len() + logs.others));
    }
    verdict
}

/// Paths to kubelets that are broken, by cause: addresses and names differ from node to node while the cause is one.
#[derive(Default)]
pub(super) struct Broken(BTreeMap<Cause, Vec<(Subject, String)>>);

impl Broken {
    pub(super) fn add(&mut self, cause: Cause, node: &str, pod: &str, words: &str) {
        self.0.entry(cause).or_default().push((Subject::node(node), format!("pod {pod}: {words}")));
    }

    /// One finding for each cause.
    pub(super) fn report(self, verdict: &mut Verdict, expected: &str) {
        for (cause, all) in self.0 {
            let seen = all.first().map(|(_, words)| words.clone()).unwrap_or_default();
            let finding = cause.difference(expected, &seen).evidence(all.iter().skip(1).map(|(_, words)| words));
            verdict.find_together(all.iter().map(|(node, _)| node.clone()), all.len(), finding);
        }
    }
}

/// Where the path ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    Runtime,
    Rights,
    Certificate,
    Network,
    Other,
}

impl Cause {
    pub(super) fn of(message: &str) -> Self {
        let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
        // Only the kubelet's own path to the runtime leads to its loopback address.
        if has(&["127.0.0.1:", "[::1]:", "localhost:"]) {
            Self::Runtime
        } else if has(&["Forbidden (user=", UNKNOWN_TO_KUBELET]) {
            Self::Rights
        } else if has(&["x509", "tls:", "certificate"]) {
            Self::Certificate
        } else if has(&["dial tcp", "timeout", "no route", "connection refused", "connection reset", "EOF", "agent"]) {
            Self::Network
        } else {
            Self::Other
        }
    }

    pub(super) fn difference(self, expected: &str, words: &str) -> Difference {
        let finding = Finding::new(expected, words);
        match self {
            Self::Runtime => finding
                .impact("the kubelet cannot connect to the streaming server of its container runtime: exec, attach and port-forward fail, logs work")
                .fix("on these nodes, let the packet filter accept traffic on the interface lo"),
            Self::Rights => finding
                .impact("the kubelets refuse the API server: logs, exec and port-forward fail for everyone")
                .fix(
                    "kubectl create clusterrolebinding kubeadm:apiserver-kubelet-client --clusterrole=system:kubelet-api-admin \
                     --user=kube-apiserver-kubelet-client",
                ),
            Self::Certificate => finding
                .impact("the API server does not trust the kubelet's certificate: logs, exec and port-forward fail there")
                .fix("approve the serving certificates of these nodes (kubectl get csr), or remove --kubelet-certificate-authority from kube-apiserver"),
            Self::Network => finding
                .impact("logs, exec and port-forward fail for all pods on these nodes, and metrics-server cannot scrape them")
                .fix("open TCP port 10250 from the control-plane nodes to these nodes"),
            Self::Other => finding
                .impact("logs, exec and port-forward fail for pods on these nodes")
                .fix("read the log of the kubelet on these nodes: journalctl -u kubelet -e"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::seen_of;
    use crate::fact::facts::kubelet_logs::LogAnswer;
    use crate::seen::Seen;

    fn judged(came: impl IntoIterator<Item = Seen<Came>>) -> Verdict {
        let asked = came.into_iter().enumerate().map(|(i, came)| {
            (format!("n{}", i + 1), came.map(|came| LogAnswer { pod: format!("kube-proxy-{i}"), came }))
        });
        judge(&KubeletLogs { asked: asked.collect(), others: 0 })
    }

    #[expect(clippy::unnecessary_wraps, reason = "facts hold what was seen, or why not")]
    fn error(message: &str) -> Seen<Came> {
        Ok(Came::Error { status: 500, message: message.into() })
    }

    #[test]
    fn logs_of_every_node_pass() {
        let verdict = judged([Ok(Came::Wanted), Ok(Came::Wanted)]);
        assert_eq!((verdict.observations(), seen_of(&verdict)), (2, vec![]));
    }

    #[test]
    fn one_missing_binding_is_one_finding() {
        let refused =
            || error("Forbidden (user=kube-apiserver-kubelet-client, verb=get, resource=nodes, subresource=log)");
        let verdict = judged([refused(), refused(), refused()]);
        assert_eq!(seen_of(&verdict).len(), 1);
        assert!(seen_of(&verdict)[0].starts_with("Node n1, n2, n3: pod kube-proxy-0: HTTP 500: Forbidden"));
    }

    #[test]
    fn a_blocked_node_is_told_from_an_untrusted_one() {
        let verdict = judged([
            Ok(Came::Wanted),
            error(
                "Get \"https://10.77.0.12:10250/containerLogs\": dial tcp 10.77.0.12:10250: connect: connection refused",
            ),
            error("tls: failed to verify certificate: x509: certificate signed by unknown authority"),
            Ok(Came::Nothing { after_ms: 5000 }),
        ]);
        let subjects: Vec<_> =
            seen_of(&verdict).into_iter().map(|line| line.split(':').next().unwrap().to_owned()).collect();
        assert_eq!(subjects, ["Node n3", "Node n2, n4"]);
    }

    #[test]
    fn a_pod_that_is_deleted_meanwhile_is_a_note() {
        let verdict = judged([Ok(Came::Wanted), Err(Unobserved::absent("pod kube-proxy-1 was deleted"))]);
        assert_eq!((verdict.observations(), verdict.gaps().len(), verdict.notes().len()), (1, 0, 1));
        assert_eq!(judged([Err(Unobserved::absent("pod kube-proxy-0 was deleted"))]).observations(), 0);
    }

    #[test]
    fn what_we_may_not_ask_is_undecided() {
        let refused = Unobserved::Refused { missing: "get pods/log".into(), message: "forbidden".into() };
        assert_eq!(judged([Ok(Came::Wanted), Err(refused)]).gaps().len(), 1);
    }
}
