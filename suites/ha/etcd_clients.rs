//! # etcd refuses clients without a certificate
//!
//! ## Why
//! etcd holds all data of the cluster: a client that connects to it without a certificate reads every Secret and
//! becomes cluster-admin, past the API server, its authorization and its audit log. From a pod, it is one connection
//! away.
//!
//! ## Fix
//! In `/etc/kubernetes/manifests/etcd.yaml` on every control-plane node, set `--client-cert-auth=true`,
//! `--peer-client-cert-auth=true`, `--trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt` and `--peer-trusted-ca-file` to
//! the same file; let it listen at `https://` URLs only. Close ports 2379 and 2380 of control-plane nodes to all hosts
//! other than control-plane nodes. If it was open, treat every Secret as compromised.
//!
//! ## Source
//! <https://etcd.io/docs/latest/op-guide/security/>; kubernetes/kubernetes `cmd/kubeadm/app/phases/etcd/local.go`.
//! Probes on every node try a TLS handshake without a certificate; a closed port counts only where another port of the
//! same node answers or refuses the same probe, which is the control.

use std::net::SocketAddr;

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::pods::Pods;
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::{Fault, Got, Met, Reached, TlsMet, is_open};
use crate::ports::ETCD;
use crate::seen::Unobserved;
use crate::suites::node_path::{reaches, silent};

crate::check!("HA-04", "etcd-clients", Critical, judge, blocked_by: ["CN-04"]);

fn judge(nodes: &Nodes, pods: &Pods, reports: &ProbeReports) -> Verdict {
    if nodes.control_plane().next().is_none() {
        return Verdict::not_applicable("no node is marked as a control-plane node: etcd is not reachable from pods");
    }
    let mut verdict = Verdict::new();
    for (from, report) in &reports.0 {
        if let Err(why) = &report.answers {
            verdict.unseen(Subject::node(from), why);
        }
    }
    let mut is_open_somewhere = false;
    for (name, node) in nodes.control_plane() {
        for at in node.internal_addresses().flat_map(|ip| ETCD.map(|port| SocketAddr::new(ip, port))) {
            let (mut open, mut closed) = (0, 0);
            for (from, report) in &reports.0 {
                // Why a probe did not answer is counted above, once.
                let Ok(answers) = &report.answers else { continue };
                match met(&answers.reached, at) {
                    Some(Ok(Met::Tls(tls))) => {
                        open += 1;
                        judge_tls(&mut verdict, name, at, tls);
                    }
                    Some(other) if is_open(other) => {
                        open += 1;
                        judge_other(&mut verdict, (from, name), at, other);
                    }
                    Some(_) if reaches(answers, at.ip()) => {
                        closed += 1;
                        verdict.confirm();
                    }
                    _ => {}
                }
            }
            if open + closed == 0 {
                verdict.unseen(Subject::node(name), &silent(reports, name, at.ip()));
            }
            is_open_somewhere |= open > 0;
        }
    }
    if pods.static_pods("etcd").next().is_none() && !is_open_somewhere && verdict.saw_everything() {
        return verdict.does_not_apply(
            "etcd runs elsewhere: no pod of kube-system is a member, and its ports are closed on every control-plane \
             node",
        );
    }
    verdict
}

/// The result of a TLS handshake.
fn met(reached: &Reached, at: SocketAddr) -> Option<&Got<Met>> {
    reached.port(at.ip(), at.port()).find(|(endpoint, _)| endpoint.is_handshake()).map(|(_, met)| met)
}

fn judge_tls(verdict: &mut Verdict, node: &str, at: SocketAddr, tls: &TlsMet) {
    verdict.expect(Subject::node(node), tls.demands_certificate(), || {
        let seen = if tls.asks {
            "it asks for a certificate, and goes on without one"
        } else {
            "it completes the handshake without asking for a certificate"
        };
        Finding::new(format!("etcd refuses a pod that has no client certificate at {at}"), seen)
            .impact("any pod can read every Secret and give itself any right")
            .fix(format!(
                "in /etc/kubernetes/manifests/etcd.yaml on {node}, set --client-cert-auth=true, \
                 --peer-client-cert-auth=true, and --trusted-ca-file and --peer-trusted-ca-file to \
                 /etc/kubernetes/pki/etcd/ca.crt; then replace every Secret: treat them as compromised"
            ))
    });
}

/// Judges a server that does not speak TLS, or breaks the handshake off before it presents a certificate.
fn judge_other(verdict: &mut Verdict, (from, node): (&str, &str), at: SocketAddr, met: &Got<Met>) {
    let answer = met.as_ref().err().map(ToString::to_string).unwrap_or_default();
    if met.as_ref().is_err_and(Fault::is_not_tls) {
        let finding = Finding::new(format!("etcd speaks TLS at {at}"), answer)
            .impact("any pod can read every Secret and give itself any right, in plain text")
            .fix(format!(
                "in /etc/kubernetes/manifests/etcd.yaml on {node}, change http:// to https:// in --listen-client-urls, \
                 --listen-peer-urls and the URLs that it advertises, and set --client-cert-auth=true and \
                 --peer-client-cert-auth=true; then replace every Secret: treat them as compromised"
            ));
        verdict.find(Subject::node(node), finding);
    } else {
        verdict.unseen(Subject::node(from), &Unobserved::unreachable(at.to_string(), answer));
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::nodes::Node;
    use crate::fact::facts::pods::Pod;
    use crate::fact::facts::probe_reports::answers::{Answers, Endpoint};
    use crate::fact::facts::probe_reports::testing::{report, reports};
    use crate::object_ref::testing::named;
    use crate::ports::{ETCD_CLIENT, ETCD_PEER, KUBELET};

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 11));

    fn tls(asks: bool, refusal: Option<&str>) -> Met {
        Met::Tls(TlsMet { asks, refusal: refusal.map(Into::into), leaf: None })
    }

    fn refuses() -> Met {
        tls(true, Some("the server refused with the alert certificate_required"))
    }

    fn judged(client: &Got<Met>, kubelet: &Got<Met>, with_pod: bool) -> Verdict {
        let mut node = Node { addresses: vec![("InternalIP".into(), IP.to_string())], ..Node::default() };
        node.labels.insert("node-role.kubernetes.io/control-plane".into(), String::new());
        let etcd = Pod {
            namespace: "kube-system".into(),
            labels: [("component".to_owned(), "etcd".to_owned())].into(),
            annotations: [("kubernetes.io/config.mirror".to_owned(), "abc".to_owned())].into(),
            ..Pod::default()
        };
        let pods = if with_pod { Pods([(named("kube-system/etcd-n1"), etcd)].into()) } else { Pods::default() };
        let reached = Reached::from_iter([
            (Endpoint::tls((IP, ETCD_CLIENT)), client.clone()),
            (Endpoint::tls((IP, ETCD_PEER)), if is_open(client) { Ok(refuses()) } else { client.clone() }),
            (Endpoint::tcp((IP, KUBELET)), kubelet.clone()),
        ]);
        let answers = Answers { reached, ..Answers::default() };
        let reports = reports(["n1", "n2"].map(|node| (node, answers.clone())));
        judge(&Nodes([("n1".to_owned(), node)].into()), &pods, &reports)
    }

    fn seen(client: &Got<Met>) -> Vec<String> {
        judged(client, &Ok(Met::Open), true)
            .findings(Severity::Critical)
            .into_iter()
            .map(|finding| finding.seen)
            .collect()
    }

    #[test]
    fn a_server_that_refuses_and_one_that_is_closed_pass() {
        for client in [Ok(refuses()), Err(Fault::Refused), Err(Fault::TimedOut)] {
            let verdict = judged(&client, &Ok(Met::Open), true);
            assert_eq!((verdict.observations(), verdict.findings(Severity::Critical).len()), (4, 0));
            assert!(verdict.saw_everything());
        }
    }

    #[test]
    fn a_server_that_accepts_strangers_is_one_finding() {
        assert_eq!(seen(&Ok(tls(false, None))), ["it completes the handshake without asking for a certificate"]);
        assert_eq!(seen(&Ok(tls(true, None))), ["it asks for a certificate, and goes on without one"]);
        let plain = Fault::NotTls("HTTP/1.1 400".into());
        assert_eq!(seen(&Err(plain.clone())), [plain.to_string()]);
        assert!(seen(&Err(Fault::Stranger("it says: this is not TLS".into()))).is_empty());
    }

    #[test]
    fn a_closed_port_without_its_control_is_inconclusive() {
        let verdict = judged(&Err(Fault::TimedOut), &Err(Fault::TimedOut), true);
        assert_eq!((verdict.observations(), verdict.gaps().len()), (0, 1));
    }

    #[test]
    fn a_probe_that_did_not_answer_is_inconclusive() {
        let node = Node { addresses: vec![("InternalIP".into(), IP.to_string())], ..Node::default() };
        let labels = [("node-role.kubernetes.io/control-plane".to_owned(), String::new())].into();
        let nodes = Nodes([("n1".to_owned(), Node { labels, ..node })].into());
        let reached = [(Endpoint::tcp((IP, KUBELET)), Ok(Met::Open))].into_iter();
        let refused = ETCD.map(|port| (Endpoint::tls((IP, port)), Err(Fault::Refused)));
        let answers = Answers { reached: reached.chain(refused).collect(), ..Answers::default() };
        let silent = Err(Unobserved::unreachable("the kubelet", "the pod did not get beyond Pending"));
        let mut reports = reports([("n1", answers)]);
        reports.0.insert("n2".into(), report("p2", silent));
        let verdict = judge(&nodes, &Pods::default(), &reports);
        assert_eq!((verdict.gaps().len(), verdict.reason()), (1, None));
    }

    #[test]
    fn where_etcd_runs_elsewhere_nothing_is_judged() {
        assert!(judged(&Err(Fault::Refused), &Ok(Met::Open), false).reason().is_some());
        assert!(judge(&Nodes::default(), &Pods::default(), &ProbeReports([].into())).reason().is_some());
    }
}
