//! # Service default/kubernetes has the first address of the Service range
//!
//! ## Why
//! Pods reach the API at this address, and kubeadm's API server certificates contain the first address of the Service
//! range. Kubernetes never changes the address of an existing Service: after a restore from a backup, or a change of
//! the range, every pod has an address that no certificate covers.
//!
//! ## Fix
//! Delete the Service; the API server recreates it within seconds at the right address:
//! `kubectl -n default delete service kubernetes`. Then restart the pods that use the API, since they keep the address in
//! their environment.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/controlplane/controller/kubernetesservice/controller.go`; KEP-1880

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::kubernetes_service::KubernetesService;
use crate::fact::facts::service_range::ServiceRange;

crate::check!("SN-01", "kubernetes-service-address", Critical, judge);

/// What the API server puts on the Service.
const LABELS: [(&str, &str); 2] = [("component", "apiserver"), ("provider", "kubernetes")];

fn judge(service: &KubernetesService, range: Option<&ServiceRange>) -> Verdict {
    let mut verdict = Verdict::new();
    let subject = || Subject::object("Service", "default", "kubernetes");
    match range {
        None => verdict.note("neither a ServiceCIDR nor kubeadm-config tells the range: the address is not judged"),
        Some(range) => {
            let first = range.cidr.nth(1);
            verdict.expect(subject(), first == Some(service.cluster_ip), || {
                let first = first.map_or_else(|| "none".to_owned(), |first| first.to_string());
                Finding::new(
                    format!("{first}, the first address of {} ({})", range.cidr, range.source),
                    service.cluster_ip.to_string(),
                )
                .impact("the API servers' certificates are made for another address than pods dial")
            });
        }
    }
    verdict.expect(subject(), service.kind == "ClusterIP", || Finding::new("type ClusterIP", &service.kind));
    verdict.expect(subject(), !service.has_selector, || {
        Finding::new("no selector", "a selector").impact("the pods that it selects get the requests meant for the API")
    });
    verdict.expect(subject(), service.cluster_ips.len() == 1, || {
        Finding::new("one address, of the primary family", service.cluster_ips.join(", ")).severity(Severity::Minor)
    });
    verdict.expect(subject(), service.ports.iter().any(|(name, port, _)| name == "https" && *port == 443), || {
        let ports: Vec<String> = service.ports.iter().map(|(name, port, _)| format!("{name}/{port}")).collect();
        Finding::new("port https/443", if ports.is_empty() { "no port".to_owned() } else { ports.join(", ") })
    });
    let missing: Vec<String> = LABELS
        .iter()
        .filter(|(key, value)| !service.labels.iter().any(|(k, v)| k == key && v == value))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    verdict.expect(subject(), missing.is_empty(), || {
        Finding::new("the labels of the API server", format!("without {}", missing.join(", ")))
            .severity(Severity::Minor)
    });
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(address: &str) -> KubernetesService {
        KubernetesService {
            kind: "ClusterIP".into(),
            cluster_ip: address.parse().unwrap(),
            cluster_ips: vec![address.into()],
            labels: LABELS.map(|(key, value)| (key.into(), value.into())).into(),
            has_selector: false,
            ports: vec![("https".into(), 443, "6443".into())],
        }
    }

    fn range() -> ServiceRange {
        ServiceRange { cidr: "10.96.0.0/12".parse().unwrap(), source: "ServiceCIDR kubernetes" }
    }

    #[test]
    fn the_first_address_passes() {
        let verdict = judge(&service("10.96.0.1"), Some(&range()));
        assert_eq!((verdict.observations(), verdict.findings(Severity::Critical)), (6, vec![]));
    }

    #[test]
    fn another_address_is_found() {
        let findings = judge(&service("10.96.0.50"), Some(&range())).findings(Severity::Critical);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].seen, "10.96.0.50");
        assert_eq!(findings[0].expected, "10.96.0.1, the first address of 10.96.0.0/12 (ServiceCIDR kubernetes)");
    }

    #[test]
    fn an_unknown_range_leaves_the_rest_to_judge() {
        let verdict = judge(&service("172.20.0.1"), None);
        assert_eq!((verdict.observations(), verdict.findings(Severity::Critical)), (5, vec![]));
        assert_eq!(crate::check::testing::notes(&verdict).len(), 1);
    }

    #[test]
    fn a_service_made_by_hand_is_found() {
        let mut made = service("10.96.0.1");
        made.has_selector = true;
        made.labels.clear();
        made.ports = vec![("https".into(), 6443, "6443".into())];
        let findings = judge(&made, Some(&range())).findings(Severity::Critical);
        let seen: Vec<&str> = findings.iter().map(|finding| finding.seen.as_str()).collect();
        assert_eq!(seen, ["a selector", "https/6443", "without component=apiserver, provider=kubernetes"]);
        assert_eq!(findings[2].severity, Severity::Minor);
    }
}
