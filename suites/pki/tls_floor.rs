//! # TLS begins at 1.2, keys at 2048 bits, and no signature rests on SHA-1
//!
//! ## Why
//! TLS 1.0 and 1.1 rest on SHA-1 and MD5 and have been given up since 2021; a server that still speaks them lets an
//! attacker on the way choose them. Short RSA keys can be factored. Certificates signed with SHA-1 are refused by every
//! client written in Go, so that a server which presents one is down for them.
//!
//! ## Fix
//! API server, controller-manager and scheduler: remove `--tls-min-version` from the manifest in
//! `/etc/kubernetes/manifests`, the default is TLS 1.2. Kubelet: remove `tlsMinVersion` from
//! `/var/lib/kubelet/config.yaml` and restart it. etcd: `--tls-min-version=TLS1.2`. Weak keys and signatures: make the
//! certificate anew, with kubeadm by removing its `.crt` and `.key` and `kubeadm init phase certs NAME --config
//! kubeadm.yaml` (with the cluster's own settings, as PK-01 shows); a company's CA must be told to sign with SHA-256.
//!
//! ## Source
//! RFC 8996; <https://go.dev/doc/go1.18#sha1>; NIST SP 800-57 part 1; kubernetes/kubernetes
//! `staging/src/k8s.io/component-base/cli/flag/ciphersuites_flag.go`. TLS 1.1 is offered with the cipher suites of its
//! time in one ClientHello; only to servers that speak a newer version, which is the control. Clients written in Go
//! accept an RSA key of 1024 bits, rustls does not. Which cipher suites of TLS 1.2 are in use is left to policy.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::instances::is_out_of_reach;
use crate::certificate::{Description, PublicKey};
use crate::check::{Finding, Severity, Subject, Verdict, names};
use crate::cluster::handshake::{Authority, Handshake, Outdated};
use crate::fact::facts::api_server_handshakes::ApiServerHandshakes;
use crate::fact::facts::etcd_handshakes::EtcdHandshakes;
use crate::fact::facts::kubelet_handshakes::KubeletHandshakes;
use crate::fact::facts::outdated_tls::OutdatedTls;
use crate::seen::{Seen, Unobserved};

crate::check!("PK-14", "tls-floor", Minor, judge);

/// The shortest RSA key that is not weak, in bits.
const RSA: usize = 2048;

fn judge(
    outdated: &OutdatedTls,
    api: &ApiServerHandshakes,
    kubelets: &KubeletHandshakes,
    etcd: Result<&EtcdHandshakes, &Unobserved>,
) -> Verdict {
    let mut verdict = Verdict::new();
    judge_versions(
        &mut verdict,
        &outdated.api_servers,
        "the API server at",
        "remove --tls-min-version from its manifest",
    );
    let mend = "remove tlsMinVersion from /var/lib/kubelet/config.yaml";
    judge_versions(&mut verdict, &outdated.kubelets, "the kubelet of", mend);
    judge_versions(&mut verdict, &outdated.etcd, "etcd at", "--tls-min-version=TLS1.2 in its manifest");

    match &api.instances {
        Err(why) => verdict.unseen(Subject::object("EndpointSlice", "default", "kubernetes"), why),
        Ok(instances) => {
            let shown = instances.iter().map(|(at, seen)| (format!("the API server at {at}"), seen));
            judge_certificates(&mut verdict, shown);
            // A load balancer may have a certificate of its own, and behind it nobody else can be reached.
            let is_instance = |seen: &Handshake| instances.keys().any(|at| Authority::from(*at) == seen.address);
            let endpoint = api.endpoint.iter().filter(|seen| !is_instance(seen));
            let shown = endpoint.map(|seen| (format!("the API server at {}", seen.address), &api.endpoint));
            judge_certificates(&mut verdict, shown);
        }
    }
    judge_certificates(&mut verdict, kubelets.0.iter().map(|(node, seen)| (format!("the kubelet of {node}"), seen)));
    match etcd {
        Ok(etcd) => {
            for (pod, why) in etcd.unknown() {
                verdict.unseen(Subject::object("Pod", "kube-system", pod), why);
            }
            let members = etcd.dialled().flat_map(|(_, member)| {
                member.presented.iter().map(|(port, seen)| (format!("etcd at {}:{port}", member.address), seen))
            });
            judge_certificates(&mut verdict, members);
        }
        Err(Unobserved::Absent { .. }) => {}
        Err(why) => verdict.unseen(Subject::cluster_object("etcd", "of the control plane"), why),
    }
    verdict
}

fn judge_versions<K: Display>(verdict: &mut Verdict, seen: &BTreeMap<K, Seen<Outdated>>, who: &str, mend: &str) {
    for (key, seen) in seen {
        let subject = || Subject::address(format!("{who} {key}"));
        match verdict.seen(subject, seen) {
            None => {}
            Some(Outdated::Refused { .. }) => verdict.confirm(),
            Some(Outdated::Accepted { version }) => verdict.find(
                subject(),
                Finding::new("TLS 1.2 or newer", format!("it speaks {version} with a client that asks for it"))
                    .so("whoever stands between it and such a client can break their connection")
                    .mend(mend),
            ),
        }
    }
}

/// The certificates of servers of one kind; where none can be reached from here, that is a note.
fn judge_certificates<'a>(verdict: &mut Verdict, shown: impl Iterator<Item = (String, &'a Seen<Handshake>)>) {
    let shown: Vec<_> = shown.collect();
    if !shown.is_empty() && shown.iter().all(|(_, seen)| is_out_of_reach(seen)) {
        return verdict.note(format!("out of reach from here: {}", names(shown.iter().map(|(who, _)| who))));
    }
    for (who, seen) in shown {
        let subject = || Subject::address(&who);
        let Some(handshake) = verdict.seen(subject, seen) else { continue };
        for certificate in handshake.chain.iter() {
            match certificate.describe() {
                Ok(described) => judge_strength(verdict, &subject, &described),
                Err(malformed) => verdict.find(subject(), Finding::new("a certificate", malformed.to_string())),
            }
        }
    }
}

fn judge_strength(verdict: &mut Verdict, subject: &impl Fn() -> Subject, described: &Description) {
    let weak = matches!(described.public_key, PublicKey::Rsa { bits } if bits < RSA);
    verdict.expect(subject(), !weak, || {
        Finding::new(
            format!("a key of RSA {RSA} or better"),
            format!("{} has {}", described.subject, described.public_key),
        )
        .so("it can be factored; clients other than those written in Go refuse it")
    });
    // Nobody looks at the signature of a root.
    let refused = described.signature_algorithm.is_sha1_or_md5() && !described.self_issued;
    verdict.expect(subject(), !refused, || {
        Finding::new(
            "a signature with SHA-256 or better",
            format!("{} is signed with {}", described.subject, described.signature_algorithm),
        )
        .so("every client written in Go that verifies it refuses it")
        .severity(Severity::Major)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::testing::Authority as CertificateAuthority;
    use crate::certificate::{Certificate, Chain};
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
        judge(&outdated, &api, &kubelets, Err(&Unobserved::absent("no etcd")))
    }

    #[test]
    fn servers_of_today_pass() {
        let leaf = CertificateAuthority::new("kubernetes").leaf(&["n2"]);
        let verdict = judged(refused(), presented(&leaf));
        assert_eq!((verdict.observations(), verdict.findings(Severity::Minor).len()), (2 + 6, 0));
    }

    #[test]
    fn one_that_speaks_tls_1_1_is_found() {
        let leaf = CertificateAuthority::new("kubernetes").leaf(&["n2"]);
        let verdict = judged(Ok(Outdated::Accepted { version: "TLS 1.1".into() }), presented(&leaf));
        let findings = verdict.findings(Severity::Minor);
        assert_eq!(findings[0].subjects[0].to_string(), "the kubelet of n2");
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
        assert!(findings.iter().any(|finding| finding.seen.ends_with("has RSA 1024")));
    }

    #[test]
    fn what_cannot_be_reached_is_told_and_not_passed() {
        let far = || Err(Unobserved::unreachable("10.77.0.12:10250", "refused"));
        let verdict = judged(far(), Err(Unobserved::unreachable("10.77.0.12:10250", "refused")));
        assert_eq!((verdict.gaps().len(), crate::check::testing::notes(&verdict).len()), (1, 1));
    }
}
