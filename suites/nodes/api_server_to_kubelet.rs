//! # The API server gets through to every kubelet
//!
//! ## Why
//! `kubectl logs`, `exec` and `port-forward` go through the API server to the kubelet's port 10250. When that way is
//! blocked the cluster looks healthy, and nobody can look into a pod when it matters.
//!
//! ## Fix
//! The message says where it ends. "Forbidden (user=kube-apiserver-kubelet-client": its ClusterRoleBinding to
//! `system:kubelet-api-admin` is missing. "x509": the kubelet's certificate is not what
//! `--kubelet-certificate-authority` asks for. "refused", "no route" or a timeout: open TCP port 10250 from every
//! control-plane node to the node that is named, or repair the konnectivity agents.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/registry/core/pod/rest/log.go`, `pkg/kubelet/server/auth.go`;
//! <https://kubernetes.io/docs/concepts/architecture/control-plane-node-communication/>. One line of the log of one pod of
//! kube-system on each node is asked for, on up to 20 nodes, and not kept.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::finding::Difference;
use crate::check::{Finding, Subject, Verdict};
use crate::cluster::reply::UNKNOWN_TO_KUBELET;
use crate::fact::facts::kubelet_logs::{Came, KubeletLogs};

crate::check!("KL-09", "api-server-to-kubelet", Critical, judge);

const LOG: &str = "the API server fetches the last line of a pod's log from the kubelet";

fn judge(logs: &KubeletLogs) -> Verdict {
    let mut verdict = Verdict::new();
    // Addresses and names differ from node to node while the cause is one.
    let mut broken: BTreeMap<Cause, (BTreeSet<String>, String)> = BTreeMap::new();
    verdict.each(
        &logs.asked,
        |node| Subject::node(node),
        |verdict, node, answer| {
            verdict.confirm();
            let (cause, words) = match &answer.came {
                Came::Wanted => return,
                Came::Error { status, message } => (Cause::of(message), format!("HTTP {status}: {message}")),
                Came::Nothing { after_ms } => (Cause::Network, format!("no answer within {after_ms} ms")),
            };
            let (nodes, _) =
                broken.entry(cause).or_insert_with(|| (BTreeSet::new(), format!("for {}: {words}", answer.pod)));
            nodes.insert(node.clone());
        },
    );
    for (cause, (nodes, words)) in broken {
        verdict.tell_counted(Subject::nodes(&nodes), cause.difference(LOG, &words));
    }
    if logs.others > 0 {
        verdict.note(format!("{} of {} nodes were asked about", logs.asked.len(), logs.asked.len() + logs.others));
    }
    verdict
}

/// Where the way ends.
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
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        // The kubelet's own way to the runtime is all that leads to its loopback address.
        if says(&["127.0.0.1:", "[::1]:", "localhost:"]) {
            Self::Runtime
        } else if says(&["Forbidden (user=", UNKNOWN_TO_KUBELET]) {
            Self::Rights
        } else if says(&["x509", "tls:", "certificate"]) {
            Self::Certificate
        } else if says(&["dial tcp", "timeout", "no route", "connection refused", "connection reset", "EOF", "agent"]) {
            Self::Network
        } else {
            Self::Other
        }
    }

    pub(super) fn difference(self, expected: &str, words: &str) -> Difference {
        let finding = Finding::new(expected, words);
        match self {
            Self::Runtime => finding
                .so("the kubelet does not get through to its container runtime's streams: exec, attach and port-forward fail there, while logs work")
                .mend("let the packet filter of these nodes pass what goes over the interface lo"),
            Self::Rights => finding
                .so("the kubelets do not let the API server in: logs, exec and port-forward fail for everybody")
                .mend(
                    "kubectl create clusterrolebinding kubeadm:apiserver-kubelet-client --clusterrole=system:kubelet-api-admin \
                     --user=kube-apiserver-kubelet-client",
                ),
            Self::Certificate => finding
                .so("the API server does not trust the kubelet's certificate: logs, exec and port-forward fail there")
                .mend("approve the node's serving certificate (kubectl get csr), or remove --kubelet-certificate-authority"),
            Self::Network => finding
                .so("logs, exec and port-forward fail for all pods there, and so does metrics-server")
                .mend("open TCP port 10250 from the control-plane nodes to these nodes"),
            Self::Other => finding.so("logs, exec and port-forward fail for pods there"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::seen_of;
    use crate::fact::facts::kubelet_logs::LogAnswer;
    use crate::seen::{Seen, Unobserved};

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
        assert!(seen_of(&verdict)[0].starts_with("Nodes n1, n2, n3: for kube-proxy-0: HTTP 500: Forbidden"));
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
        assert_eq!(subjects, ["Node n3", "Nodes n2, n4"]);
    }

    #[test]
    fn what_we_may_not_ask_is_undecided() {
        let refused = Unobserved::Refused { missing: "get pods/log".into(), message: "forbidden".into() };
        assert_eq!(judged([Ok(Came::Wanted), Err(refused)]).gaps().len(), 1);
    }
}
