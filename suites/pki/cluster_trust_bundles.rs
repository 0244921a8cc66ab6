//! # The cluster trust bundle holds the CA that pods get
//!
//! ## Why
//! Pods that mount a ClusterTrustBundle instead of the ConfigMap kube-root-ca.crt trust whatever it contains. If the
//! two differ, as after a rotation of the CA that one publisher has missed, half of the workloads cannot reach the API.
//! A pod that waits for its own certificate does not start.
//!
//! ## Fix
//! Restart kube-controller-manager, which publishes both, with the new `--root-ca-file`; delete a bundle of that signer
//! which nothing publishes. For a PodCertificateRequest that stays pending, check the signer that it names.
//!
//! ## Source
//! <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#cluster-trust-bundles>;
//! KEP-3257, KEP-4317; kubernetes/kubernetes `pkg/controller/certificates/clustertrustbundlepublisher/publisher.go`.
//! Served by default since 1.37. Requests of pods are removed after a quarter of an hour.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::helpers::lifetime::length;
use crate::certificate::Certificate;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::cluster_trust_bundles::{ClusterTrustBundles, SIGNER};
use crate::fact::facts::pod_certificate_requests::PodCertificateRequests;
use crate::fact::facts::root_ca_config_maps::RootCaConfigMaps;
use crate::seen::Unobserved;

crate::check!("PK-16", "cluster-trust-bundles", Info, judge);

/// How long a signer may take.
const PATIENCE: SignedDuration = SignedDuration::from_mins(5);

fn judge(
    bundles: &ClusterTrustBundles,
    requests: Result<&PodCertificateRequests, &Unobserved>,
    root_ca: &RootCaConfigMaps,
    clock: &Clock,
) -> Verdict {
    let mut verdict = Verdict::new();
    judge_bundles(&mut verdict, bundles, root_ca);
    match requests {
        Ok(requests) => judge_requests(&mut verdict, requests, clock),
        Err(Unobserved::Absent { evidence }) => verdict.note(evidence),
        Err(why) => verdict.unseen(Subject::cluster(), why),
    }
    verdict
}

fn judge_bundles(verdict: &mut Verdict, bundles: &ClusterTrustBundles, root_ca: &RootCaConfigMaps) {
    verdict.expect(Subject::cluster(), !bundles.0.is_empty(), || {
        Finding::new(
            format!("a ClusterTrustBundle of the signer {SIGNER}"),
            "the API is served, but kube-controller-manager publishes none",
        )
        .impact("pods that mount the bundle of that signer do not start")
        .fix(
            "read why it is not published: kubectl -n kube-system logs -l component=kube-controller-manager --tail=-1 \
             | grep -i trustbundle; its --controllers must not exclude the publisher",
        )
    });
    let Some(given) = root_ca.of_namespace("kube-system") else {
        let why = Unobserved::absent("namespace kube-system has no ConfigMap kube-root-ca.crt");
        return verdict.unseen(Subject::object("ConfigMap", "kube-system", "kube-root-ca.crt"), &why);
    };
    for bundle in &bundles.0 {
        let subject = || Subject::cluster_object("ClusterTrustBundle", &bundle.name);
        let fix = || {
            format!(
                "restart kube-controller-manager, which publishes both; if nothing publishes this bundle: kubectl \
                 delete clustertrustbundle {}",
                bundle.name
            )
        };
        match (&bundle.certificates, &given.certificates) {
            (Ok(held), Ok(given)) => {
                let (held, given): (BTreeSet<&Certificate>, BTreeSet<_>) =
                    (held.iter().collect(), given.iter().collect());
                verdict.expect(subject(), held == given, || {
                    Finding::new("the CAs of ConfigMap kube-system/kube-root-ca.crt", "it holds other CAs")
                        .impact(
                            "pods that trust the bundle and pods that trust the ConfigMap trust different API servers",
                        )
                        .fix(fix())
                        .managed_by(bundle.manager.as_ref())
                        .evidence(held.difference(&given).map(|one| format!("only in the bundle: {}", described(one))))
                        .evidence(
                            given.difference(&held).map(|one| format!("only in the ConfigMap: {}", described(one))),
                        )
                        .severity(Severity::Major)
                });
            }
            (Err(why), _) => {
                let finding = Finding::new("certificates in PEM", why)
                    .impact("pods that mount the bundle cannot verify the API server")
                    .fix(fix())
                    .managed_by(bundle.manager.as_ref())
                    .severity(Severity::Major);
                verdict.find(subject(), finding);
            }
            (_, Err(why)) => {
                let why = Unobserved::invalid("ConfigMap kube-system/kube-root-ca.crt", why);
                verdict.unseen(subject(), &why);
            }
        }
    }
}

fn described(certificate: &Certificate) -> String {
    match certificate.describe() {
        Ok(description) => {
            let fingerprint = &description.fingerprint;
            format!("{} ({}…)", description.subject, fingerprint.get(..19).unwrap_or(fingerprint))
        }
        Err(malformed) => malformed.to_string(),
    }
}

fn judge_requests(verdict: &mut Verdict, requests: &PodCertificateRequests, clock: &Clock) {
    for request in &requests.0 {
        let waited = request.created.map_or(SignedDuration::ZERO, |created| clock.server.duration_since(created));
        let subject = Subject::object("PodCertificateRequest", &request.namespace, &request.name);
        verdict.expect(subject, request.ended.is_some() || waited < PATIENCE, || {
            Finding::new(
                format!("a certificate from {} within minutes", request.signer),
                format!("none for {}", length(waited)),
            )
            .impact(format!("pod {} does not start", request.pod))
            .fix(format!(
                "check that the signer {} runs: kubectl -n {} describe podcertificaterequest {}",
                request.signer, request.namespace, request.name
            ))
            .severity(Severity::Major)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::testing::Authority;
    use crate::fact::facts::cluster_trust_bundles::TrustBundle;
    use crate::fact::facts::pod_certificate_requests::PodCertificate;
    use crate::fact::facts::root_ca_config_maps::RootCa;
    use crate::suites::pki::testing::{clock, now};

    fn bundles(held: &[&Authority]) -> ClusterTrustBundles {
        let certificates = Ok(held.iter().map(|ca| ca.certificate.clone()).collect());
        ClusterTrustBundles(vec![TrustBundle { name: "b".into(), certificates, manager: None }])
    }

    fn given(ca: &Authority) -> RootCaConfigMaps {
        let namespaces = ["kube-system".to_owned()].into();
        RootCaConfigMaps(vec![RootCa { certificates: Ok(vec![ca.certificate.clone()]), namespaces }])
    }

    #[test]
    fn the_same_ca_passes_and_another_is_found() {
        let (ca, old) = (Authority::new("kubernetes"), Authority::new("kubernetes"));
        let none = PodCertificateRequests::default();
        let verdict = judge(&bundles(&[&ca]), Ok(&none), &given(&ca), &clock());
        assert_eq!((verdict.observations(), verdict.findings(Severity::Info).len()), (2, 0));
        let findings = judge(&bundles(&[&old]), Ok(&none), &given(&ca), &clock()).findings(Severity::Info);
        assert_eq!(findings[0].severity, Severity::Major);
        assert!(findings[0].evidence[0].starts_with("only in the ConfigMap: CN=kubernetes ("), "{findings:?}");
        assert!(findings[0].evidence[1].starts_with("only in the bundle: CN=kubernetes ("), "{findings:?}");
    }

    #[test]
    fn a_missing_bundle_is_info() {
        let ca = Authority::new("kubernetes");
        let absent = Unobserved::absent("not served");
        let findings =
            judge(&ClusterTrustBundles::default(), Err(&absent), &given(&ca), &clock()).findings(Severity::Info);
        assert_eq!(findings[0].severity, Severity::Info);
    }

    #[test]
    fn a_pod_that_waits_for_its_certificate_is_found() {
        let ca = Authority::new("kubernetes");
        let request = |minutes, ended: Option<&str>| PodCertificate {
            signer: "example.org/mesh".into(),
            created: Some(now() - SignedDuration::from_mins(minutes)),
            ended: ended.map(str::to_owned),
            ..PodCertificate::default()
        };
        let requests = PodCertificateRequests(vec![request(1, None), request(9, Some("Issued")), request(9, None)]);
        let findings = judge(&bundles(&[&ca]), Ok(&requests), &given(&ca), &clock()).findings(Severity::Info);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].seen, "none for 9 minutes");
    }
}
