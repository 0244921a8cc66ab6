//! # Every API server instance has a certificate for every name that kubeadm gives it
//!
//! ## Why
//! Pods dial the first service address or `kubernetes.default.svc`, kubelets dial the control plane's endpoint, and
//! whoever mends a control-plane node dials that node. Each verifies the name that it dialled, so a missing name breaks
//! one kind of client, on one instance out of several perhaps only now and then.
//!
//! ## Fix
//! On the node of the instance make the certificate anew; kubeadm adds the usual names by itself and those of
//! `controlPlaneEndpoint` and `apiServer.certSANs` from its configuration:
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
//! ADDRESS is `--advertise-address` in `/etc/kubernetes/manifests/kube-apiserver.yaml`, without which kubeadm takes that of the
//! default route; NODE is the node's name, and apiVersion that of the first document.
//!
//! Recent API servers take the new certificate into use by themselves; older ones must be restarted.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/util/pkiutil/pki_helpers.go` (`GetAPIServerAltNames`). Without kubeadm only
//! `kubernetes.default.svc` and the address of Service default/kubernetes are expected, which every distribution has.
//! A name of `apiServer.certSANs` that the certificate lacks is a remark: the certificate was not made anew yet. Common
//! name and issuer are not looked at, since no client does.

use std::net::{IpAddr, SocketAddr};

use super::instances::instances;
use crate::check::{Finding, Subject, Verdict};
use crate::cluster::handshake::Authority;
use crate::fact::facts::api_server_handshakes::ApiServerHandshakes;
use crate::fact::facts::cluster_domain::ClusterDomain;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::kubernetes_service::KubernetesService;
use crate::fact::facts::pods::Pods;
use crate::fact::facts::service_range::ServiceRange;

crate::check!("PK-02", "apiserver-names", Major, judge);

fn judge(
    handshakes: &ApiServerHandshakes,
    service: &KubernetesService,
    domain: &ClusterDomain,
    kubeadm: Option<&KubeadmConfig>,
    range: Option<&ServiceRange>,
    pods: &Pods,
) -> Verdict {
    let instances = match instances(handshakes) {
        Ok(instances) => instances,
        Err(verdict) => return verdict,
    };
    let first = range.and_then(|range| range.cidr.nth(1)).unwrap_or(service.cluster_ip);
    let mut verdict = Verdict::new();
    verdict.each(
        instances,
        |address| Subject::address(address),
        |verdict, address, handshake| {
            let leaf = match handshake.leaf().describe() {
                Ok(leaf) => leaf,
                Err(malformed) => {
                    return verdict
                        .find(Subject::address(address), Finding::new("a certificate", malformed.to_string()));
                }
            };
            let (expected, wished) = match kubeadm {
                Some(kubeadm) => (kubeadms_names(*address, kubeadm, first, domain, pods), wishes(kubeadm)),
                None => (vec!["kubernetes.default.svc".to_owned(), service.cluster_ip.to_string()], Vec::new()),
            };
            let mut missing = |names: Vec<String>| -> Vec<String> {
                names
                    .into_iter()
                    .filter(|name| {
                        let covered = leaf.covers(name);
                        if covered {
                            verdict.confirm();
                        }
                        !covered
                    })
                    .collect()
            };
            let (missing, unheeded) = (missing(expected), missing(wished));
            let seen = || format!("a certificate for {}", leaf.names());
            if !missing.is_empty() {
                verdict.find(
                    Subject::address(address),
                    Finding::new(format!("a certificate also for {}", missing.join(", ")), seen())
                        .so("clients that dial the instance by it and verify the certificate fail"),
                );
            }
            if !unheeded.is_empty() {
                verdict.find(
                    Subject::address(address),
                    Finding::new(
                        format!(
                            "a certificate also for {}, as apiServer.certSANs of kubeadm-config says",
                            unheeded.join(", ")
                        ),
                        seen(),
                    )
                    .so("the certificate was not made anew since that was configured")
                    .info(),
                );
            }
        },
    );
    verdict
}

/// The names that kubeadm gives an instance, whatever it is told besides.
fn kubeadms_names(
    instance: SocketAddr,
    kubeadm: &KubeadmConfig,
    first: IpAddr,
    domain: &ClusterDomain,
    pods: &Pods,
) -> Vec<String> {
    let node = pods
        .static_pods("kube-apiserver")
        .find(|pod| pod.advertised_address() == Some(instance))
        .and_then(|pod| pod.node.clone());
    let endpoint = kubeadm.control_plane_endpoint.as_deref().map(|endpoint| host(endpoint).to_owned());
    node.into_iter()
        .chain(["kubernetes", "kubernetes.default", "kubernetes.default.svc"].map(str::to_owned))
        .chain([format!("kubernetes.default.svc.{}", domain.0), first.to_string(), instance.ip().to_string()])
        .chain(endpoint)
        .collect()
}

/// The names that an administrator wished for; kubeadm drops what is neither a name nor an address.
fn wishes(kubeadm: &KubeadmConfig) -> Vec<String> {
    let is_name = |name: &str| {
        let name = name.strip_prefix("*.").unwrap_or(name);
        name.parse::<IpAddr>().is_ok() || Authority::new(name, 443).is_ok()
    };
    kubeadm.cert_sans.iter().filter(|name| is_name(name)).cloned().collect()
}

/// The host of a `controlPlaneEndpoint`, which may do without a port.
pub(super) fn host(endpoint: &str) -> &str {
    match endpoint.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None if endpoint.parse::<IpAddr>().is_ok() => endpoint,
        None => endpoint.split(':').next().unwrap_or(endpoint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::testing::Authority as Issuer;
    use crate::check::{Finding, Severity};
    use crate::fact::facts::kubernetes_service::testing::kubernetes_service;
    use crate::fact::facts::pods::testing::static_pod;
    use crate::seen::Unobserved;
    use crate::suites::pki::testing::{handshakes, presented};

    const USUAL: [&str; 7] = [
        "n1",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "10.96.0.1",
        "10.77.0.11",
    ];

    fn kubeadm() -> KubeadmConfig {
        KubeadmConfig {
            control_plane_endpoint: Some("api.bed.test:6443".into()),
            cert_sans: vec!["lb.example.org".into(), "not a name".into()],
            ..KubeadmConfig::default()
        }
    }

    fn judged(names: &[&str], kubeadm: Option<&KubeadmConfig>) -> Verdict {
        let leaf = Issuer::new("kubernetes").leaf(names);
        let seen = handshakes(presented(&leaf), [("10.77.0.11:6443", presented(&leaf))]);
        judged_on(&seen, kubeadm)
    }

    fn judged_on(handshakes: &ApiServerHandshakes, kubeadm: Option<&KubeadmConfig>) -> Verdict {
        let service = kubernetes_service([10, 43, 0, 1]);
        let range = ServiceRange { cidr: "10.96.0.0/12".parse().unwrap(), source: "ServiceCIDR kubernetes" };
        let pods = Pods([static_pod("kube-apiserver", "n1", &["--advertise-address=10.77.0.11"])].into());
        judge(handshakes, &service, &ClusterDomain("cluster.local".into()), kubeadm, Some(&range), &pods)
    }

    fn findings(verdict: &Verdict) -> Vec<Finding> {
        verdict.findings(Severity::Major)
    }

    #[test]
    fn the_complete_set_passes() {
        let names = [&USUAL[..], &["api.bed.test", "lb.example.org"]].concat();
        let verdict = judged(&names, Some(&kubeadm()));
        assert!(findings(&verdict).is_empty(), "{:?}", findings(&verdict));
        assert_eq!(verdict.observations(), 9);
    }

    #[test]
    fn what_is_missing_is_named_once_for_each_instance() {
        let verdict = judged(&["n1", "kubernetes", "10.77.0.11", "lb.example.org"], Some(&kubeadm()));
        let [finding] = &findings(&verdict)[..] else { panic!("{:?}", findings(&verdict)) };
        assert_eq!(finding.subjects[0].to_string(), "10.77.0.11:6443");
        assert_eq!(
            finding.expected,
            "a certificate also for kubernetes.default, kubernetes.default.svc, \
             kubernetes.default.svc.cluster.local, 10.96.0.1, api.bed.test"
        );
        assert_eq!(finding.severity, Severity::Major);
    }

    #[test]
    fn a_configured_name_that_is_not_in_the_certificate_yet_is_a_remark() {
        let names = [&USUAL[..], &["api.bed.test"]].concat();
        let verdict = judged(&names, Some(&kubeadm()));
        let [finding] = &findings(&verdict)[..] else { panic!("{:?}", findings(&verdict)) };
        assert!(finding.expected.contains("lb.example.org, as apiServer.certSANs"));
        assert_eq!(finding.severity, Severity::Info);
    }

    #[test]
    fn without_kubeadm_the_names_of_every_cluster_are_expected() {
        assert!(findings(&judged(&["kubernetes.default.svc", "10.43.0.1"], None)).is_empty());
        let verdict = judged(&["kubernetes.default.svc"], None);
        assert_eq!(findings(&verdict)[0].expected, "a certificate also for 10.43.0.1");
    }

    #[test]
    fn an_instance_that_does_not_answer_is_undecided_and_none_at_all_is_no_business_of_ours() {
        let leaf = Issuer::new("kubernetes").leaf(&["kubernetes.default.svc", "10.43.0.1"]);
        let silent = || Err(Unobserved::unreachable("10.77.0.12:6443", "refused"));
        let one = handshakes(presented(&leaf), [("10.77.0.11:6443", presented(&leaf)), ("10.77.0.12:6443", silent())]);
        assert_eq!(judged_on(&one, None).gaps().len(), 1);
        let none = handshakes(presented(&leaf), [("10.77.0.12:6443", silent())]);
        assert!(judged_on(&none, None).reason().unwrap().contains("10.77.0.12:6443"));
    }

    #[test]
    fn the_host_of_an_endpoint() {
        assert_eq!(host("api.bed.test:6443"), "api.bed.test");
        assert_eq!(host("api.bed.test"), "api.bed.test");
        assert_eq!(host("[fd00::1]:6443"), "fd00::1");
        assert_eq!(host("fd00::1"), "fd00::1");
        assert_eq!(host("10.77.0.100:6443"), "10.77.0.100");
    }
}
