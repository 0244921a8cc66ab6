//! # Every API server instance serves a valid certificate of the cluster's CA
//!
//! ## Why
//! With a load balancer, or the Service default/kubernetes, each request may reach another instance. One with an
//! expired or foreign certificate, or one that joined before the endpoint had its name, fails a share of all requests,
//! which is hard to see in any single client.
//!
//! ## Fix
//! On the node of the instance make the certificate again, from kubeadm's configuration:
//!
//! ```text
//! kubectl -n kube-system get configmap kubeadm-config -o jsonpath='{.data.ClusterConfiguration}' > kubeadm.yaml &&
//! { echo; cat; } >> kubeadm.yaml <<END &&
//! ---
//! apiVersion: kubeadm.k8s.io/v1beta4
//! kind: InitConfiguration
//! localAPIEndpoint: {advertiseAddress: ADDRESS}
//! nodeRegistration: {name: NODE}
//! END
//! mv /etc/kubernetes/pki/apiserver.crt /etc/kubernetes/pki/apiserver.key /root/ &&
//! kubeadm init phase certs apiserver --config kubeadm.yaml
//! ```
//!
//! ADDRESS is `--advertise-address` in `/etc/kubernetes/manifests/kube-apiserver.yaml`; without it kubeadm takes the
//! address of the default route. NODE is the node's name, and apiVersion that of the first document.
//!
//! If it has only expired, `kubeadm certs renew apiserver` renews it.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/util/pkiutil/pki_helpers.go`;
//! <https://kubernetes.io/docs/setup/best-practices/certificates/>. Each instance is dialled at the address where it is
//! published, as pods reach it, and verified with the CAs of the kubeconfig and of pods in kube-system.

use super::apiserver_names::host;
use super::helpers::distrust::{remake, remedy};
use super::helpers::instances::instances;
use super::helpers::names::{lacks, missing, missing_at};
use crate::certificate::{Certificate, verify};
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::api_server_handshakes::ApiServerHandshakes;
use crate::fact::facts::clock::Clock;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::kubeconfig_summary::KubeconfigSummary;
use crate::fact::facts::kubernetes_service::KubernetesService;
use crate::fact::facts::trusted_authorities::TrustedAuthorities;
use crate::seen::Unobserved;

crate::check!(
    "PK-03",
    "instance-certificates",
    Major,
    judge,
    builds_on: ["CP-01", "PK-02", "PK-04", "SN-01"]
);

fn judge(
    handshakes: &ApiServerHandshakes,
    kubeconfig: &KubeconfigSummary,
    authorities: &TrustedAuthorities,
    service: Result<&KubernetesService, &Unobserved>,
    kubeadm: Result<&KubeadmConfig, &Unobserved>,
    clock: Result<&Clock, &Unobserved>,
) -> Verdict {
    // An API server whose certificate is not accepted does not give its time.
    let now = clock.map_or(handshakes.at, |clock| clock.server);
    let judge_chain =
        |verdict: &mut Verdict, subject: Subject, chain: &[Certificate]| match verify(chain, &authorities.0, None, now)
        {
            Ok(()) => verdict.confirm(),
            Err(distrust) => verdict.find(
                subject,
                Finding::new("a valid certificate of the cluster's CA", distrust.to_string())
                    .impact("clients that reach this instance fail; those that reach another do not")
                    .fix(remedy(&distrust)),
            ),
        };
    let instances = match instances(handshakes) {
        Ok(instances) => instances,
        Err(mut verdict) => {
            // All that could be seen of a server to which no credential was sent.
            if handshakes.refusal.is_some()
                && let Ok(endpoint) = &handshakes.endpoint
            {
                judge_chain(&mut verdict, Subject::address(&kubeconfig.endpoint), &endpoint.chain);
            }
            return verdict;
        }
    };
    let mut verdict = Verdict::new();
    let service = verdict.known(|| Subject::object("Service", "default", "kubernetes"), service);
    let endpoint = match kubeadm {
        Ok(kubeadm) => kubeadm.control_plane_endpoint.as_deref().map(host),
        Err(Unobserved::Absent { .. }) => None,
        Err(why) => {
            verdict.unseen(Subject::object("ConfigMap", "kube-system", "kubeadm-config"), why);
            None
        }
    };
    verdict.each(
        instances,
        |address| Subject::address(address),
        |verdict, address, handshake| {
            judge_chain(verdict, Subject::address(address), &handshake.chain);
            // A certificate that cannot be read was found just now.
            let Ok(leaf) = handshake.leaf().describe() else { return };
            let of_service = service.map(|service| service.cluster_ip.to_string());
            let dialled = [Some(address.ip().to_string()), of_service, endpoint.map(str::to_owned)];
            let lacking = missing(&leaf, dialled.into_iter().flatten());
            verdict.expect(Subject::address(address), lacking.is_empty(), || {
                Finding::new("a certificate for every name by which clients reach this instance", lacks(&lacking))
                    .impact("clients that dial such a name fail whenever they reach this instance")
                    .fix(remake())
                    .evidence(missing_at(address, &lacking))
            });
        },
    );
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::testing::{Authority, years};
    use crate::check::Severity;
    use crate::fact::facts::kubernetes_service::testing::kubernetes_service;
    use crate::suites::pki::testing::{clock, handshakes, presented};

    fn judged(authority: &Authority, handshakes: &ApiServerHandshakes) -> Verdict {
        let service = kubernetes_service([10, 96, 0, 1]);
        let kubeadm =
            KubeadmConfig { control_plane_endpoint: Some("api.bed.test:6443".into()), ..KubeadmConfig::default() };
        let trusted = TrustedAuthorities(vec![authority.certificate.clone()]);
        judge(handshakes, &kubeconfig(), &trusted, Ok(&service), Ok(&kubeadm), Ok(&clock()))
    }

    fn kubeconfig() -> KubeconfigSummary {
        KubeconfigSummary {
            https: true,
            endpoint: "10.77.0.100:6443".parse().unwrap(),
            server_name: None,
            skips_verification: false,
            authorities: Vec::new(),
        }
    }

    #[test]
    fn a_server_to_which_no_credential_is_sent_is_judged_by_what_it_presents() {
        let (ca, other) = (Authority::new("kubernetes"), Authority::new("company"));
        let why = Unobserved::Interrupted;
        let seen = ApiServerHandshakes {
            refusal: Some("another CA".into()),
            instances: Err(why.clone()),
            ..handshakes(presented(&other.leaf(&["10.77.0.100"])), [])
        };
        let trusted = TrustedAuthorities(vec![ca.certificate]);
        let verdict = judge(&seen, &kubeconfig(), &trusted, Err(&why), Err(&why), Err(&why));
        assert_eq!((verdict.findings(Severity::Major).len(), verdict.gaps().len()), (1, 1));
    }

    #[test]
    fn a_certificate_for_every_way_to_the_instance_passes() {
        let ca = Authority::new("kubernetes");
        let leaf = ca.leaf(&["10.77.0.11", "10.96.0.1", "api.bed.test"]);
        let verdict = judged(&ca, &handshakes(presented(&leaf), [("10.77.0.11:6443", presented(&leaf))]));
        assert!(verdict.findings(Severity::Major).is_empty());
        assert_eq!(verdict.observations(), 2);
    }

    #[test]
    fn one_instance_without_the_endpoint_s_name_is_found() {
        let ca = Authority::new("kubernetes");
        let good = ca.leaf(&["10.77.0.11", "10.96.0.1", "api.bed.test"]);
        let old = ca.leaf(&["10.77.0.12", "10.96.0.1"]);
        let seen =
            handshakes(presented(&good), [("10.77.0.11:6443", presented(&good)), ("10.77.0.12:6443", presented(&old))]);
        let findings = judged(&ca, &seen).findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.subjects[0].to_string(), "10.77.0.12:6443");
        assert_eq!(finding.evidence, ["10.77.0.12:6443: no api.bed.test"]);
    }

    #[test]
    fn an_expired_and_a_foreign_certificate_are_found() {
        let ca = Authority::new("kubernetes");
        let names = ["10.77.0.11", "10.96.0.1", "api.bed.test"];
        let expired = ca.leaf_with(&names, &rcgen::PKCS_ECDSA_P256_SHA256, years(2020, 2021));
        let foreign = Authority::new("company").leaf(&names);
        for (leaf, why) in [(expired, "expired at"), (foreign, "CN=company")] {
            let seen = handshakes(presented(&leaf), [("10.77.0.11:6443", presented(&leaf))]);
            let findings = judged(&ca, &seen).findings(Severity::Major);
            let [finding] = &findings[..] else { panic!("{findings:?}") };
            assert!(finding.seen.contains(why), "{}", finding.seen);
        }
    }

    #[test]
    fn an_instance_that_does_not_answer_is_inconclusive() {
        let ca = Authority::new("kubernetes");
        let leaf = ca.leaf(&["10.77.0.11", "10.96.0.1", "api.bed.test"]);
        let silent = Err(Unobserved::unreachable("10.77.0.12:6443", "the connection was refused"));
        let seen =
            handshakes(presented(&leaf), [("10.77.0.11:6443", presented(&leaf)), ("10.77.0.12:6443", silent.clone())]);
        assert_eq!(judged(&ca, &seen).gaps()[0].subjects[0].to_string(), "10.77.0.12:6443");
        let out_of_reach = handshakes(presented(&leaf), [("10.77.0.12:6443", silent)]);
        assert!(judged(&ca, &out_of_reach).reason().is_some());
    }
}
