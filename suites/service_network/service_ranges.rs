//! # The Service ranges match the flags of the API servers and contain every Service's address
//!
//! ## Why
//! API servers with different ranges disagree about which addresses are free. A Service range that overlaps the pod or
//! node network swallows its traffic on every node. An address that is not reserved, or reserved for another Service,
//! can be assigned twice.
//!
//! ## Fix
//! Set `--service-cluster-ip-range` back to the range of ServiceCIDR kubernetes in
//! `/etc/kubernetes/manifests/kube-apiserver.yaml` on every control-plane node, and `networking.serviceSubnet` in
//! ConfigMap kube-system/kubeadm-config. To add addresses, create another ServiceCIDR instead; to remove one that
//! overlaps, `kubectl delete servicecidr NAME --wait=false` and recreate its Services. The API servers repair missing
//! IPAddress objects within minutes; if they do not, read their log for `ipallocator-repair-controller`.
//!
//! ## Source
//! KEP-1880; kubernetes/kubernetes `pkg/controlplane/controller/defaultservicecidr`,
//! `pkg/registry/core/service/ipallocator`;
//! <https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/>

use std::net::IpAddr;

use super::helpers::service_cidr::retire;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::cidr::Cidr;
use crate::fact::facts::clock::Clock;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::kubernetes_service::KubernetesService;
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::pods::Pods;
use crate::fact::facts::service_addresses::ServiceAddresses;
use crate::fact::facts::service_cidrs::{DEFAULT, ServiceCidrs};
use crate::suites::node_ranges;

crate::check!("SN-02", "service-ranges", Major, judge, builds_on: ["SN-11"]);

const ALLOCATOR: &str = "ipallocator.k8s.io";
/// For how many seconds a warning counts: the API server repeats it every few minutes while it lasts.
const RECENT: i64 = 600;
const LOG: &str = "kubectl -n kube-system logs -l component=kube-apiserver --prefix --tail=-1";

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
    judge_addresses(&mut verdict, cidrs, addresses);
    judge_api_address(&mut verdict, addresses, service.cluster_ip);
    verdict
}

fn subject(name: &str) -> Subject {
    Subject::cluster_object("ServiceCIDR", name)
}

fn judge_objects(verdict: &mut Verdict, cidrs: &ServiceCidrs) {
    verdict.expect(subject(DEFAULT), cidrs.ranges.contains_key(DEFAULT), || {
        Finding::new("the ServiceCIDR that the API servers create", "it does not exist")
            .impact("new Services get no address of the API servers' range")
            .fix(format!("find out why the API servers do not create it again: {LOG} | grep -i servicecidr"))
    });
    for (name, range) in &cidrs.ranges {
        if range.deleting {
            let finding =
                Finding::new("a range in use", "it is being deleted, which ends when no Service has an address in it")
                    .impact("new Services get no address in it")
                    .fix("recreate the Services with an address in it: kubectl get services --all-namespaces")
                    .info();
            verdict.find(subject(name), finding);
            continue;
        }
        verdict.expect(subject(name), range.ready, || {
            Finding::new("Ready=True", format!("not Ready: {}", range.message))
                .impact("new Services get no address in it")
                .fix(format!("find out why the API servers do not use it: {LOG} | grep -i servicecidr"))
        });
    }
}

/// Judges the range that each API server was given, and the one that kubeadm would give the next.
fn judge_configuration(verdict: &mut Verdict, cidrs: &ServiceCidrs, pods: &Pods, kubeadm: Option<&KubeadmConfig>) {
    let Some(own) = cidrs.ranges.get(DEFAULT) else { return };
    let flags = pods.static_pods("kube-apiserver").filter_map(|pod| {
        let value = pod.flag("service-cluster-ip-range").last().copied()?;
        let place = " in /etc/kubernetes/manifests/kube-apiserver.yaml on the node of each such Pod";
        Some((Subject::object("Pod", &pod.namespace, &pod.name), "--service-cluster-ip-range", value, place))
    });
    let configured = kubeadm.and_then(|kubeadm| kubeadm.service_subnet.as_deref()).map(|subnet| {
        let place = ": kubectl -n kube-system edit configmap kubeadm-config";
        (Subject::object("ConfigMap", "kube-system", "kubeadm-config"), "networking.serviceSubnet", subnet, place)
    });
    for (subject, setting, value, place) in flags.chain(configured) {
        let ranges: Result<Vec<Cidr>, _> = value.split(',').map(str::parse).collect();
        verdict.expect(subject, ranges.is_ok_and(|ranges| ranges == own.cidrs), || {
            let right = written(&own.cidrs);
            Finding::new(format!("{setting} {right}, as ServiceCIDR {DEFAULT}"), format!("{setting} {value}"))
                .impact("an API server that starts with it assigns addresses that the others do not accept")
                .fix(format!("set {setting} to {right}{place}"))
        });
    }
}

fn judge_complaints(verdict: &mut Verdict, cidrs: &ServiceCidrs, clock: &Clock) {
    let Some(complaints) = verdict.seen(|| subject(DEFAULT), &cidrs.complaints) else { return };
    for complaint in complaints {
        let is_recent = complaint.last.is_some_and(|last| clock.server.as_second() - last.as_second() <= RECENT);
        if is_recent {
            let range =
                cidrs.ranges.get(&complaint.about).map_or_else(|| "RANGE".into(), |range| written(&range.cidrs));
            verdict.find(
                subject(&complaint.about),
                Finding::new(
                    "no warning event of an API server",
                    format!("{}: {}", complaint.reason, complaint.message),
                )
                .impact("API servers disagree about which Service addresses are free")
                .fix(format!(
                    "on every control-plane node, set --service-cluster-ip-range={range} in \
                     /etc/kubernetes/manifests/kube-apiserver.yaml"
                )),
            );
        }
    }
}

fn judge_overlaps(verdict: &mut Verdict, cidrs: &ServiceCidrs, nodes: &Nodes, kubeadm: Option<&KubeadmConfig>) {
    let subnets = kubeadm.and_then(|kubeadm| kubeadm.pod_subnet.as_deref()).into_iter().flat_map(|all| all.split(','));
    let subnets: Vec<Cidr> = subnets.filter_map(|subnet| subnet.parse().ok()).collect();
    let entry_is_wrong = node_ranges::contradict(nodes, &subnets);
    let mut others: Vec<(Cidr, String)> = subnets.iter().map(|subnet| (*subnet, "the pod range".into())).collect();
    for (name, node) in &nodes.0 {
        others.extend(node.internal_addresses().map(|address| (Cidr::of(address), format!("the address of {name}"))));
        let pods = node.pod_cidrs.iter().filter_map(|range| range.parse().ok());
        others.extend(pods.map(|range| (range, format!("the pods of {name}"))));
    }
    for (name, range) in &cidrs.ranges {
        for cidr in &range.cidrs {
            let overlapped: Vec<&(Cidr, String)> = others.iter().filter(|(other, _)| cidr.overlaps(other)).collect();
            verdict.expect(subject(name), overlapped.is_empty(), || {
                let is_entry = entry_is_wrong && overlapped.iter().all(|(other, _)| subnets.contains(other));
                Finding::new("no pod or node has a Service address", format!("{cidr} overlaps ranges of pods or nodes"))
                    .evidence(overlapped.iter().map(|(other, whose)| format!("{cidr} overlaps {other} ({whose})")))
                    .impact("traffic to those pods or nodes is treated as traffic to Services")
                    .fix(if is_entry { node_ranges::CORRECT_SUBNET.to_owned() } else { retire(name) })
            });
        }
    }
}

fn judge_addresses(verdict: &mut Verdict, cidrs: &ServiceCidrs, addresses: &ServiceAddresses) {
    let ranges: Vec<Cidr> = cidrs.ranges.values().flat_map(|range| range.cidrs.iter().copied()).collect();
    let used = addresses.services.iter().flat_map(|(name, all)| all.iter().map(move |address| (name, address)));
    for (name, address) in used {
        let service = || Subject::from(name.of("Service"));
        let is_inside = ranges.iter().any(|range| range.contains(*address));
        if !is_inside {
            let ranges = written(&ranges);
            let finding = Finding::new(format!("a ClusterIP in {ranges}"), "its ClusterIP is in no ServiceCIDR")
                .evidence([format!("{name}: {address}")])
                .impact("the API servers do not manage this address")
                .fix(format!("recreate these Services, which then get an address in {ranges}"));
            verdict.find(service(), finding);
        }
        match addresses.reserved.get(address).map(|reservation| &reservation.parent) {
            None => verdict.find(
                service(),
                Finding::new("an IPAddress object for every ClusterIP", "its ClusterIP has none")
                    .evidence([format!("{name}: {address}")])
                    .impact("another Service can get the same address")
                    .fix(format!("if this lasts for 10 minutes, see why: {LOG} | grep ipallocator-repair-controller")),
            ),
            Some(parent) if *parent != name.of("services") => verdict.find(
                service(),
                Finding::new(
                    "every ClusterIP is reserved for its own Service",
                    "its ClusterIP is reserved for another object",
                )
                .evidence([format!("{address} ({name}) is reserved for {parent}")])
                .impact("connections to the address reach one of two Services")
                .fix("recreate these Services without clusterIP and clusterIPs, so that they get free addresses"),
            ),
            Some(_) if is_inside => verdict.confirm(),
            Some(_) => {}
        }
    }
}

fn judge_api_address(verdict: &mut Verdict, addresses: &ServiceAddresses, api: IpAddr) {
    if let Some(reservation) = addresses.reserved.get(&api) {
        let subject = Subject::cluster_object("IPAddress", api.to_string());
        verdict.expect(subject, reservation.managed_by == ALLOCATOR, || {
            Finding::new(format!("managed by {ALLOCATOR}"), format!("managed by {:?}", reservation.managed_by))
                .impact("the API servers may not keep this reservation of their own address up to date")
                .fix(format!(
                    "kubectl label ipaddress {api} --overwrite ipaddress.kubernetes.io/managed-by={ALLOCATOR}"
                ))
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
    use crate::check::testing::{self, seen_of};
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
        testing::seen(&judged(facts))
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
        assert_eq!(seen(&facts), ["--service-cluster-ip-range 10.112.0.0/16"]);
    }

    #[test]
    fn a_range_within_the_pod_network_is_found() {
        let mut facts = facts();
        facts.cidrs.ranges.insert("more-addresses".into(), range("10.244.128.0/20"));
        let found = judged(&facts).findings(Severity::Major).remove(0);
        assert_eq!(found.evidence, ["10.244.128.0/20 overlaps 10.244.0.0/16 (the pod range)"]);
        assert!(found.fix.starts_with("kubectl delete servicecidr more-addresses"));
        facts.cidrs.ranges.insert("more-addresses".into(), range("10.77.0.0/24"));
        let evidence = judged(&facts).findings(Severity::Major).remove(0).evidence;
        assert_eq!(evidence, ["10.77.0.0/24 overlaps 10.77.0.11/32 (the address of n1)"]);
    }

    #[test]
    fn a_wrong_pod_range_in_the_configmap_is_to_be_corrected() {
        let mut facts = facts();
        facts.kubeadm.pod_subnet = Some("10.96.0.0/16".into());
        assert_eq!(seen(&facts), ["10.96.0.0/12 overlaps ranges of pods or nodes"]);
        assert_eq!(judged(&facts).findings(Severity::Major)[0].fix, node_ranges::CORRECT_SUBNET);
    }

    #[test]
    fn addresses_that_are_not_reserved_or_outside_are_found() {
        let mut facts = facts();
        facts.addresses.services.insert(named("a/lost"), vec![[10, 96, 0, 77].into()]);
        facts.addresses.services.insert(named("a/twin"), vec![[10, 96, 0, 10].into()]);
        facts.addresses.services.insert(named("a/old"), vec![[10, 200, 0, 1].into()]);
        let verdict = judged(&facts);
        assert_eq!(
            seen_of(&verdict),
            [
                "Service a/lost, old: its ClusterIP has none",
                "Service a/old: its ClusterIP is in no ServiceCIDR",
                "Service a/twin: its ClusterIP is reserved for another object",
            ]
        );
        let evidence: Vec<_> = verdict.findings(Severity::Major).into_iter().flat_map(|found| found.evidence).collect();
        assert_eq!(
            evidence,
            [
                "a/lost: 10.96.0.77",
                "a/old: 10.200.0.1",
                "a/old: 10.200.0.1",
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
    fn a_range_that_is_not_ready_is_found_and_one_that_is_being_deleted_is_info() {
        let mut facts = facts();
        let not_ready = ServiceCidr { ready: false, message: "no".into(), ..range("10.128.0.0/16") };
        facts.cidrs.ranges.insert("extra".into(), not_ready.clone());
        assert_eq!(seen(&facts), ["not Ready: no"]);
        facts.cidrs.ranges.insert("extra".into(), ServiceCidr { deleting: true, ..not_ready });
        assert_eq!(judged(&facts).findings(Severity::Major)[0].severity, Severity::Info);
    }
}
