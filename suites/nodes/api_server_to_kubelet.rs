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
use std::net::IpAddr;

use crate::check::finding::Difference;
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::kubelet_logs::{Came, KubeletLogs, UNKNOWN_TO_KUBELET};
use crate::fact::facts::nodes::{Node, Nodes};
use crate::seen::Unobserved;

crate::check!(
    "KL-09",
    "api-server-to-kubelet",
    Critical,
    judge,
    builds_on: ["AA-22", "KL-01", "KL-12", "KL-13", "PK-08", "PK-09"]
);

const LOG: &str = "the API server can fetch the last line of a pod's log from the kubelet";

fn judge(logs: &KubeletLogs, nodes: Result<&Nodes, &Unobserved>) -> Verdict {
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
            Came::Error { status: 400, message } if is_of_kubelet(message) => {
                verdict.note_about(Subject::node(node), format!("pod {}: the kubelet answered: {message}", answer.pod));
                verdict.confirm();
                continue;
            }
            Came::Error { status, message } => {
                // Another kubelet that has the address does not have the pod.
                let sharing = nodes.ok().filter(|_| *status == 404).and_then(|nodes| sharing(nodes, node));
                match sharing {
                    Some((address, others)) => (
                        Cause::SharedAddress,
                        format!("HTTP {status}: {message}; {others} has the address {address} too"),
                    ),
                    None => (Cause::of(message), format!("HTTP {status}: {message}")),
                }
            }
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

/// Whether a kubelet wrote this: it was reached, and the container that was asked about does not run at the moment.
fn is_of_kubelet(message: &str) -> bool {
    message.starts_with("container \"")
        && [" is not available", " is waiting to start: ", " is terminated"].iter().any(|state| message.contains(state))
}

/// An address of a node that others have too, and those others.
fn sharing(nodes: &Nodes, name: &str) -> Option<(IpAddr, String)> {
    nodes.0.get(name)?.internal_addresses().find_map(|address| {
        let has_it = |node: &Node| node.internal_addresses().any(|other| other == address);
        let others = nodes.0.iter().filter(|(other, node)| *other != name && has_it(node));
        let others: Vec<&str> = others.map(|(other, _)| other.as_str()).collect();
        (!others.is_empty()).then(|| (address, others.join(", ")))
    })
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
            let finding = cause.difference(expected, &seen).evidence_of(all.iter().skip(1).cloned());
            verdict.find_together(all.iter().map(|(node, _)| node.clone()), all.len(), finding);
        }
    }
}

/// How proxies refuse to connect: a client in Go reports the words of the status line after the URL in quotes.
const REFUSALS_OF_PROXIES: [&str; 6] = [
    "\": Forbidden",
    "\": Bad Gateway",
    "\": Service Unavailable",
    "\": Gateway Timeout",
    "\": Proxy Authentication Required",
    "\": Method Not Allowed",
];

/// Where the path ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    Runtime,
    SharedAddress,
    Proxy,
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
        } else if has(&["proxyconnect"]) || REFUSALS_OF_PROXIES.iter().any(|words| message.ends_with(words)) {
            Self::Proxy
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
                .impact("the kubelet cannot connect to the streaming server of its container runtime: exec, attach and port-forward fail, but logs work")
                .fix("on these nodes, let the packet filter accept traffic on the interface lo"),
            Self::SharedAddress => finding
                .impact("the API server reaches the kubelet of another node: logs, exec and port-forward of these nodes' pods fail or reach a pod of the same name there")
                .fix("give each node its own address: in /var/lib/kubelet/kubeadm-flags.env of all but one of them, set --node-ip to an address that only this node has, then systemctl restart kubelet (KL-12)"),
            Self::Proxy => finding
                .impact("the API server sends its requests to kubelets to an HTTP proxy: logs, exec and port-forward fail, and so do webhooks and aggregated APIs")
                .fix("on each control-plane node, in /etc/kubernetes/manifests/kube-apiserver.yaml, remove HTTPS_PROXY from env, or add the addresses of the nodes, the pod network and the Service range to NO_PROXY; kubeadm copies these variables from the shell that it runs in"),
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
        judge(&KubeletLogs { asked: asked.collect(), others: 0 }, Ok(&nodes(&["10.77.0.11", "10.77.0.12"])))
    }

    fn nodes(addresses: &[&str]) -> Nodes {
        let node =
            |address: &&str| Node { addresses: vec![("InternalIP".into(), (*address).into())], ..Node::default() };
        Nodes(addresses.iter().zip(1..).map(|(address, i)| (format!("n{i}"), node(address))).collect())
    }

    #[test]
    fn a_kubelet_that_answers_for_another_node_differs_from_a_pod_that_was_deleted() {
        let message = "the server could not find the requested resource ( pods/log kube-proxy-x)".to_owned();
        let came = Came::Error { status: 404, message };
        let asked = [("n2".to_owned(), Ok(LogAnswer { pod: "kube-proxy-x".into(), came }))].into();
        let logs = KubeletLogs { asked, others: 0 };
        let shared = judge(&logs, Ok(&nodes(&["10.77.0.11", "10.77.0.12", "10.77.0.12"])));
        assert!(seen_of(&shared)[0].ends_with("n3 has the address 10.77.0.12 too"), "{:?}", seen_of(&shared));
        let own = seen_of(&judge(&logs, Ok(&nodes(&["10.77.0.11", "10.77.0.12"]))));
        assert!(own.len() == 1 && !own[0].contains("too"), "{own:?}");
        assert_eq!(seen_of(&judge(&logs, Err(&Unobserved::Interrupted))), own);
    }

    #[test]
    fn a_kubelet_that_reports_the_state_of_a_container_was_reached() {
        let answer = |status, message: &str| judged([Ok(Came::Error { status, message: message.into() })]);
        let verdict = answer(400, "container \"kube-scheduler\" in pod \"kube-scheduler-n1\" is not available");
        assert_eq!((verdict.observations(), seen_of(&verdict)), (1, vec![]));
        assert_eq!(verdict.notes().len(), 1);
        assert_eq!(seen_of(&answer(400, "container c is not valid for pod p")).len(), 1);
        assert_eq!(seen_of(&answer(500, "container \"a\" in pod \"b\" is not available")).len(), 1);
    }

    #[test]
    fn a_proxy_before_the_kubelets_differs_from_a_closed_port() {
        let get = "Get \"https://10.77.0.12:10250/containerLogs/kube-system/p/c?tailLines=1\"";
        let refused = "proxyconnect tcp: dial tcp 10.77.0.1:3128: connect: connection refused";
        assert!(Cause::of(&format!("{get}: {refused}")) == Cause::Proxy);
        assert!(Cause::of(&format!("{get}: Forbidden")) == Cause::Proxy);
        assert!(Cause::of(&format!("{get}: dial tcp 10.77.0.12:10250: i/o timeout")) == Cause::Network);
        let rights = "Forbidden (user=kube-apiserver-kubelet-client, verb=get, resource=nodes)";
        assert!(Cause::of(rights) == Cause::Rights);
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
    fn a_blocked_node_is_distinguished_from_an_untrusted_one() {
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
    fn what_we_may_not_ask_is_inconclusive() {
        let refused = Unobserved::Refused { missing: "get pods/log".into(), message: "forbidden".into() };
        assert_eq!(judged([Ok(Came::Wanted), Err(refused)]).gaps().len(), 1);
    }
}
