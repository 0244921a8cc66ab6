//! # The configured API endpoint presents a certificate that its clients can verify
//!
//! ## Why
//! Every client of this kubeconfig, and every node, verifies the name that it dials. A certificate without that name
//! makes them fail, or leads their owners to set `insecure-skip-tls-verify`, after which anyone on the network path can
//! take their credentials. Usually a load balancer, a virtual address or a DNS name was added after the certificate was
//! made.
//!
//! ## Fix
//! On kubeadm add the name to `apiServer.certSANs` (`kubectl -n kube-system edit configmap kubeadm-config`), and on
//! each control-plane node, one after the other:
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
//! address of the default route. NODE is the node's name, and apiVersion that of the first document. While no API
//! server answers, use flags in place of the file: `kubeadm init phase certs apiserver
//! --apiserver-advertise-address=ADDRESS --control-plane-endpoint=HOST:PORT --service-cidr=RANGE
//! --service-dns-domain=DOMAIN --apiserver-cert-extra-sans=NAMES`; they cannot be combined with `--config`.
//!
//! Instead of `insecure-skip-tls-verify` put the cluster's CA into the kubeconfig:
//! `kubectl config set-cluster NAME --certificate-authority=ca.crt --embed-certs --insecure-skip-tls-verify=false`.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/util/pkiutil/pki_helpers.go` (`GetAPIServerAltNames`);
//! <https://kubernetes.io/docs/setup/best-practices/certificates/>. A server that is asked for an unknown name presents
//! its default certificate, so the names are compared here. `tls-server-name` counts, as it does for kubectl. A server
//! that is not accepted is examined without a credential; if another CA signed its certificate, ConfigMap
//! kube-public/cluster-info shows whether the server's own cluster has that CA.

use jiff::Timestamp;

use super::helpers::distrust::{remake, remedy};
use super::helpers::names::valid_at;
use crate::certificate::{Certificate, verify};
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::api_server_handshakes::ApiServerHandshakes;
use crate::fact::facts::kubeconfig_summary::KubeconfigSummary;
use crate::fact::facts::offered_authorities::OfferedAuthorities;
use crate::handshake::Handshake;
use crate::seen::Unobserved;
use crate::suites::kubeadm_phase::again;

crate::check!("PK-01", "endpoint-certificate", Critical, judge, blocked_by: ["CP-01"]);

/// Changes the cluster of the kubeconfig's current context, with the CA from a control-plane node.
const VERIFY_WITH_CA: &str = "with /etc/kubernetes/pki/ca.crt from a control-plane node: kubectl config set-cluster \
     \"$(kubectl config view --minify -o jsonpath='{.contexts[0].context.cluster}')\" --certificate-authority=ca.crt \
     --embed-certs --insecure-skip-tls-verify=false";

fn judge(
    kubeconfig: &KubeconfigSummary,
    handshakes: &ApiServerHandshakes,
    offered: Result<&OfferedAuthorities, &Unobserved>,
) -> Verdict {
    let mut verdict = Verdict::new();
    judge_endpoint(&mut verdict, kubeconfig, handshakes, offered.ok());
    // What made the program refuse the server may show nowhere else: this machine's own CAs, a short key.
    if let Some(refusal) = handshakes.refusal.as_ref().filter(|_| verdict.findings(CHECK.severity).is_empty()) {
        verdict.find(
            Subject::address(&kubeconfig.endpoint),
            Finding::new("a server that clients accept", refusal)
                .impact("no request with a credential can be sent to it")
                .fix(remake()),
        );
    }
    verdict
}

fn judge_endpoint(
    verdict: &mut Verdict,
    kubeconfig: &KubeconfigSummary,
    handshakes: &ApiServerHandshakes,
    offered: Option<&OfferedAuthorities>,
) {
    let subject = || Subject::address(&kubeconfig.endpoint);
    if !verdict.expect(subject(), kubeconfig.https, || {
        Finding::new("the kubeconfig uses https", "its server is an http URL")
            .impact("credentials and answers cross the network unprotected")
            .fix(format!("{VERIFY_WITH_CA} --server=https://{}", kubeconfig.endpoint))
    }) {
        return;
    }
    verdict.expect(subject(), !kubeconfig.skips_verification, || {
        Finding::new(
            "the kubeconfig makes clients verify the API server's certificate",
            "it sets insecure-skip-tls-verify: true",
        )
        .impact("anyone on the network path can pose as the API server and take the credentials")
        .fix(VERIFY_WITH_CA)
    });
    let Some(handshake) = verdict.seen(subject, &handshakes.endpoint) else { return };
    let name = kubeconfig.name();
    if let Some(name) = &kubeconfig.server_name {
        verdict.note(format!("the kubeconfig verifies tls-server-name {name} instead of the host of its URL"));
    }
    match handshake.leaf().describe() {
        Err(malformed) => {
            let finding =
                Finding::new("a certificate", malformed.to_string()).impact("no client can connect").fix(remake());
            verdict.find(subject(), finding);
        }
        Ok(leaf) => {
            verdict.expect(subject(), leaf.covers(name), || {
                let names = leaf.names().len();
                Finding::new(format!("a certificate for {name}"), format!("its certificate has {names} other names"))
                    .impact("every client that verifies the name fails")
                    .fix(format!(
                        "add {name} to apiServer.certSANs (kubectl -n kube-system edit configmap kubeadm-config); then \
                         on each control-plane node, {}",
                        again("certs apiserver")
                    ))
                    .evidence(valid_at(&kubeconfig.endpoint, &leaf))
            });
        }
    }
    if kubeconfig.authorities.is_empty() {
        verdict.note("the issuer was not checked: the kubeconfig has no CA");
        return;
    }
    match verify(&handshake.chain, &kubeconfig.authorities, None, handshakes.at) {
        Ok(()) => verdict.confirm(),
        Err(distrust) => {
            let finding = Finding::new("a valid certificate that the kubeconfig's CA signed", distrust.to_string())
                .impact("every client that verifies it fails");
            let issuer = offered.and_then(|offered| issuer(handshake, offered, handshakes.at));
            verdict.find(
                subject(),
                match issuer {
                    None => finding.fix(remedy(&distrust)),
                    Some(ca) => finding
                        .evidence([format!("ConfigMap kube-public/cluster-info of this server has the CA that signed it: {ca}")])
                        .fix(format!(
                            "on a control-plane node: openssl x509 -outform DER -in /etc/kubernetes/pki/ca.crt | sha256sum; \
                             if it prints the same fingerprint, the kubeconfig has the CA of another cluster: replace it \
                             {VERIFY_WITH_CA}"
                        )),
                },
            );
        }
    }
    note_who_presents_it(verdict, handshake, handshakes);
}

/// The CA that signed what a server presents, of those that the same server offers to nodes that join, with its
/// fingerprint.
fn issuer(handshake: &Handshake, OfferedAuthorities(offered): &OfferedAuthorities, at: Timestamp) -> Option<String> {
    let signed = |ca: &&Certificate| verify(&handshake.chain, std::slice::from_ref(*ca), None, at).is_ok();
    let ca = offered.iter().find(signed)?;
    Some(format!("{}, {}", ca.describe().ok()?.subject, ca.fingerprint()))
}

/// Notes whether an API server presents the certificate, or a proxy in front of it. Without the right to list the
/// instances, that is a gap.
fn note_who_presents_it(verdict: &mut Verdict, endpoint: &Handshake, handshakes: &ApiServerHandshakes) {
    match &handshakes.instances {
        Err(why @ Unobserved::Refused { .. }) => {
            verdict.unseen(Subject::object("EndpointSlice", "default", "kubernetes"), why);
        }
        Err(why) => verdict.note(format!("whether an API server presents this certificate was not checked: {why}")),
        Ok(instances) => {
            let presented: Vec<_> = instances.values().flatten().map(Handshake::leaf).collect();
            if !presented.is_empty() && !presented.contains(&endpoint.leaf()) {
                verdict.note(
                    "no API server presents this certificate: a proxy in front of them ends TLS, and client \
                     certificates do not get through",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::testing::{Authority, years};
    use crate::check::Severity;
    use crate::check::testing::notes;
    use crate::suites::pki::testing::{handshakes, presented};

    fn kubeconfig(ca: &Authority) -> KubeconfigSummary {
        KubeconfigSummary {
            https: true,
            endpoint: "10.77.0.100:6443".parse().unwrap(),
            server_name: None,
            skips_verification: false,
            authorities: vec![ca.certificate.clone()],
        }
    }

    fn judged(kubeconfig: &KubeconfigSummary, handshakes: &ApiServerHandshakes) -> Verdict {
        judge(kubeconfig, handshakes, Err(&Unobserved::absent("the CA is known")))
    }

    #[test]
    fn a_certificate_for_the_dialled_name_passes() {
        let ca = Authority::new("kubernetes");
        let verdict = judged(&kubeconfig(&ca), &handshakes(presented(&ca.leaf(&["10.77.0.100"])), []));
        assert!(verdict.findings(Severity::Critical).is_empty());
        assert_eq!(verdict.observations(), 4);
    }

    #[test]
    fn a_name_that_is_not_in_the_certificate_is_found() {
        let ca = Authority::new("kubernetes");
        let handshakes = handshakes(presented(&ca.leaf(&["n1", "10.77.0.11"])), []);
        let findings = judged(&kubeconfig(&ca), &handshakes).findings(Severity::Critical);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.subjects[0].to_string(), "10.77.0.100:6443");
        assert_eq!(finding.expected, "a certificate for 10.77.0.100");
        assert_eq!(finding.seen, "its certificate has 2 other names");
        assert_eq!(finding.evidence, ["10.77.0.100:6443: valid for 10.77.0.11", "10.77.0.100:6443: valid for n1"]);

        let by_name = KubeconfigSummary { server_name: Some("n1".into()), ..kubeconfig(&ca) };
        assert!(judged(&by_name, &handshakes).findings(Severity::Critical).is_empty());
    }

    #[test]
    fn another_issuer_and_an_expired_certificate_are_found() {
        let ca = Authority::new("kubernetes");
        let other = Authority::new("company");
        let seen =
            |chain| judged(&kubeconfig(&ca), &handshakes(chain, [])).findings(Severity::Critical)[0].seen.clone();
        assert_eq!(
            seen(presented(&other.leaf(&["10.77.0.100"]))),
            "it leads to an issuer that is not trusted: CN=company"
        );
        let expired = ca.leaf_with(&["10.77.0.100"], &rcgen::PKCS_ECDSA_P256_SHA256, years(2020, 2021));
        assert!(seen(presented(&expired)).contains("expired at 2021-12-31"));
    }

    #[test]
    fn the_ca_that_the_server_offers_shows_which_side_is_wrong() {
        let (ours, theirs) = (Authority::new("kubernetes"), Authority::new("kubernetes"));
        let seen = handshakes(presented(&theirs.leaf(&["10.77.0.100"])), []);
        let offered = OfferedAuthorities(vec![theirs.certificate.clone()]);
        let findings = judge(&kubeconfig(&ours), &seen, Ok(&offered)).findings(Severity::Critical);
        assert!(findings[0].evidence[0].ends_with(&theirs.certificate.fingerprint()), "{findings:?}");
        assert!(findings[0].fix.contains("the kubeconfig has the CA of another cluster"), "{findings:?}");
        let neither = OfferedAuthorities(vec![ours.certificate.clone()]);
        let findings = judge(&kubeconfig(&ours), &seen, Ok(&neither)).findings(Severity::Critical);
        assert!(findings[0].evidence.is_empty(), "{findings:?}");
    }

    #[test]
    fn a_server_that_the_program_refused_never_passes() {
        let ca = Authority::new("kubernetes");
        let seen = handshakes(presented(&ca.leaf(&["10.77.0.100"])), []);
        let refused = ApiServerHandshakes { refusal: Some("its key is short".into()), ..seen };
        let findings = judged(&kubeconfig(&ca), &refused).findings(Severity::Critical);
        assert_eq!(findings.iter().map(|finding| finding.seen.as_str()).collect::<Vec<_>>(), ["its key is short"]);
    }

    #[test]
    fn a_kubeconfig_that_skips_verification_is_found() {
        let ca = Authority::new("kubernetes");
        let careless = KubeconfigSummary { skips_verification: true, authorities: Vec::new(), ..kubeconfig(&ca) };
        let findings =
            judged(&careless, &handshakes(presented(&ca.leaf(&["10.77.0.100"])), [])).findings(Severity::Critical);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert!(finding.seen.contains("insecure-skip-tls-verify"));
    }

    #[test]
    fn a_proxy_in_front_of_the_api_servers_is_noted() {
        let ca = Authority::new("kubernetes");
        let endpoint = presented(&ca.leaf(&["10.77.0.100"]));
        let refused = Unobserved::Refused { missing: "list endpointslices".into(), message: "no".into() };
        let unknown = ApiServerHandshakes { instances: Err(refused), ..handshakes(endpoint.clone(), []) };
        assert_eq!(judged(&kubeconfig(&ca), &unknown).gaps().len(), 1);

        let others = handshakes(endpoint, [("10.77.0.11:6443", presented(&ca.leaf(&["10.77.0.11"])))]);
        let verdict = judged(&kubeconfig(&ca), &others);
        assert!(verdict.findings(Severity::Critical).is_empty());
        assert!(notes(&verdict).iter().any(|note| note.contains("ends TLS")), "{:?}", notes(&verdict));
    }

    #[test]
    fn an_endpoint_that_presents_nothing_is_inconclusive() {
        let ca = Authority::new("kubernetes");
        let silent = handshakes(Err(Unobserved::unreachable("10.77.0.100:6443", "refused")), []);
        let verdict = judged(&kubeconfig(&ca), &silent);
        assert_eq!(verdict.gaps().len(), 1);
        assert!(verdict.findings(Severity::Critical).is_empty());
    }
}
