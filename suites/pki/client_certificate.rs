//! # A client certificate is issued, and works
//!
//! ## Why
//! Users and controllers get their certificates by CertificateSigningRequests. If nothing signs, or signs with an authority
//! that the API server does not know, this is noticed on the day on which somebody needs one: by kubelets that renew theirs
//! as well, since the same controller signs for them.
//!
//! ## Fix
//! The controller-manager signs with `--cluster-signing-cert-file` and `--cluster-signing-key-file`, which must be the CA of
//! the API server's `--client-ca-file`, and with csrsigning among its `--controllers` (it is by default). Its log says what
//! it stumbled over: `kubectl -n kube-system logs -l component=kube-controller-manager`.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/controller/certificates/signer/signer.go`, `plugin/pkg/admission/certificates/approval`;
//! <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/>. The certificate lives for ten
//! minutes and is of a user without any right; the request is removed. Amazon EKS does not sign client certificates:
//! <https://docs.aws.amazon.com/eks/latest/userguide/cert-signing.html>. A controller-manager without a signing key leaves
//! that to an external authority, as kubeadm's external-CA mode does.

use super::issued::{judge_life, judge_trust};
use crate::certificate::{Certificate, ExtendedKeyUsage};
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::authentication_authorities::AuthenticationAuthorities;
use crate::fact::facts::client_certificate::ClientCertificateTrial;
use crate::fact::facts::clock::Clock;
use crate::fact::facts::pods::{Pod, Pods};
use crate::fact::facts::server_version::ServerVersion;
use crate::join::request::Issuance;
use crate::seen::Unobserved;

crate::check!("PK-12", "client-certificate", Major, judge);

/// The flags that name the key by which client certificates are signed: that of all signers, or their own.
const SIGNING_KEYS: [&str; 2] = ["cluster-signing-key-file", "cluster-signing-kube-apiserver-client-key-file"];
/// What follows when nobody lets its holder in.
const OPENS_NOTHING: &str = "certificates are issued that open nothing";

fn judge(
    trial: &ClientCertificateTrial,
    authorities: Result<&AuthenticationAuthorities, &Unobserved>,
    pods: &Pods,
    server: &ServerVersion,
    clock: &Clock,
) -> Verdict {
    let mut verdict = Verdict::new();
    let subject = || Subject::user(&trial.user);
    let removal = |verdict: &mut Verdict| {
        if let Some(why) = &trial.left {
            verdict
                .unseen(Subject::cluster_object("the removal of the CertificateSigningRequest of", &trial.user), why);
        }
    };
    let Some(issuance) = verdict.seen(subject, &trial.issuance) else {
        removal(&mut verdict);
        return verdict;
    };
    let Issuance { conditions, certificate, waited_ms } = issuance;
    if certificate.is_none()
        && trial.left.is_none()
        && !conditions.contains_key("Failed")
        && let Some(reason) = signs_elsewhere(pods, server)
    {
        return Verdict::not_applicable(reason);
    }
    removal(&mut verdict);
    if !verdict.expect(subject(), certificate.is_some(), || {
        let seen = match conditions.get("Failed") {
            Some(failed) => format!("the signer failed: {} {}", failed.reason, failed.message),
            None => format!("approved, and no certificate after {} s", waited_ms / 1000),
        };
        Finding::new("a certificate, signed by the controller-manager", seen)
            .so("no client certificate is issued, and kubelets cannot renew theirs")
    }) {
        return verdict;
    }
    let chain = match certificate {
        Some(Ok(chain)) => chain,
        Some(Err(why)) => {
            verdict.find(subject(), Finding::new("a readable certificate", why.as_str()));
            return verdict;
        }
        None => return verdict,
    };
    match chain.first().map(Certificate::describe) {
        Some(Ok(leaf)) => {
            verdict.expect(subject(), leaf.common_name.as_ref() == Some(&trial.user), || {
                Finding::new(format!("CN={}", trial.user), leaf.subject.clone())
            });
            verdict.expect(subject(), leaf.extended_key_usages.contains(&ExtendedKeyUsage::ClientAuth), || {
                Finding::new("for clients (clientAuth)", "its extended key usage lacks clientAuth")
            });
            judge_life(&mut verdict, subject(), &leaf);
        }
        Some(Err(why)) => verdict.find(subject(), Finding::new("a readable certificate", why.to_string())),
        None => {}
    }
    judge_trust(&mut verdict, subject(), chain, authorities, clock.server, OPENS_NOTHING);
    if let Some(identity) = &trial.identity
        && let Some(identity) = verdict.seen(subject, identity)
    {
        verdict.expect(subject(), identity.user.as_ref() == Some(&trial.user), || {
            Finding::new(format!("the holder is known as {}", trial.user), identity.words())
                .so(OPENS_NOTHING)
                .mend("look which authority the API server's --client-ca-file holds, and for authenticators before it")
        });
    }
    verdict
}

/// Why it is no fault that nothing signs.
fn signs_elsewhere(pods: &Pods, server: &ServerVersion) -> Option<String> {
    if server.git.contains("-eks-") {
        return Some(format!("Amazon EKS ({}) does not sign client certificates", server.git));
    }
    let managers: Vec<_> = pods.static_pods("kube-controller-manager").collect();
    let is_given = |pod: &Pod, flag: &str| pod.flag(flag).last().is_some_and(|file| !file.is_empty());
    let keyless = |pod: &&Pod| pod.has_flags() && !SIGNING_KEYS.iter().any(|flag| is_given(pod, flag));
    (!managers.is_empty() && managers.iter().all(keyless))
        .then(|| "the controller-manager has no signing key: an external authority signs".to_owned())
}

#[cfg(test)]
mod tests {
    use rcgen::{DnType, ExtendedKeyUsagePurpose, PKCS_ECDSA_P256_SHA256};

    use super::*;
    use crate::certificate::testing::Authority;
    use crate::check::Severity;
    use crate::fact::facts::pods::Container;
    use crate::join::WhoAmI;
    use crate::join::request::Condition;
    use crate::object_ref::testing::named;
    use crate::suites::pki::testing::clock;

    const USER: &str = "seaworthy:x7f4k";

    fn trial(ca: &Authority, status: u16) -> ClientCertificateTrial {
        let leaf = ca.leaf_with(&[], &PKCS_ECDSA_P256_SHA256, |params| {
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, USER);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        });
        let approved = Condition { reason: "SeaworthyTrial".into(), message: String::new() };
        let user = (status == 201).then(|| USER.to_owned());
        ClientCertificateTrial {
            user: USER.into(),
            issuance: Ok(Issuance {
                conditions: [("Approved".to_owned(), approved)].into(),
                certificate: Some(Ok(vec![leaf.certificate])),
                waited_ms: 100,
            }),
            identity: Some(Ok(WhoAmI { status, user, message: "as told".into(), ..WhoAmI::default() })),
            left: None,
        }
    }

    fn pods(flags: &[&str]) -> Pods {
        let container =
            Container { command: flags.iter().map(|flag| (*flag).to_owned()).collect(), ..Container::default() };
        let pod = Pod {
            namespace: "kube-system".into(),
            labels: [("component".to_owned(), "kube-controller-manager".to_owned())].into(),
            annotations: [("kubernetes.io/config.mirror".to_owned(), "abc".to_owned())].into(),
            containers: vec![container],
            ..Pod::default()
        };
        Pods([(named("kube-system/kcm"), pod)].into())
    }

    fn judged(trial: &ClientCertificateTrial, ca: &Authority, version: &str, flags: &[&str]) -> Verdict {
        let authorities = AuthenticationAuthorities {
            client: Some(Ok(vec![ca.certificate.clone()])),
            request_header: None,
            ..AuthenticationAuthorities::default()
        };
        let server = ServerVersion { git: version.into(), version: version.parse().unwrap() };
        judge(trial, Ok(&authorities), &pods(flags), &server, &clock())
    }

    const KEY: &str = "--cluster-signing-key-file=/etc/kubernetes/pki/ca.key";

    #[test]
    fn a_certificate_that_works_passes() {
        let ca = Authority::new("kubernetes");
        let verdict = judged(&trial(&ca, 201), &ca, "v1.37.2", &[KEY]);
        // The tests' authority gives a long life, which is a remark.
        assert_eq!(verdict.findings(Severity::Major).len(), 1);
        assert_eq!(verdict.observations(), 6);
    }

    #[test]
    fn one_of_an_unknown_authority_is_found_twice_over() {
        let findings =
            judged(&trial(&Authority::new("kubernetes"), 401), &Authority::new("kubernetes"), "v1.37.2", &[KEY])
                .findings(Severity::Major);
        assert!(findings.iter().filter(|finding| finding.severity == Severity::Major).count() == 2, "{findings:?}");
    }

    #[test]
    fn none_is_a_fault_only_where_the_cluster_signs() {
        let ca = Authority::new("kubernetes");
        let mut none = trial(&ca, 201);
        none.issuance.as_mut().unwrap().certificate = None;
        none.identity = None;
        assert!(judged(&none, &ca, "v1.37.2", &[KEY]).findings(Severity::Major)[0].seen.contains("no certificate"));
        assert!(judged(&none, &ca, "v1.33.4-eks-a18cd3a", &[]).reason().is_some());
        assert!(judged(&none, &ca, "v1.37.2", &["--controllers=*"]).reason().is_some());
        assert!(judged(&none, &ca, "v1.37.2", &["--cluster-signing-key-file="]).reason().is_some());
        // K3s and RKE2 give each signer its own pair.
        let own = ["--cluster-signing-kube-apiserver-client-key-file=/var/lib/rancher/rke2/server/tls/client-ca.key"];
        assert!(judged(&none, &ca, "v1.37.2+rke2r1", &own).reason().is_none());
        assert!(judged(&none, &ca, "v1.37.2", &[]).reason().is_none(), "a hidden controller-manager proves nothing");
    }
}
