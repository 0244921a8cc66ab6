//! # Every API server instance has a certificate for every name that kubeadm gives it
//!
//! ## Why
//! Pods dial the first service address or `kubernetes.default.svc`, kubelets dial the control plane's endpoint, and
//! administrators who repair a control-plane node dial that node. Each verifies the name that it dialled, so a missing
//! name breaks one kind of client, and with several instances perhaps only now and then.
//!
//! ## Fix
//! On the node of the instance make the certificate again; kubeadm adds the usual names by itself, and those of
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
//! ADDRESS is `--advertise-address` in `/etc/kubernetes/manifests/kube-apiserver.yaml`; without it kubeadm takes the
//! address of the default route. NODE is the node's name, and apiVersion that of the first document.
//!
//! Recent API servers load the new certificate by themselves; restart older ones.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/util/pkiutil/pki_helpers.go` (`GetAPIServerAltNames`). Without kubeadm only
//! `kubernetes.default.svc` and the address of Service default/kubernetes are expected, which every distribution has. A
//! name of `apiServer.certSANs` that the certificate lacks is an info finding: the certificate was not made again yet.
//! Common name and issuer are not checked, since no client checks them here.

use std::net::{IpAddr, SocketAddr};

use super::helpers::distrust::remake;
use super::helpers::instances::instances;
use super::helpers::names::{lacks, missing, missing_at};
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::api_server_handshakes::ApiServerHandshakes;
use crate::fact::facts::cluster_domain::ClusterDomain;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::kubernetes_service::KubernetesService;
use crate::fact::facts::pods::Pods;
use crate::fact::facts::service_range::ServiceRange;
use crate::handshake::Authority;
use crate::seen::Unobserved;

crate::check!(
    "PK-02",
    "apiserver-names",
    Major,
    judge,
    builds_on: ["SN-01", "SN-02"],
    blocked_by: ["CP-08"]
);

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
    let fix = if kubeadm.is_some() {
        remake()
    } else {
        "make the certificate again with these names, with the tool that made the cluster".to_owned()
    };
    let mut verdict = Verdict::new();
    if let Some((field, cause)) = kubeadm.and_then(|kubeadm| kubeadm.unread.get_key_value("apiServer.certSANs")) {
        let map = Subject::object("ConfigMap", "kube-system", "kubeadm-config");
        verdict.unseen(map, &Unobserved::invalid(format!("field {field} of ClusterConfiguration"), cause));
    }
    verdict.each(
        instances,
        |address| Subject::address(address),
        |verdict, address, handshake| {
            let subject = || Subject::address(address);
            let leaf = match handshake.leaf().describe() {
                Ok(leaf) => leaf,
                Err(malformed) => {
                    let finding = Finding::new("a certificate", malformed.to_string())
                        .impact("no client can connect to this instance")
                        .fix(&fix);
                    return verdict.find(subject(), finding);
                }
            };
            let (expected, configured) = match kubeadm {
                Some(kubeadm) => (kubeadms_names(*address, kubeadm, first, domain, pods), configured_names(kubeadm)),
                None => (vec!["kubernetes.default.svc".to_owned(), service.cluster_ip.to_string()], Vec::new()),
            };
            let names = expected.len() + configured.len();
            let (lacking, not_yet) = (missing(&leaf, expected), missing(&leaf, configured));
            (lacking.len() + not_yet.len()..names).for_each(|_| verdict.confirm());
            if !lacking.is_empty() {
                verdict.find(
                    subject(),
                    Finding::new("a certificate for every name by which clients dial this instance", lacks(&lacking))
                        .impact("clients that dial the instance by such a name and verify the certificate fail")
                        .fix(&fix)
                        .same_as(if of_domain(&lacking, domain) { &["CP-08"] } else { &[] })
                        .evidence(missing_at(address, &lacking)),
                );
            }
            if !not_yet.is_empty() {
                verdict.find(
                    subject(),
                    Finding::new(
                        "a certificate for the names in apiServer.certSANs of ConfigMap kubeadm-config",
                        lacks(&not_yet),
                    )
                    .impact("the certificate was not made again since that was configured")
                    .fix(&fix)
                    .evidence(missing_at(address, &not_yet))
                    .info(),
                );
            }
        },
    );
    verdict
}

/// The names that kubeadm always gives an instance.
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
        .and_then(|pod| pod.node.as_ref().map(ToString::to_string));
    let endpoint = kubeadm.control_plane_endpoint.as_deref().map(|endpoint| host(endpoint).to_owned());
    node.into_iter()
        .chain(["kubernetes", "kubernetes.default", "kubernetes.default.svc"].map(str::to_owned))
        .chain(domain.is_known().then(|| format!("kubernetes.default.svc.{domain}")))
        .chain([first.to_string(), instance.ip().to_string()])
        .chain(endpoint)
        .collect()
}

/// The names that an administrator configured; kubeadm drops entries that are neither a name nor an address.
fn configured_names(kubeadm: &KubeadmConfig) -> Vec<String> {
    let is_name = |name: &str| {
        let name = name.strip_prefix("*.").unwrap_or(name);
        name.parse::<IpAddr>().is_ok() || Authority::new(name, 443).is_ok()
    };
    kubeadm.cert_sans.iter().filter(|name| is_name(name)).cloned().collect()
}

/// The host of a `controlPlaneEndpoint`, whose port is optional.
pub(super) fn host(endpoint: &str) -> &str {
    match endpoint.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None if endpoint.parse::<IpAddr>().is_ok() => endpoint,
        None => endpoint.split(':').next().unwrap_or(endpoint),
    }
}

/// Whether all of these names end with the cluster's domain, which kubeadm-config may state wrongly.
fn of_domain(lacking: &[String], domain: &ClusterDomain) -> bool {
    lacking.iter().all(|name| name.ends_with(&format!(".{domain}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::testing::Authority as Issuer;
    use crate::check::{Finding, Severity};
    use crate::fact::facts::cluster_domain::testing::cluster_local;
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
        judge(handshakes, &service, &cluster_local(), kubeadm, Some(&range), &pods)
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
    fn missing_names_are_one_finding_with_all_of_them() {
        let verdict = judged(&["n1", "kubernetes", "10.77.0.11", "lb.example.org"], Some(&kubeadm()));
        let [finding] = &findings(&verdict)[..] else { panic!("{:?}", findings(&verdict)) };
        assert_eq!(finding.subjects[0].to_string(), "10.77.0.11:6443");
        assert_eq!(finding.seen, "the certificate lacks 5 names");
        let names = [
            "10.96.0.1",
            "api.bed.test",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ];
        assert_eq!(finding.evidence, names.map(|name| format!("10.77.0.11:6443: no {name}")));
        assert_eq!(finding.severity, Severity::Major);
    }

    #[test]
    fn a_configured_name_that_is_not_in_the_certificate_yet_is_info() {
        let names = [&USUAL[..], &["api.bed.test"]].concat();
        let verdict = judged(&names, Some(&kubeadm()));
        let [finding] = &findings(&verdict)[..] else { panic!("{:?}", findings(&verdict)) };
        assert!(finding.expected.contains("apiServer.certSANs"));
        assert_eq!(finding.evidence, ["10.77.0.11:6443: no lb.example.org"]);
        assert_eq!(finding.severity, Severity::Info);
    }

    #[test]
    fn without_kubeadm_the_names_of_every_cluster_are_expected() {
        assert!(findings(&judged(&["kubernetes.default.svc", "10.43.0.1"], None)).is_empty());
        let verdict = judged(&["kubernetes.default.svc"], None);
        assert_eq!(findings(&verdict)[0].evidence, ["10.77.0.11:6443: no 10.43.0.1"]);
    }

    #[test]
    fn one_instance_that_does_not_answer_is_inconclusive_and_none_at_all_is_not_applicable() {
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
