//! # The Service ranges match the flags of the API servers and contain every Service's address
//!
//! ## Why
//! API servers with different ranges disagree about which addresses are free. A Service range that overlaps the pod or
//! node network swallows its traffic on every node. An address that is not reserved, or reserved for another Service,
//! can be assigned twice.
//!
//! ## Fix
//! Set `--service-cluster-ip-range` back to the range of ServiceCIDR kubernetes in
//! `/etc/kubernetes/manifests/kube-apiserver.yaml` on every control-plane node, and `networking.serviceSubnet` in ConfigMap
//! kube-system/kubeadm-config. To add addresses, create a further ServiceCIDR instead; delete one that overlaps
//! (`kubectl delete servicecidr NAME`) after its Services were recreated elsewhere. Missing IPAddress objects are repaired
//! by the API server within minutes; if not, read its log for `ipallocator-repair-controller`.
//!
//! ## Source
//! KEP-1880; kubernetes/kubernetes `pkg/controlplane/controller/defaultservicecidr`,
//! `pkg/registry/core/service/ipallocator`; <https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/>

use std::net::IpAddr;

use crate::check::{Finding, Severity, Subject, Verdict, names};
use crate::cidr::Cidr;
use crate::fact::facts::clock::Clock;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::kubernetes_service::KubernetesService;
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::pods::Pods;
use crate::fact::facts::service_addresses::ServiceAddresses;
use crate::fact::facts::service_cidrs::{DEFAULT, ServiceCidrs};

crate::check!("SN-02", "service-ranges", Major, judge);

const ALLOCATOR: &str = "ipallocator.k8s.io";
/// For how many seconds a warning counts: the API server repeats it every few minutes while it lasts.
const RECENT: i64 = 600;

fn judge(
    cidrs: &ServiceCidrs,
    addresses: &ServiceAddresses,
    service: &KubernetesService,
    kubeadm: Option<&KubeadmConfig>,
    pods: &Pods,
    nodes: &Nodes,
    clock: &Clock,
) -> Verdict {
    let mut verdict = Verdict::new();
    judge_objects(&mut verdict, cidrs);
    judge_configuration(&mut verdict, cidrs, pods, kubeadm);
    judge_complaints(&mut verdict, cidrs, clock);
    judge_overlaps(&mut verdict, cidrs, nodes, kubeadm);
    judge_addresses(&mut verdict, cidrs, addresses, service);
    verdict
}

fn subject(name: &str) -> Subject {
    Subject::cluster_object("ServiceCIDR", name)
}

fn judge_objects(verdict: &mut Verdict, cidrs: &ServiceCidrs) {
    verdict.expect(subject(DEFAULT), cidrs.ranges.contains_key(DEFAULT), || {
        Finding::new("the ServiceCIDR that the API servers make", "there is none of this name")
    });
    for (name, range) in &cidrs.ranges {
        if range.deleting {
            verdict.find(
                subject(name),
                Finding::new("a range in use", "it is being deleted, which ends when no Service has an address of it")
                    .info(),
            );
            continue;
        }
        verdict
            .expect(subject(name), range.ready, || Finding::new("Ready=True", format!("not Ready: {}", range.message)));
    }
}

/// The range as the API servers were told, and as kubeadm would tell it to the next one.
fn judge_configuration(verdict: &mut Verdict, cidrs: &ServiceCidrs, pods: &Pods, kubeadm: Option<&KubeadmConfig>) {
    let Some(own) = cidrs.ranges.get(DEFAULT) else { return };
    let flags = pods.static_pods("kube-apiserver").filter_map(|pod| {
        let told = pod.flag("service-cluster-ip-range").last().copied()?;
        Some((Subject::object("Pod", &pod.namespace, &pod.name), "--service-cluster-ip-range", told))
    });
    let configured = kubeadm.and_then(|kubeadm| kubeadm.service_subnet.as_deref()).map(|subnet| {
        (Subject::object("ConfigMap", "kube-system", "kubeadm-config"), "networking.serviceSubnet", subnet)
    });
    for (subject, setting, told) in flags.chain(configured) {
        let ranges: Result<Vec<Cidr>, _> = told.split(',').map(str::parse).collect();
        verdict.expect(subject, ranges.is_ok_and(|ranges| ranges == own.cidrs), || {
            Finding::new(format!("{setting} {}, as ServiceCIDR {DEFAULT}", written(&own.cidrs)), told)
                .impact("an API server that starts with it gives out addresses that the others do not know as service addresses")
        });
    }
}

fn judge_complaints(verdict: &mut Verdict, cidrs: &ServiceCidrs, clock: &Clock) {
    let Some(complaints) = verdict.seen(|| Subject::object("events", "default", "ServiceCIDR"), &cidrs.complaints)
    else {
        return;
    };
    for complaint in complaints {
        let is_recent = complaint.last.is_some_and(|last| clock.server.as_second() - last.as_second() <= RECENT);
        if is_recent {
            verdict.find(
                subject(&complaint.about),
                Finding::new("no warning of an API server", format!("{}: {}", complaint.reason, complaint.message)),
            );
        }
    }
}

fn judge_overlaps(verdict: &mut Verdict, cidrs: &ServiceCidrs, nodes: &Nodes, kubeadm: Option<&KubeadmConfig>) {
    let mut others: Vec<(Cidr, String)> = Vec::new();
    let pod_subnets =
        kubeadm.and_then(|kubeadm| kubeadm.pod_subnet.as_deref()).into_iter().flat_map(|all| all.split(','));
    others.extend(pod_subnets.filter_map(|subnet| Some((subnet.parse().ok()?, "the pods' network".into()))));
    for (name, node) in &nodes.0 {
        others.extend(node.internal_addresses().map(|address| (Cidr::of(address), format!("the address of {name}"))));
        let pods = node.pod_cidrs.iter().filter_map(|range| range.parse().ok());
        others.extend(pods.map(|range| (range, format!("the pods of {name}"))));
    }
    for (name, range) in &cidrs.ranges {
        for cidr in &range.cidrs {
            let overlapped: Vec<String> = others
                .iter()
                .filter(|(other, _)| cidr.overlaps(other))
                .map(|(other, whose)| format!("{other} ({whose})"))
                .collect();
            verdict.expect(subject(name), overlapped.is_empty(), || {
                Finding::new(
                    "service addresses that no pod or node has",
                    format!("{cidr} overlaps {}", names(&overlapped)),
                )
                .impact("traffic to those pods or nodes is taken for traffic to Services")
            });
        }
    }
}

fn judge_addresses(
    verdict: &mut Verdict,
    cidrs: &ServiceCidrs,
    addresses: &ServiceAddresses,
    service: &KubernetesService,
) {
    let ranges: Vec<Cidr> = cidrs.ranges.values().flat_map(|range| range.cidrs.iter().copied()).collect();
    let (mut outside, mut unreserved, mut of_another) = (Vec::new(), Vec::new(), Vec::new());
    let used = addresses.services.iter().flat_map(|(name, all)| all.iter().map(move |address| (name, address)));
    for (name, address) in used {
        let parent = addresses.reserved.get(address).map(|reservation| &reservation.parent);
        let is_inside = ranges.iter().any(|range| range.contains(*address));
        if !is_inside {
            outside.push(format!("{address} ({name})"));
        }
        match parent {
            None => unreserved.push(format!("{address} ({name})")),
            Some(parent) if *parent != name.of("services") => {
                of_another.push(format!("{address} ({name}) is reserved for {parent}"));
            }
            Some(_) if is_inside => verdict.confirm(),
            Some(_) => {}
        }
    }
    let ranges = written(&ranges);
    for (expected, seen) in [
        (format!("every ClusterIP within {ranges}"), &outside),
        ("an IPAddress object for every ClusterIP".to_owned(), &unreserved),
        ("every ClusterIP reserved for its own Service".to_owned(), &of_another),
    ] {
        if !seen.is_empty() {
            verdict.find(Subject::cluster(), Finding::new(expected, names(seen)));
        }
    }
    judge_api_address(verdict, addresses, service.cluster_ip);
}

fn judge_api_address(verdict: &mut Verdict, addresses: &ServiceAddresses, api: IpAddr) {
    if let Some(reservation) = addresses.reserved.get(&api) {
        let subject = Subject::cluster_object("IPAddress", api.to_string());
        verdict.expect(subject, reservation.managed_by == ALLOCATOR, || {
            Finding::new(format!("managed by {ALLOCATOR}"), format!("managed by {:?}", reservation.managed_by))
                .severity(Severity::Minor)
        });
    }
}

fn written(ranges: &[Cidr]) -> String {
    ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::kubernetes_service::testing::kubernetes_service;
    use crate::fact::facts::nodes::Node;
    use crate::fact::facts::pods::{Container, Pod};
    use crate::fact::facts::service_addresses::Reservation;
    use crate::fact::facts::service_cidrs::{Complaint, ServiceCidr};
    use crate::object_ref::NamespacedName;
    use crate::object_ref::testing::named;
    use crate::seen::Unobserved;

    struct Facts {
        cidrs: ServiceCidrs,
        addresses: ServiceAddresses,
        kubeadm: KubeadmConfig,
        pods: Pods,
    }

    fn range(cidr: &str) -> ServiceCidr {
        ServiceCidr { cidrs: vec![cidr.parse().unwrap()], ready: true, message: String::new(), deleting: false }
    }

    fn facts() -> Facts {
        let used = [("default/kubernetes", "10.96.0.1"), ("kube-system/kube-dns", "10.96.0.10")]
            .map(|(name, address)| (named(name), address.parse::<IpAddr>().unwrap()));
        let reservation =
            |name: &NamespacedName| Reservation { parent: name.of("services"), managed_by: ALLOCATOR.into() };
        let server = Pod {
            namespace: "kube-system".into(),
            name: "kube-apiserver-n1".into(),
            labels: [("component".to_owned(), "kube-apiserver".to_owned())].into(),
            annotations: [("kubernetes.io/config.mirror".to_owned(), "abc".to_owned())].into(),
            containers: vec![Container {
                command: vec!["--service-cluster-ip-range=10.96.0.0/12".into()],
                ..Container::default()
            }],
            ..Pod::default()
        };
        Facts {
            cidrs: ServiceCidrs {
                ranges: [(DEFAULT.to_owned(), range("10.96.0.0/12"))].into(),
                complaints: Ok(Vec::new()),
            },
            addresses: ServiceAddresses {
                reserved: used.iter().map(|(name, address)| (*address, reservation(name))).collect(),
                services: used.map(|(name, address)| (name, vec![address])).into(),
            },
            kubeadm: KubeadmConfig {
                service_subnet: Some("10.96.0.0/12".into()),
                pod_subnet: Some("10.244.0.0/16".into()),
                ..KubeadmConfig::default()
            },
            pods: Pods([(named("kube-system/kube-apiserver-n1"), server)].into()),
        }
    }

    fn judged(facts: &Facts) -> Verdict {
        let service = kubernetes_service([10, 96, 0, 1]);
        let node = Node {
            addresses: vec![("InternalIP".into(), "10.77.0.11".into())],
            pod_cidrs: vec!["10.244.0.0/24".into()],
            ..Node::default()
        };
        let nodes = Nodes([("n1".to_owned(), node)].into());
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        let clock = Clock { server: now, here: now };
        judge(&facts.cidrs, &facts.addresses, &service, Some(&facts.kubeadm), &facts.pods, &nodes, &clock)
    }

    fn seen(facts: &Facts) -> Vec<String> {
        judged(facts).findings(Severity::Major).into_iter().map(|finding| finding.seen).collect()
    }

    #[test]
    fn a_consistent_cluster_passes() {
        let verdict = judged(&facts());
        assert_eq!((verdict.observations(), verdict.findings(Severity::Major)), (8, vec![]));
    }

    #[test]
    fn another_flag_is_found() {
        let mut facts = facts();
        let pod = facts.pods.0.values_mut().next().unwrap();
        pod.containers[0].command = vec!["--service-cluster-ip-range=10.112.0.0/16".into()];
        assert_eq!(seen(&facts), ["10.112.0.0/16"]);
    }

    #[test]
    fn a_range_within_the_pod_network_is_found() {
        let mut facts = facts();
        facts.cidrs.ranges.insert("more-addresses".into(), range("10.244.128.0/20"));
        assert_eq!(seen(&facts), ["10.244.128.0/20 overlaps 10.244.0.0/16 (the pods' network)"]);
        facts.cidrs.ranges.insert("more-addresses".into(), range("10.77.0.0/24"));
        assert_eq!(seen(&facts), ["10.77.0.0/24 overlaps 10.77.0.11/32 (the address of n1)"]);
    }

    #[test]
    fn addresses_that_are_not_reserved_or_outside_are_found() {
        let mut facts = facts();
        facts.addresses.services.insert(named("a/lost"), vec![[10, 96, 0, 77].into()]);
        facts.addresses.services.insert(named("a/twin"), vec![[10, 96, 0, 10].into()]);
        facts.addresses.services.insert(named("a/old"), vec![[10, 200, 0, 1].into()]);
        assert_eq!(
            seen(&facts),
            [
                "10.200.0.1 (a/old)",
                "10.96.0.77 (a/lost), 10.200.0.1 (a/old)",
                "10.96.0.10 (a/twin) is reserved for services kube-system/kube-dns",
            ]
        );
    }

    #[test]
    fn only_a_recent_warning_counts() {
        let mut facts = facts();
        let complaint = |last: &str| Complaint {
            about: DEFAULT.into(),
            reason: "KubernetesDefaultServiceCIDRInconsistent".into(),
            message: "does not match the flag".into(),
            last: Some(last.parse().unwrap()),
        };
        facts.cidrs.complaints = Ok(vec![complaint("2026-11-22T11:30:00Z")]);
        assert!(seen(&facts).is_empty());
        facts.cidrs.complaints = Ok(vec![complaint("2026-11-22T11:59:00Z")]);
        assert_eq!(seen(&facts), ["KubernetesDefaultServiceCIDRInconsistent: does not match the flag"]);
        facts.cidrs.complaints = Err(Unobserved::Interrupted);
        assert_eq!(judged(&facts).gaps().len(), 1);
    }

    #[test]
    fn a_range_that_is_not_ready_is_found_and_one_that_goes_is_remarked() {
        let mut facts = facts();
        let not_ready = ServiceCidr { ready: false, message: "no".into(), ..range("10.128.0.0/16") };
        facts.cidrs.ranges.insert("extra".into(), not_ready.clone());
        assert_eq!(seen(&facts), ["not Ready: no"]);
        facts.cidrs.ranges.insert("extra".into(), ServiceCidr { deleting: true, ..not_ready });
        assert_eq!(judged(&facts).findings(Severity::Major)[0].severity, Severity::Info);
    }
}
