//! # A client certificate is issued, and works
//!
//! ## Why
//! Users and controllers get their certificates by CertificateSigningRequests. If nothing signs, or signs with a CA
//! that the API server does not trust, this shows on the day when someone needs one: also when kubelets renew theirs,
//! since the same controller signs for them.
//!
//! ## Fix
//! The controller-manager signs with `--cluster-signing-cert-file` and `--cluster-signing-key-file`, which must be the
//! CA of the API server's `--client-ca-file`, and with csrsigning among its `--controllers` (the default). Its log
//! shows why it fails: `kubectl -n kube-system logs -l component=kube-controller-manager`.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/controller/certificates/signer/signer.go`, `plugin/pkg/admission/certificates/approval`;
//! <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/>. The certificate lasts ten
//! minutes, for a user without any right; the request is removed. Amazon EKS does not sign client certificates:
//! <https://docs.aws.amazon.com/eks/latest/userguide/cert-signing.html>. A controller-manager without a signing key
//! leaves that to an external CA, as kubeadm's external-CA mode does.

use super::helpers::issued::{judge_life, judge_trust};
use crate::certificate::{Certificate, ExtendedKeyUsage};
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::authentication_authorities::AuthenticationAuthorities;
use crate::fact::facts::client_certificate::{ClientCertificateTrial, Issuance};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::pods::{Pod, Pods};
use crate::fact::facts::server_version::ServerVersion;
use crate::seen::Unobserved;

crate::check!("PK-12", "client-certificate", Major, judge, builds_on: ["CP-05", "CP-07", "PK-09"]);

/// The flags that set the key by which client certificates are signed: that of all signers, or their own.
const SIGNING_KEYS: [&str; 2] = ["cluster-signing-key-file", "cluster-signing-kube-apiserver-client-key-file"];
/// What it means if the API server does not authenticate the holder.
const OPENS_NOTHING: &str = "issued client certificates are not accepted";
/// Where the signer reports what fails.
const READ_THE_LOG: &str = "check --controllers, --cluster-signing-cert-file and --cluster-signing-key-file of \
     kube-controller-manager, and its log: kubectl -n kube-system logs -l component=kube-controller-manager --tail=-1 \
     | grep -i csrsigning";

fn judge(
    trial: &ClientCertificateTrial,
    authorities: Result<&AuthenticationAuthorities, &Unobserved>,
    pods: &Pods,
    server: &ServerVersion,
    clock: &Clock,
) -> Verdict {
    let mut verdict = Verdict::new();
    let subject = || Subject::user(&trial.user);
    let issuance = verdict.seen(subject, &trial.issuance);
    if let Some(Issuance { conditions, certificate: None, .. }) = issuance
        && trial.left.is_none()
        && !conditions.contains_key("Failed")
        && let Some(reason) = signs_elsewhere(pods, server)
    {
        return verdict.does_not_apply(reason);
    }
    if let Some(why) = &trial.left {
        // The request of this user, which could not be removed.
        verdict.unseen(subject(), why);
    }
    let Some(Issuance { conditions, certificate, waited_ms }) = issuance else { return verdict };
    let Some(certificate) = certificate else {
        let seen = match conditions.get("Failed") {
            Some(failed) => format!("the signer failed: {} {}", failed.reason, failed.message),
            None => format!("the request was approved, and there was no certificate after {} s", waited_ms / 1000),
        };
        let finding = Finding::new("a certificate, signed by the controller-manager", seen)
            .impact("no client certificate is issued, and kubelets cannot renew theirs")
            .fix(READ_THE_LOG);
        verdict.find(subject(), finding);
        return verdict;
    };
    verdict.confirm();
    let unreadable = |why: String| Finding::new("a readable certificate", why).impact(OPENS_NOTHING).fix(READ_THE_LOG);
    let chain = match certificate {
        Ok(chain) => chain,
        Err(why) => {
            verdict.find(subject(), unreadable(why.clone()));
            return verdict;
        }
    };
    match chain.first().map(Certificate::describe) {
        Some(Ok(leaf)) => {
            verdict.expect(subject(), leaf.common_name.as_ref() == Some(&trial.user), || {
                Finding::new(format!("CN={}", trial.user), leaf.subject.clone())
                    .impact("the signer gives clients another name than they request")
                    .fix(READ_THE_LOG)
            });
            verdict.expect(subject(), leaf.extended_key_usages.contains(&ExtendedKeyUsage::ClientAuth), || {
                Finding::new("a certificate for clients (clientAuth)", "its extended key usage lacks clientAuth")
                    .impact(OPENS_NOTHING)
                    .fix(READ_THE_LOG)
            });
            judge_life(&mut verdict, subject(), &leaf);
        }
        Some(Err(why)) => verdict.find(subject(), unreadable(why.to_string())),
        None => {}
    }
    judge_trust(&mut verdict, subject(), chain, authorities, clock.server, OPENS_NOTHING);
    if let Some(identity) = &trial.identity
        && let Some(identity) = verdict.seen(subject, identity)
    {
        verdict.expect(subject(), identity.user.as_ref() == Some(&trial.user), || {
            Finding::new(format!("the API server authenticates the holder as {}", trial.user), identity.words())
                .impact(OPENS_NOTHING)
                .fix(
                    "compare the file of --client-ca-file in /etc/kubernetes/manifests/kube-apiserver.yaml with that \
                     of --cluster-signing-cert-file in kube-controller-manager.yaml, and check for proxies in front of \
                     the API server that end TLS",
                )
        });
    }
    verdict
}

/// Why it is expected that nothing signs.
fn signs_elsewhere(pods: &Pods, server: &ServerVersion) -> Option<String> {
    if server.git.contains("-eks-") {
        return Some(format!("Amazon EKS ({}) does not sign client certificates", server.git));
    }
    let managers: Vec<_> = pods.static_pods("kube-controller-manager").collect();
    let is_given = |pod: &Pod, flag: &str| pod.flag(flag).last().is_some_and(|file| !file.is_empty());
    let keyless = |pod: &&Pod| pod.has_flags() && !SIGNING_KEYS.iter().any(|flag| is_given(pod, flag));
    (!managers.is_empty() && managers.iter().all(keyless))
        .then(|| "the controller-manager has no signing key: an external CA signs".to_owned())
}

#[cfg(test)]
mod tests {
    use rcgen::{DnType, ExtendedKeyUsagePurpose, PKCS_ECDSA_P256_SHA256};

    use super::*;
    use crate::certificate::testing::Authority;
    use crate::check::Severity;
    use crate::fact::facts::client_certificate::{Condition, WhoAmI};
    use crate::fact::facts::pods::Container;
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
            identity: Some(Ok(WhoAmI { status, user, message: "as requested".into(), ..WhoAmI::default() })),
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
        // The CA of the tests signs for longer than requested, which is minor.
        assert_eq!(verdict.findings(Severity::Major).len(), 1);
        assert_eq!(verdict.observations(), 6);
    }

    #[test]
    fn one_of_an_unknown_ca_is_found_twice() {
        let findings =
            judged(&trial(&Authority::new("kubernetes"), 401), &Authority::new("kubernetes"), "v1.37.2", &[KEY])
                .findings(Severity::Major);
        assert!(findings.iter().filter(|finding| finding.severity == Severity::Major).count() == 2, "{findings:?}");
    }

    #[test]
    fn a_missing_certificate_is_found_only_where_the_cluster_signs() {
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
