//! # Service default/kubernetes has the first address of the Service range
//!
//! ## Why
//! Pods reach the API at this address, and kubeadm's API server certificates contain the first address of the Service
//! range. Kubernetes never changes the address of an existing Service: after a restore from a backup, or a change of
//! the range, every pod has an address that no certificate covers.
//!
//! ## Fix
//! Delete the Service; the API server recreates it within seconds at the right address:
//! `kubectl -n default delete service kubernetes`. Then restart the pods that use the API, since they keep the address
//! in their environment.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/controlplane/controller/kubernetesservice/controller.go`; KEP-1880

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::kubernetes_service::KubernetesService;
use crate::fact::facts::service_range::ServiceRange;

crate::check!("SN-01", "kubernetes-service-address", Critical, judge, builds_on: ["SN-02"]);

/// The labels that the API server gives the Service.
const LABELS: [(&str, &str); 2] = [("component", "apiserver"), ("provider", "kubernetes")];
const RECREATE: &str = "let the API server recreate it, within seconds: kubectl -n default delete service kubernetes";

fn judge(service: Option<&KubernetesService>, range: Option<&ServiceRange>) -> Verdict {
    let mut verdict = Verdict::new();
    let subject = || Subject::object("Service", "default", "kubernetes");
    let Some(service) = service else {
        verdict.find(
            subject(),
            Finding::new(
                "it exists: API servers create it when they start, and again within seconds",
                "it does not exist",
            )
            .impact("pods do not find the API server: controllers, DNS and network plugins in pods stop working")
            .fix(
                "look for why it is not created: kubectl -n kube-system logs -l component=kube-apiserver --tail=-1 \
                     | grep -i 'kubernetes service'; kubectl get validatingwebhookconfigurations,\
                     mutatingwebhookconfigurations",
            ),
        );
        return verdict;
    };
    match range {
        None => verdict.note(
            "the address was not checked: neither a ServiceCIDR nor ConfigMap kubeadm-config has the Service range",
        ),
        Some(range) => {
            let first = range.cidr.nth(1);
            verdict.expect(subject(), first == Some(service.cluster_ip), || {
                let first = first.map_or_else(|| "none".to_owned(), |first| first.to_string());
                Finding::new(
                    format!("clusterIP {first}, the first address of {} ({})", range.cidr, range.source),
                    format!("clusterIP {}", service.cluster_ip),
                )
                .impact("pods dial an address that the API servers' certificates do not contain")
                .fix(format!("{RECREATE}; then restart the pods that use the API, which keep the old address"))
            });
        }
    }
    verdict.expect(subject(), service.kind == "ClusterIP", || {
        Finding::new("type ClusterIP", format!("type {}", service.kind))
            .impact("clients outside the cluster may reach the API in a way that was not planned")
            .fix(RECREATE)
    });
    verdict.expect(subject(), !service.has_selector, || {
        Finding::new("no selector", "a selector").impact("the pods that it selects get requests meant for the API").fix(
            "kubectl -n default patch service kubernetes --type json -p '[{\"op\": \"remove\", \"path\": \
             \"/spec/selector\"}]'",
        )
    });
    verdict.expect(subject(), service.cluster_ips.len() == 1, || {
        Finding::new("one address, of the primary family", format!("clusterIPs: [{}]", service.cluster_ips.join(", ")))
            .impact("pods may dial an address that the API servers' certificates do not contain")
            .fix(RECREATE)
            .severity(Severity::Minor)
    });
    verdict.expect(subject(), service.ports.iter().any(|(name, port, _)| name == "https" && *port == 443), || {
        let ports: Vec<String> = service.ports.iter().map(|(name, port, _)| format!("{name}/{port}")).collect();
        Finding::new("port https/443", if ports.is_empty() { "no port".to_owned() } else { ports.join(", ") })
            .impact("pods dial port 443 of this Service and get no connection")
            .fix(RECREATE)
    });
    let missing: Vec<String> = LABELS
        .iter()
        .filter(|(key, value)| !service.labels.iter().any(|(k, v)| k == key && v == value))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    verdict.expect(subject(), missing.is_empty(), || {
        let missing = missing.join(" ");
        Finding::new("the labels that the API server gives it", format!("missing: {missing}"))
            .impact("monitoring and policies that select the Service by label miss it")
            .fix(format!("kubectl -n default label service kubernetes --overwrite {missing}"))
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
        let verdict = judge(Some(&service("10.96.0.1")), Some(&range()));
        assert_eq!((verdict.observations(), verdict.findings(Severity::Critical)), (6, vec![]));
    }

    #[test]
    fn a_service_that_does_not_exist_is_found() {
        assert_eq!(judge(None, Some(&range())).findings(Severity::Critical)[0].seen, "it does not exist");
    }

    #[test]
    fn another_address_is_found() {
        let findings = judge(Some(&service("10.96.0.50")), Some(&range())).findings(Severity::Critical);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].seen, "clusterIP 10.96.0.50");
        assert_eq!(
            findings[0].expected,
            "clusterIP 10.96.0.1, the first address of 10.96.0.0/12 (ServiceCIDR kubernetes)"
        );
    }

    #[test]
    fn without_a_range_everything_else_is_judged() {
        let verdict = judge(Some(&service("172.20.0.1")), None);
        assert_eq!((verdict.observations(), verdict.findings(Severity::Critical)), (5, vec![]));
        assert_eq!(crate::check::testing::notes(&verdict).len(), 1);
    }

    #[test]
    fn a_service_that_was_created_by_hand_is_found() {
        let mut made = service("10.96.0.1");
        made.has_selector = true;
        made.labels.clear();
        made.ports = vec![("https".into(), 6443, "6443".into())];
        let findings = judge(Some(&made), Some(&range())).findings(Severity::Critical);
        let seen: Vec<&str> = findings.iter().map(|finding| finding.seen.as_str()).collect();
        assert_eq!(seen, ["a selector", "https/6443", "missing: component=apiserver provider=kubernetes"]);
        assert_eq!(findings[2].severity, Severity::Minor);
    }
}
