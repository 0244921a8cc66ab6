//! # etcd refuses clients without a certificate
//!
//! ## Why
//! etcd holds everything: whoever can connect to it without a certificate reads every Secret and becomes cluster-admin, past the
//! API server, its authorization and its audit log. From a pod it is one connection away.
//!
//! ## Fix
//! In `/etc/kubernetes/manifests/etcd.yaml` on every control-plane node, set `--client-cert-auth=true`, `--peer-client-cert-auth=true`,
//! `--trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt` and `--peer-trusted-ca-file` to the same; let it listen by `https://` only.
//! Close ports 2379 and 2380 of control-plane nodes to all but control-plane nodes. If it was open, take every Secret for known.
//!
//! ## Source
//! <https://etcd.io/docs/latest/op-guide/security/>; kubernetes/kubernetes `cmd/kubeadm/app/phases/etcd/local.go`. Probes on every
//! node go through a TLS handshake without a certificate; that they reach the kubelet's port of the same node is the control
//! for a port that is closed to them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::check::{Finding, Folded, Subject, Verdict};
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::pods::Pods;
use crate::fact::facts::probe_reports::ProbeReports;
use crate::ports::{ETCD, KUBELET};
use crate::probe::endpoint::{Ask, Endpoint};
use crate::probe::fault::{Fault, Got};
use crate::probe::reached::{Met, Reached, TlsMet, is_open};
use crate::seen::Unobserved;

crate::check!("HA-04", "etcd-clients", Critical, judge);

fn judge(nodes: &Nodes, pods: &Pods, reports: &ProbeReports) -> Verdict {
    let etcd = pods.static_pods("etcd").count();
    if nodes.control_plane().next().is_none() {
        return Verdict::not_applicable("no node is marked as control plane: etcd is out of the pods' sight");
    }
    let mut verdict = Verdict::new();
    let mut folded = Folded::new();
    let mut seen: BTreeMap<SocketAddr, (usize, usize)> = BTreeMap::new();
    for (from, report) in &reports.0 {
        if let Err(why) = &report.answers {
            verdict.unseen(Subject::node(from), why);
        }
    }
    for (name, node) in nodes.control_plane() {
        for at in node.internal_addresses().flat_map(|ip| ETCD.map(|port| SocketAddr::new(ip, port))) {
            let (mut open, mut closed) = (0, 0);
            for (from, report) in &reports.0 {
                // Why a probe did not answer is told above, once.
                let Ok(answers) = &report.answers else { continue };
                match met(&answers.reached, at) {
                    Some(Ok(Met::Tls(tls))) => {
                        open += 1;
                        judge_tls(&mut verdict, &mut folded, name, at, tls);
                    }
                    Some(other) if is_open(other) => {
                        open += 1;
                        judge_stranger(&mut verdict, &mut folded, (from, name), at, other);
                    }
                    Some(_) if controls(&answers.reached, at.ip()) => closed += 1,
                    _ => {}
                }
            }
            (0..closed).for_each(|_| verdict.confirm());
            if open + closed == 0 {
                let why =
                    Unobserved::unreachable(at.to_string(), "no probe that reaches the node's kubelet has tried it");
                verdict.unseen(Subject::node(name), &why);
            }
            seen.insert(at, (open, closed));
        }
    }
    if etcd == 0 && seen.values().all(|(open, _)| *open == 0) && verdict.saw_everything() {
        return Verdict::not_applicable(
            "no pod of kube-system is etcd's, and pods find its ports closed on every control-plane node: it runs elsewhere",
        );
    }
    folded.tell(&mut verdict);
    verdict
}

/// What was met by a TLS handshake.
fn met(reached: &Reached, at: SocketAddr) -> Option<&Got<Met>> {
    let is_handshake = |endpoint: &Endpoint| matches!(endpoint.ask, Ask::Tls | Ask::Certificate);
    reached.port(at.ip(), at.port()).find(|(endpoint, _)| is_handshake(endpoint)).map(|(_, met)| met)
}

/// Whether the same probe reaches what must be open on the same node.
fn controls(reached: &Reached, ip: IpAddr) -> bool {
    reached.at(&Endpoint::tcp((ip, KUBELET))).is_some_and(is_open)
}

fn judge_tls(verdict: &mut Verdict, folded: &mut Folded, node: &str, at: SocketAddr, tls: &TlsMet) {
    folded.expect(verdict, node, tls.demands_certificate(), || {
        let seen = if tls.asks {
            "it asks for a certificate, and goes on without one"
        } else {
            "it asks for none, and completes the handshake"
        };
        Finding::new(format!("etcd refuses a pod that has no client certificate at {at}"), seen)
            .so("any pod reads every Secret and writes itself any right")
            .mend(format!("on {node}, set --client-cert-auth=true and --trusted-ca-file, and their --peer- twins, in /etc/kubernetes/manifests/etcd.yaml"))
    });
}

/// Something listens and does not speak TLS, or breaks the handshake off before it shows a certificate.
fn judge_stranger(
    verdict: &mut Verdict,
    folded: &mut Folded,
    (from, node): (&str, &str),
    at: SocketAddr,
    met: &Got<Met>,
) {
    let said = met.as_ref().err().map(ToString::to_string).unwrap_or_default();
    if met.as_ref().is_err_and(Fault::is_not_tls) {
        folded.expect(verdict, node, false, || {
            Finding::new(format!("etcd speaks TLS at {at}"), said)
                .so("any pod reads every Secret and writes itself any right, in plain text")
        });
    } else {
        verdict.unseen(Subject::node(from), &Unobserved::unreachable(at.to_string(), said));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::nodes::Node;
    use crate::fact::facts::pods::Pod;
    use crate::fact::facts::probe_reports::testing::{report, reports};
    use crate::object_ref::testing::named;
    use crate::ports::{ETCD_CLIENT, ETCD_PEER};
    use crate::probe::Answers;

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
        let reached = Reached(BTreeMap::from([
            (Endpoint::tls((IP, ETCD_CLIENT)), client.clone()),
            (Endpoint::tls((IP, ETCD_PEER)), if is_open(client) { Ok(refuses()) } else { client.clone() }),
            (Endpoint::tcp((IP, KUBELET)), kubelet.clone()),
        ]));
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
    fn a_server_that_lets_strangers_in_is_one_finding() {
        assert_eq!(seen(&Ok(tls(false, None))), ["it asks for none, and completes the handshake"]);
        assert_eq!(seen(&Ok(tls(true, None))), ["it asks for a certificate, and goes on without one"]);
        let plain = ["another program answered: the answer is not TLS: HTTP/1.1 400"];
        assert_eq!(seen(&Err(Fault::NotTls("HTTP/1.1 400".into()))), plain);
        assert_eq!(seen(&Err(Fault::Stranger("the answer is not TLS: HTTP/1.1 400".into()))), plain, "of older probes");
        assert!(seen(&Err(Fault::Stranger("it says: this is not TLS".into()))).is_empty());
    }

    #[test]
    fn a_closed_port_without_its_control_is_undecided() {
        let verdict = judged(&Err(Fault::TimedOut), &Err(Fault::TimedOut), true);
        assert_eq!((verdict.observations(), verdict.gaps().len()), (0, 2));
    }

    #[test]
    fn a_probe_that_did_not_answer_is_undecided() {
        let node = Node { addresses: vec![("InternalIP".into(), IP.to_string())], ..Node::default() };
        let labels = [("node-role.kubernetes.io/control-plane".to_owned(), String::new())].into();
        let nodes = Nodes([("n1".to_owned(), Node { labels, ..node })].into());
        let reached = [(Endpoint::tcp((IP, KUBELET)), Ok(Met::Open))].into_iter();
        let refused = ETCD.map(|port| (Endpoint::tls((IP, port)), Err(Fault::Refused)));
        let answers = Answers { reached: Reached(reached.chain(refused).collect()), ..Answers::default() };
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
