//! # TLS begins at 1.2, keys at 2048 bits, and no signature uses SHA-1
//!
//! ## Why
//! TLS 1.0 and 1.1 use SHA-1 and MD5 and have been deprecated since 2021; a server that still speaks them lets an
//! attacker on the network path choose them. Short RSA keys can be factored. Every client written in Go refuses
//! certificates signed with SHA-1, so that a server with such a certificate is down for them.
//!
//! ## Fix
//! API server, controller-manager and scheduler: remove `--tls-min-version` from the manifest in
//! `/etc/kubernetes/manifests`, the default is TLS 1.2. Kubelet: remove `tlsMinVersion` from
//! `/var/lib/kubelet/config.yaml` and restart it. etcd: `--tls-min-version=TLS1.2`. Weak keys and signatures: make the
//! certificate again, with kubeadm by removing its `.crt` and `.key` and `kubeadm init phase certs NAME --config
//! kubeadm.yaml` (with the cluster's own settings, as PK-01 shows); let a company's CA sign with SHA-256.
//!
//! ## Source
//! RFC 8996; <https://go.dev/doc/go1.18#sha1>; NIST SP 800-57 part 1; kubernetes/kubernetes
//! `staging/src/k8s.io/component-base/cli/flag/ciphersuites_flag.go`. TLS 1.1 is offered with the cipher suites of its
//! time in one ClientHello, and only to servers that speak a newer version, which is the control. Clients written in Go
//! accept an RSA key of 1024 bits, rustls does not. Which cipher suites of TLS 1.2 to use is left to policy.

use std::collections::BTreeMap;

use super::helpers::instances::is_out_of_reach;
use super::helpers::server::Server;
use crate::certificate::{Description, PublicKey};
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::api_server_handshakes::ApiServerHandshakes;
use crate::fact::facts::etcd_handshakes::EtcdHandshakes;
use crate::fact::facts::kubelet_handshakes::KubeletHandshakes;
use crate::fact::facts::outdated_tls::OutdatedTls;
use crate::handshake::{Authority, Handshake, Outdated};
use crate::seen::{Seen, Unobserved};

crate::check!("PK-14", "tls-floor", Minor, judge, blocked_by: ["KL-13", "PK-09"]);

/// The shortest RSA key that is not weak, in bits.
const RSA: usize = PublicKey::SHORTEST_RSA;

fn judge(
    outdated: &OutdatedTls,
    api: &ApiServerHandshakes,
    kubelets: Result<&KubeletHandshakes, &Unobserved>,
    etcd: Result<&EtcdHandshakes, &Unobserved>,
) -> Verdict {
    let mut verdict = Verdict::new();
    judge_versions(
        &mut verdict,
        "the API server",
        outdated.api_servers.iter().map(|(at, seen)| (Subject::address(at), seen)),
        api.endpoint.is_ok() || api.instances.iter().flat_map(BTreeMap::values).any(Result::is_ok),
        "on the control-plane node, remove --tls-min-version from /etc/kubernetes/manifests/kube-apiserver.yaml",
    );
    judge_versions(
        &mut verdict,
        "the kubelet",
        outdated.kubelets.iter().map(|(node, seen)| (Subject::node(node), seen)),
        true,
        "on the node, remove tlsMinVersion from /var/lib/kubelet/config.yaml and restart the kubelet",
    );
    judge_versions(
        &mut verdict,
        "the member of etcd",
        outdated.etcd.iter().map(|(at, seen)| (Subject::address(at), seen)),
        true,
        "on the control-plane node, set --tls-min-version=TLS1.2 in /etc/kubernetes/manifests/etcd.yaml",
    );

    let instances = verdict.seen(|| Subject::object("EndpointSlice", "default", "kubernetes"), &api.instances);
    let instances = || instances.into_iter().flatten();
    judge_certificates(&mut verdict, instances().map(|(at, seen)| (Server::Api(at.to_string()), seen)));
    // A load balancer may have its own certificate, and may be the only way to the API servers.
    let is_instance = |seen: &Handshake| instances().any(|(at, _)| Authority::from(*at) == seen.address);
    let endpoint = api.endpoint.iter().filter(|seen| !is_instance(seen));
    judge_certificates(&mut verdict, endpoint.map(|seen| (Server::Api(seen.address.to_string()), &api.endpoint)));
    if let Some(kubelets) = verdict.known(Subject::cluster, kubelets) {
        judge_certificates(&mut verdict, kubelets.0.iter().map(|(node, seen)| (Server::Kubelet(node.clone()), seen)));
    }
    match etcd {
        Ok(etcd) => {
            for (pod, why) in etcd.unknown() {
                verdict.unseen(Subject::object("Pod", "kube-system", pod), why);
            }
            let members = etcd
                .dialled()
                .flat_map(|(node, member)| member.presented.values().map(|seen| (Server::Etcd(node.clone()), seen)));
            judge_certificates(&mut verdict, members);
        }
        Err(Unobserved::Absent { .. }) => {}
        Err(why) => verdict.unseen(Subject::cluster(), why),
    }
    verdict
}

fn judge_versions<'a>(
    verdict: &mut Verdict,
    kind: &str,
    servers: impl Iterator<Item = (Subject, &'a Seen<Outdated>)>,
    speaks_newer: bool,
    fix: &str,
) {
    for (subject, seen) in servers {
        match verdict.seen(|| subject.clone(), seen) {
            None => {}
            Some(Outdated::Refused { .. }) => verdict.confirm(),
            Some(Outdated::Accepted { version }) => {
                let finding = Finding::new(
                    format!("{kind} speaks TLS 1.2 or newer only"),
                    format!("it speaks {version} with a client that asks for it"),
                )
                .impact("an attacker on the network path to an old client can break their connection")
                .fix(fix);
                // A new certificate does not change it. A server that speaks nothing newer is what PK-01 reports.
                verdict.find(subject, if speaks_newer { finding.comes_from_its_subjects() } else { finding });
            }
        }
    }
}

/// Judges the certificates of servers of one kind. That none of them can be reached from here is a note.
fn judge_certificates<'a>(verdict: &mut Verdict, shown: impl Iterator<Item = (Server, &'a Seen<Handshake>)>) {
    let shown: Vec<_> = shown.collect();
    let none_in_reach = shown.iter().all(|(_, seen)| is_out_of_reach(seen));
    for (server, seen) in shown {
        if none_in_reach {
            let note = format!("{} cannot be reached from here: its certificate was not checked", server.kind());
            verdict.note_about(server.subject(), note);
            continue;
        }
        let Some(handshake) = verdict.seen(|| server.subject(), seen) else { continue };
        for certificate in handshake.chain.iter() {
            match certificate.describe() {
                Ok(described) => judge_strength(verdict, &server, &described),
                Err(malformed) => {
                    let finding =
                        Finding::new(format!("{} presents certificates", server.kind()), malformed.to_string())
                            .impact("no client can connect")
                            .fix(server.replace_pair());
                    verdict.find(server.subject(), finding);
                }
            }
        }
    }
}

fn judge_strength(verdict: &mut Verdict, server: &Server, described: &Description) {
    let weak = matches!(described.public_key, PublicKey::Rsa { bits } if bits < RSA);
    verdict.expect(server.subject(), !weak, || {
        Finding::new(format!("{} has a key of RSA {RSA} or better", server.kind()), "its key is shorter")
            .impact("the key can be factored; clients other than those written in Go refuse it")
            .fix(server.replace_pair())
            .evidence([format!("{server}: {} has {}", described.subject, described.public_key)])
    });
    // No client checks the signature of a root.
    let refused = described.signature_algorithm.is_sha1_or_md5() && !described.self_issued;
    verdict.expect(server.subject(), !refused, || {
        Finding::new(
            format!("{} has a certificate that is signed with SHA-256 or better", server.kind()),
            "an older algorithm signed it",
        )
        .impact("every client written in Go that verifies it refuses it")
        .fix(format!("let {} sign with SHA-256; then, {}", described.issuer, server.replace_pair()))
        .evidence([format!("{server}: {} is signed with {}", described.subject, described.signature_algorithm)])
        .severity(Severity::Major)
    });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::certificate::testing::Authority as CertificateAuthority;
    use crate::certificate::{Certificate, Chain};
    use crate::check::testing::notes;
    use crate::suites::pki::testing::{handshakes, presented};

    #[expect(clippy::unnecessary_wraps, reason = "facts hold what was seen, or why not")]
    fn refused() -> Seen<Outdated> {
        Ok(Outdated::Refused { alert: Some("protocol_version".into()) })
    }

    fn judged(kubelet: Seen<Outdated>, handshake: Seen<Handshake>) -> Verdict {
        let ca = CertificateAuthority::new("kubernetes");
        let at = "10.77.0.11:6443";
        let outdated = OutdatedTls {
            api_servers: BTreeMap::from([(at.parse().unwrap(), refused())]),
            kubelets: BTreeMap::from([("n2".to_owned(), kubelet)]),
            etcd: BTreeMap::new(),
        };
        let api = handshakes(presented(&ca.leaf(&["x"])), [(at, presented(&ca.leaf(&["x"])))]);
        let kubelets = KubeletHandshakes(BTreeMap::from([("n2".to_owned(), handshake)]));
        judge(&outdated, &api, Ok(&kubelets), Err(&Unobserved::absent("no etcd")))
    }

    #[test]
    fn current_servers_pass() {
        let leaf = CertificateAuthority::new("kubernetes").leaf(&["n2"]);
        let verdict = judged(refused(), presented(&leaf));
        assert_eq!((verdict.observations(), verdict.findings(Severity::Minor).len()), (2 + 6, 0));
    }

    #[test]
    fn one_that_speaks_tls_1_1_is_found() {
        let leaf = CertificateAuthority::new("kubernetes").leaf(&["n2"]);
        let verdict = judged(Ok(Outdated::Accepted { version: "TLS 1.1".into() }), presented(&leaf));
        let findings = verdict.findings(Severity::Minor);
        assert_eq!(findings[0].subjects[0].to_string(), "Node n2");
        assert_eq!(findings[0].seen, "it speaks TLS 1.1 with a client that asks for it");
    }

    #[test]
    fn a_short_key_and_a_sha1_signature_are_found() {
        let pem = include_str!("../../src/certificate/description/rsa1024-sha1.pem");
        let weak = Certificate::from_pem_bundle(pem).unwrap();
        let signed = weak[0].describe().unwrap();
        let leaf = CertificateAuthority::new("kubernetes").leaf(&["n2"]);
        let handshake = presented(&leaf).map(|seen| Handshake { chain: Chain::try_from(weak).unwrap(), ..seen });
        let findings = judged(refused(), handshake).findings(Severity::Minor);
        let sha1 = usize::from(!signed.self_issued);
        assert_eq!(findings.len(), 1 + sha1, "{findings:?}");
        assert!(findings.iter().any(|finding| finding.evidence[0].ends_with("has RSA 1024")));
    }

    #[test]
    fn a_server_out_of_reach_is_noted_and_does_not_pass() {
        let far = || Err(Unobserved::unreachable("10.77.0.12:10250", "refused"));
        let verdict = judged(far(), Err(Unobserved::unreachable("10.77.0.12:10250", "refused")));
        assert_eq!((verdict.gaps().len(), notes(&verdict).len()), (1, 1));
    }
}
