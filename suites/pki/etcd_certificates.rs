//! # The members of etcd present certificates that clients accept
//!
//! ## Why
//! API servers verify the member of etcd that they dial, and members verify each other. A certificate that has expired,
//! or lacks the address of its node, takes the member away from the cluster; with the last member, the API stops.
//!
//! ## Fix
//! On the node of the member: `kubeadm certs renew etcd-server` (or `etcd-peer`) for a date; for names remove
//! `/etc/kubernetes/pki/etcd/server.crt` and `server.key` (or `peer.*`), `kubeadm init phase certs etcd-server --config
//! kubeadm.yaml` (or `etcd-peer`; with the cluster's own settings, as PK-01 shows), and restart the static pod of etcd.
//! One node at a time.
//!
//! ## Source
//! <https://kubernetes.io/docs/setup/best-practices/certificates/>; kubernetes/kubernetes
//! `cmd/kubeadm/app/phases/certs/certlist.go`, `cmd/kubeadm/app/util/pkiutil/pki_helpers.go` (`GetEtcdAltNames`,
//! `GetEtcdPeerAltNames`). A server presents its certificate before it asks for the client's, so that none is needed to
//! see it. The check dials from here, and where etcd cannot be reached from here, from a pod on its node. A member that
//! is closed to both is good: only API servers need it; one that refuses connections where another answers is not.
//! Limits as for the API servers' certificates.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::helpers::instances::is_out_of_reach;
use super::helpers::lifetime::{is_early, least, left, length, remainder};
use super::helpers::names::{lacks, missing, missing_at, valid_at};
use crate::certificate::{Certificate, Description, ExtendedKeyUsage};
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::authentication_authorities::AuthenticationAuthorities;
use crate::fact::facts::clock::Clock;
use crate::fact::facts::etcd_handshakes::{EtcdHandshakes, EtcdMember};
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::{Endpoint, Fault, Got, Met, is_open};
use crate::ports;
use crate::seen::{Seen, Unobserved};
use crate::suites::kubeadm_phase::{again_on, restart};

crate::check!("PK-15", "etcd-certificates", Major, judge, blocked_by: ["KL-16"]);

/// The CA for clients that kubeadm makes by default.
const CA_OF_CLIENTS: &str = "CN=kubernetes";

/// Where certificates of each CA are presented; by port, where ports need not have the same CA.
type Signers = BTreeMap<Option<u16>, BTreeMap<String, BTreeSet<SocketAddr>>>;

fn judge(
    etcd: &EtcdHandshakes,
    reports: Result<&ProbeReports, &Unobserved>,
    kubeadm: Option<&KubeadmConfig>,
    authorities: Result<&AuthenticationAuthorities, &Unobserved>,
    clock: &Clock,
) -> Verdict {
    let mut verdict = Verdict::new();
    let clients = authorities.ok().and_then(|known| known.client.as_ref()?.as_ref().ok());
    let (mut unseen, mut all_asked) = (Vec::new(), true);
    let mut open = BTreeSet::new();
    let mut signers: Signers = BTreeMap::new();
    for (pod, why) in etcd.unknown() {
        verdict.unseen(Subject::object("Pod", "kube-system", pod), why);
    }
    for (node, member) in etcd.dialled() {
        for port in member.presented.keys() {
            let at = SocketAddr::new(member.address, *port);
            match presented(node, member, *port, reports) {
                Ok(Some(certificate)) => {
                    open.insert(*port);
                    match certificate.describe() {
                        Ok(leaf) => {
                            judge_certificate(&mut verdict, node, at, &leaf, clock);
                            if kubeadm.is_some() {
                                let clients = clients.map_or(&[][..], Vec::as_slice);
                                judge_as_kubeadm_makes_it(&mut verdict, (node, at), &certificate, &leaf, clients);
                            }
                            let signer = leaf.authority_key_id.unwrap_or(leaf.issuer);
                            // kubeadm has one CA for both ports, others may have one for each.
                            let port = if kubeadm.is_some() { None } else { Some(*port) };
                            signers.entry(port).or_default().entry(signer).or_default().insert(at);
                        }
                        Err(malformed) => verdict.find(
                            Subject::address(at),
                            Finding::new("a certificate", malformed.to_string())
                                .impact("API servers and members refuse this member")
                                .fix(remake(node, at)),
                        ),
                    }
                }
                Ok(None) => {
                    all_asked &= from_pod(node, at, reports).is_some();
                    unseen.push((node, at, member.presented.get(port).and_then(|seen| seen.as_ref().err())));
                }
                Err(why) => verdict.unseen(Subject::address(at), &why),
            }
        }
    }
    // A firewall that blocks this machine drops packets. A member that refuses where another answers does not listen.
    let is_open_here = |port| etcd.dialled().any(|(_, member)| matches!(member.presented.get(&port), Some(Ok(_))));
    let mut closed = Vec::new();
    for (node, at, why) in unseen {
        let refuses_a_pod = matches!(from_pod(node, at, reports), Some(Err(Fault::Refused)));
        match why {
            Some(why @ Unobserved::Unreachable { .. })
                if is_open_here(at.port()) || refuses_a_pod && open.contains(&at.port()) =>
            {
                verdict.unseen(Subject::address(at), why);
            }
            _ => closed.push(at),
        }
    }
    judge_signers(&mut verdict, &signers);
    if kubeadm.is_some() && clients.is_none() && !signers.is_empty() {
        let unknown = Unobserved::absent("it has no readable CA for clients");
        let why = authorities.err().unwrap_or(&unknown);
        verdict.unseen(Subject::object("ConfigMap", "kube-system", "extension-apiserver-authentication"), why);
    }
    if verdict.observations() == 0 && verdict.saw_everything() {
        return verdict.does_not_apply(format!(
            "etcd cannot be reached {}, which is good: only API servers need it. PK-17 checks its certificates on disk",
            if all_asked { "from here or from a pod on its node" } else { "from here" },
        ));
    }
    for at in closed {
        verdict.note_about(Subject::address(at), "it is closed to other clients than API servers, which is good");
    }
    verdict
}

/// The certificate that is presented there: to this program or, where that fails, to a pod on the same node. None if
/// both are blocked.
fn presented(
    node: &str,
    member: &EtcdMember,
    port: u16,
    reports: Result<&ProbeReports, &Unobserved>,
) -> Seen<Option<Certificate>> {
    let here = match member.presented.get(&port) {
        Some(Ok(handshake)) => return Ok(Some(handshake.leaf().clone())),
        Some(seen @ Err(why)) => is_out_of_reach(seen).then_some(()).ok_or_else(|| why.clone()),
        None => Err(Unobserved::absent("it was not dialled")),
    };
    match from_pod(node, SocketAddr::new(member.address, port), reports) {
        Some(Ok(Met::Tls(met))) if met.leaf.is_some() => Ok(met.leaf.clone()),
        Some(met) if is_open(met) => Err(here.err().unwrap_or_else(|| {
            let cause = "a pod on its node reached a server there that presents no certificate";
            Unobserved::invalid(format!("{}:{port}", member.address), cause)
        })),
        _ => here.map(|()| None),
    }
}

/// What the pod on the member's own node got there, if a pod there asked.
fn from_pod<'a>(node: &str, at: SocketAddr, reports: Result<&'a ProbeReports, &Unobserved>) -> Option<&'a Got<Met>> {
    reports.ok()?.0.get(node)?.answers.as_ref().ok()?.reached.at(&Endpoint::certificate(at))
}

/// The certificate that kubeadm makes for this port.
fn of_port(at: SocketAddr) -> &'static str {
    if at.port() == ports::ETCD_PEER { "etcd-peer" } else { "etcd-server" }
}

/// How to make the certificate again.
fn remake(node: &str, at: SocketAddr) -> String {
    format!("on {node}: {}; then {}", again_on(node, &format!("certs {}", of_port(at))), restart("etcd"))
}

fn judge_certificate(verdict: &mut Verdict, node: &str, at: SocketAddr, leaf: &Description, clock: &Clock) {
    let subject = || Subject::address(at);
    let now = clock.server;
    let (major, critical) = (least(leaf, 30, 3), least(leaf, 7, 10));
    verdict.expect(subject(), left(leaf, now) >= major && !is_early(leaf, now), || {
        Finding::new(
            format!("a certificate that is valid for at least {}", length(major)),
            format!("{} {}", leaf.subject, remainder(leaf, now)),
        )
        .impact("without a valid one, API servers and the other members lose this member")
        .fix(format!("on {node}: kubeadm certs renew {} && {}", of_port(at), restart("etcd")))
        .severity(if left(leaf, now) < critical || is_early(leaf, now) {
            Severity::Critical
        } else {
            Severity::Major
        })
    });
    let address = at.ip().to_string();
    verdict.expect(subject(), leaf.covers(&address), || {
        Finding::new(
            format!("a certificate for {address}"),
            format!("the certificate has {} other names", leaf.names().len()),
        )
        .impact("API servers and members that dial this address refuse it")
        .fix(remake(node, at))
        .evidence(valid_at(at, leaf))
    });
    let usages = &leaf.extended_key_usages;
    let serves = usages.is_empty()
        || usages.iter().any(|usage| matches!(usage, ExtendedKeyUsage::ServerAuth | ExtendedKeyUsage::Any));
    verdict.expect(subject(), serves, || {
        Finding::new("a certificate for servers", "its extended key usage lacks serverAuth")
            .impact("every client refuses it")
            .fix(remake(node, at))
    });
}

/// kubeadm has a separate CA for etcd, its own etcd-ca or one that it was given, and two names in addition to the
/// address.
fn judge_as_kubeadm_makes_it(
    verdict: &mut Verdict,
    (node, at): (&str, SocketAddr),
    certificate: &Certificate,
    leaf: &Description,
    clients: &[Certificate],
) {
    let subject = || Subject::address(at);
    let of_clients = leaf.issuer == CA_OF_CLIENTS || clients.iter().any(|one| certificate.is_signed_by(one));
    verdict.expect(subject(), !of_clients, || {
        Finding::new(
            "a certificate of etcd's own CA (kubeadm's etcd-ca)",
            format!("one of {}, which signs the cluster's clients", leaf.issuer),
        )
        .impact("if etcd trusts the CA of the cluster's clients, every kubelet can read and write the database")
        .fix(format!(
            "check that --trusted-ca-file and --peer-trusted-ca-file in /etc/kubernetes/manifests/etcd.yaml are \
             /etc/kubernetes/pki/etcd/ca.crt; {}",
            remake(node, at)
        ))
    });
    let lacking = missing(leaf, [node, "localhost"]);
    verdict.expect(subject(), lacking.is_empty(), || {
        Finding::new("a certificate for the node's name and localhost", lacks(&lacking))
            .impact("the health probe of the static pod and etcdctl on the node may refuse it")
            .fix(remake(node, at))
            .evidence(missing_at(at, &lacking))
            .severity(Severity::Minor)
    });
}

/// All members trust one CA, so that it must sign all certificates.
fn judge_signers(verdict: &mut Verdict, signers: &Signers) {
    for signers in signers.values() {
        if signers.len() == 1 {
            verdict.confirm();
            continue;
        }
        let places = || signers.iter().flat_map(|(signer, places)| places.iter().map(move |at| (signer, at)));
        verdict.find_together(
            places().map(|(_, at)| Subject::address(at)),
            1,
            Finding::new("certificates of one CA at all members", format!("of {} CAs", signers.len()))
                .impact("members and API servers that trust only one of them refuse the others")
                .fix(
                    "compare on each control-plane node: openssl x509 -noout -fingerprint -in \
                     /etc/kubernetes/pki/etcd/ca.crt; where it differs, copy ca.crt and ca.key of the other nodes \
                     there, and make etcd-server and etcd-peer again as `seaworthy explain PK-15` shows, one node at a \
                     time",
                )
                .evidence(places().map(|(signer, at)| format!("{at}: signed by {signer}"))),
        );
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{ExtendedKeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd};

    use super::*;
    use crate::certificate::testing::{Authority, Leaf};
    use crate::check::testing::notes;
    use crate::fact::facts::probe_reports::answers::{Answers, TlsMet};
    use crate::fact::facts::probe_reports::testing::reports;
    use crate::suites::pki::testing::{clock, presented};

    fn leaf(ca: &Authority, names: &[&str], until: (i32, u8, u8)) -> Leaf {
        ca.leaf_with(names, &PKCS_ECDSA_P256_SHA256, |params| {
            params.not_before = date_time_ymd(2026, 1, 1);
            params.not_after = date_time_ymd(until.0, until.1, until.2);
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        })
    }

    const NAMES: [&str; 3] = ["n1", "localhost", "10.77.0.11"];

    fn member(server: Seen<crate::handshake::Handshake>, peer: &Leaf) -> EtcdHandshakes {
        let presented = [(2379, server), (2380, super::super::testing::presented(peer))].into();
        EtcdHandshakes([("n1".to_owned(), Ok(EtcdMember { address: [10, 77, 0, 11].into(), presented }))].into())
    }

    fn of_clients(ca: &Authority) -> AuthenticationAuthorities {
        AuthenticationAuthorities {
            client: Some(Ok(vec![ca.certificate.clone()])),
            request_header: None,
            ..AuthenticationAuthorities::default()
        }
    }

    fn judged(etcd: &EtcdHandshakes) -> Verdict {
        judged_with(etcd, Ok(&of_clients(&Authority::new("kubernetes"))))
    }

    fn judged_with(etcd: &EtcdHandshakes, clients: Result<&AuthenticationAuthorities, &Unobserved>) -> Verdict {
        judge(etcd, Err(&Unobserved::Interrupted), Some(&KubeadmConfig::default()), clients, &clock())
    }

    /// As where kubeadm did not make the cluster.
    fn judged_elsewhere(etcd: &EtcdHandshakes, reports: Result<&ProbeReports, &Unobserved>) -> Verdict {
        judge(etcd, reports, None, Err(&Unobserved::Interrupted), &clock())
    }

    fn pods(met: Result<Met, Fault>) -> ProbeReports {
        let reached = [2379, 2380].map(|port| (Endpoint::certificate(([10, 77, 0, 11], port)), met.clone()));
        let answers = Answers { reached: reached.into_iter().collect(), ..Answers::default() };
        reports([("n1", answers)])
    }

    fn far() -> EtcdHandshakes {
        let refused = || Err(Unobserved::unreachable("10.77.0.11:2379", "refused"));
        let presented = [(2379, refused()), (2380, refused())].into();
        EtcdHandshakes([("n1".to_owned(), Ok(EtcdMember { address: [10, 77, 0, 11].into(), presented }))].into())
    }

    #[test]
    fn certificates_as_kubeadm_makes_them_pass() {
        let ca = Authority::new("etcd-ca");
        let (server, peer) = (leaf(&ca, &NAMES, (2027, 11, 1)), leaf(&ca, &NAMES, (2027, 11, 1)));
        let verdict = judged(&member(presented(&server), &peer));
        assert!(verdict.findings(Severity::Major).is_empty(), "{verdict:?}");
        assert_eq!(verdict.observations(), 2 * 5 + 1);
    }

    #[test]
    fn dates_names_and_cas_are_found() {
        let (ca, cluster) = (Authority::new("etcd-ca"), Authority::new("kubernetes"));
        let peer = leaf(&ca, &NAMES, (2027, 11, 1));
        let seen = |server: &Leaf| {
            let found =
                judged_with(&member(presented(server), &peer), Ok(&of_clients(&cluster))).findings(Severity::Major);
            found.into_iter().map(|finding| finding.seen).collect::<Vec<_>>()
        };
        assert!(seen(&leaf(&ca, &NAMES, (2026, 11, 20)))[0].contains("expired 3 days ago"));
        assert_eq!(seen(&leaf(&ca, &NAMES[..2], (2027, 11, 1))), ["the certificate has 2 other names"]);
        let other = seen(&leaf(&cluster, &NAMES, (2027, 11, 1)));
        assert_eq!(other, ["one of CN=kubernetes, which signs the cluster's clients", "of 2 CAs"]);
    }

    #[test]
    fn a_member_out_of_reach_is_asked_from_a_pod_and_closed_to_both_is_good() {
        let ca = Authority::new("etcd-ca");
        let met =
            |leaf: &Leaf| Ok(Met::Tls(TlsMet { asks: true, refusal: None, leaf: Some(leaf.certificate.clone()) }));
        let expired = pods(met(&leaf(&ca, &NAMES, (2026, 11, 20))));
        let verdict = judged_elsewhere(&far(), Ok(&expired));
        assert_eq!(verdict.findings(Severity::Major).len(), 2);
        let closed = judged_elsewhere(&far(), Ok(&pods(Err(Fault::TimedOut))));
        assert!(closed.reason().unwrap().contains("from here or from a pod"));
        let unasked = judged_elsewhere(&far(), Err(&Unobserved::Interrupted));
        assert!(unasked.reason().unwrap().contains("cannot be reached from here, which"));
    }

    #[test]
    fn a_member_that_was_not_dialled_is_inconclusive() {
        let why = Unobserved::invalid("Pod kube-system/etcd-n2", "it has no address");
        let verdict = judged(&EtcdHandshakes([("etcd-n2".to_owned(), Err(why))].into()));
        assert_eq!((verdict.gaps().len(), verdict.reason()), (1, None));
    }

    #[test]
    fn a_member_that_refuses_where_another_answers_is_not_closed() {
        let ca = Authority::new("etcd-ca");
        let (server, peer) = (leaf(&ca, &NAMES, (2027, 11, 1)), leaf(&ca, &NAMES, (2027, 11, 1)));
        let with = |second: fn() -> Unobserved| {
            let mut etcd = member(presented(&server), &peer);
            let presented = ports::ETCD.map(|port| (port, Err(second()))).into();
            etcd.0.insert("n2".into(), Ok(EtcdMember { address: [10, 77, 0, 12].into(), presented }));
            let verdict = judged(&etcd);
            (verdict.gaps().len(), notes(&verdict).len())
        };
        assert_eq!(with(|| Unobserved::unreachable("10.77.0.12:2379", "the connection was refused")), (1, 0));
        assert_eq!(with(|| Unobserved::TimedOut { target: "10.77.0.12:2379".into(), after_ms: 5000 }), (0, 1));
    }

    #[test]
    fn only_kubeadm_has_one_ca_for_clients_and_peers() {
        let (servers, peers) = (Authority::new("etcd-server"), Authority::new("etcd-peer"));
        let (server, peer) = (leaf(&servers, &NAMES, (2027, 11, 1)), leaf(&peers, &NAMES, (2027, 11, 1)));
        let etcd = member(presented(&server), &peer);
        let verdict = judged_elsewhere(&etcd, Err(&Unobserved::Interrupted));
        assert!(verdict.findings(Severity::Major).is_empty(), "{verdict:?}");
        let seen = judged(&etcd).findings(Severity::Major).into_iter().map(|finding| finding.seen);
        assert!(seen.into_iter().any(|seen| seen == "of 2 CAs"));
    }

    #[test]
    fn etcds_own_ca_may_have_any_name() {
        let ca = Authority::new("Example Corp etcd");
        let (server, peer) = (leaf(&ca, &NAMES, (2027, 11, 1)), leaf(&ca, &NAMES, (2027, 11, 1)));
        let etcd = member(presented(&server), &peer);
        assert!(judged(&etcd).findings(Severity::Major).is_empty());
        let of_cluster = judged_with(&etcd, Ok(&of_clients(&ca))).findings(Severity::Major);
        assert!(of_cluster[0].seen.ends_with("signs the cluster's clients"), "whatever its name: {of_cluster:?}");
        let refused = Unobserved::Refused { missing: "get configmaps".into(), message: "no".into() };
        assert_eq!(judged_with(&etcd, Err(&refused)).gaps().len(), 1);
    }

    #[test]
    fn an_unexpected_answer_is_inconclusive() {
        let ca = Authority::new("etcd-ca");
        let peer = leaf(&ca, &NAMES, (2027, 11, 1));
        let strange = Err(Unobserved::invalid("10.77.0.11:2379", "no idea"));
        assert_eq!(judged(&member(strange, &peer)).gaps().len(), 1);
    }
}
