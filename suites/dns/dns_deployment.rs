//! # CoreDNS runs at least two replicas on different nodes
//!
//! ## Why
//! Every connection in the cluster begins with a name. If all replicas run on one node, its loss takes DNS away for the
//! minutes until they start elsewhere. kubeadm starts both on the first node that is Ready and never moves them.
//!
//! ## Fix
//! `kubectl -n kube-system scale deployment coredns --replicas=2`. To spread replicas over nodes that joined later:
//! `kubectl -n kube-system rollout restart deployment coredns`. For replicas that do not become available:
//! `kubectl -n kube-system logs -l k8s-app=kube-dns --all-containers --previous`. To enforce the spread, make the
//! anti-affinity of the Deployment required, and add a PodDisruptionBudget.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/addons/dns/manifests.go` (two replicas, preferred anti-affinity);
//! <https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/>

use std::collections::BTreeSet;

use super::helpers::no_endpoint::no_ready_endpoint;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::cluster_dns::{ClusterDns, DnsServer};
use crate::fact::facts::dns_deployment::DnsDeployment;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::nodes::{self, Node, Nodes};
use crate::fact::facts::pods::Pods;
use crate::seen::Unobserved;
use crate::suites::kubeadm_phase::again;
use crate::suites::pods::why_not_ready;

crate::check!(
    "DN-02",
    "dns-deployment",
    Major,
    judge,
    builds_on: ["AD-01", "CN-01", "DN-03", "DN-08", "KL-01", "SN-04"]
);

/// A patch that spreads the replicas over zones. Replicas of an earlier rollout do not count.
const SPREAD: &str = "{spec: {template: {spec: {topologySpreadConstraints: [{maxSkew: 1, topologyKey: \
     topology.kubernetes.io/zone, whenUnsatisfiable: ScheduleAnyway, matchLabelKeys: [pod-template-hash], \
     labelSelector: {matchLabels: {k8s-app: kube-dns}}}]}}}}";

fn judge(
    deployment: Result<&DnsDeployment, &Unobserved>,
    dns: Option<&ClusterDns>,
    kubeadm: Option<&KubeadmConfig>,
    nodes: &Nodes,
    pods: &Pods,
) -> Verdict {
    let mut verdict = Verdict::new();
    let servers = dns.map(|dns| dns.servers.as_deref());
    let ready: Result<Vec<&DnsServer>, &Unobserved> =
        servers.unwrap_or(Ok(&[])).map(|servers| servers.iter().filter(|server| server.ready).collect());
    let deployment = match (deployment, &ready) {
        (Ok(deployment), _) => deployment,
        (Err(Unobserved::Absent { evidence }), Ok(ready)) if kubeadm.is_some() && ready.is_empty() => {
            let finding = Finding::new("the Deployment that kubeadm creates", evidence)
                .impact("no name in the cluster resolves")
                .fix(format!("run on a control-plane node; {}", again("addon coredns")))
                .severity(Severity::Critical);
            verdict.find(subject("coredns"), finding);
            return verdict;
        }
        (Err(Unobserved::Absent { .. }), Err(why)) if kubeadm.is_some() => {
            verdict.unseen(subject("coredns"), why);
            return verdict;
        }
        (Err(Unobserved::Absent { evidence }), _) => {
            return verdict.does_not_apply(format!("{evidence}: the cluster uses another DNS server"));
        }
        (Err(why), _) => {
            verdict.unseen(subject("coredns"), why);
            return verdict;
        }
    };
    judge_replicas(&mut verdict, deployment, nodes, pods);
    match (dns, ready) {
        (Some(dns), Err(why)) => verdict.unseen(Subject::object("Service", "kube-system", &dns.name), why),
        (Some(dns), Ok(ready)) => {
            verdict.expect(subject(&deployment.name), !ready.is_empty() || deployment.desired == 0, || {
                no_ready_endpoint(dns).severity(Severity::Critical)
            });
            judge_spread(&mut verdict, deployment, &ready, nodes);
        }
        (None, _) => verdict.note("there is no DNS Service: see DN-01"),
    }
    verdict
}

fn subject(deployment: &str) -> Subject {
    Subject::object("Deployment", "kube-system", deployment)
}

fn judge_replicas(verdict: &mut Verdict, deployment: &DnsDeployment, nodes: &Nodes, pods: &Pods) {
    let DnsDeployment { name, desired, available, manager, .. } = deployment;
    let wanted = if nodes.0.len() > 1 { 2 } else { 1 };
    verdict.expect(subject(name), *desired >= wanted, || {
        let finding = Finding::new(
            format!("at least {wanted} replicas in a cluster of {} nodes", nodes.0.len()),
            format!("{name} is scaled to {desired}"),
        )
        .fix(format!("kubectl -n kube-system scale deployment {name} --replicas=2"))
        .managed_by(manager.as_ref());
        match desired {
            0 => finding.impact("no name in the cluster resolves").severity(Severity::Critical),
            _ => finding.impact("no name in the cluster resolves while the only replica restarts or moves"),
        }
    });
    verdict.expect(subject(name), available >= desired, || {
        let unready: Vec<_> =
            pods.labelled("kube-system", "k8s-app", "kube-dns").filter(|pod| !pod.ready && !pod.deleting).collect();
        let reason = match unready.first() {
            Some(pod) => format!("pod {0}; kubectl -n kube-system logs {0}", pod.name),
            None => "replicasets -l k8s-app=kube-dns".to_owned(),
        };
        Finding::new("all replicas are available", format!("{available} of {desired} are available"))
            .evidence(unready.iter().map(|pod| {
                let node = pod.node.as_deref().unwrap_or("no node");
                format!("{} on {node}: {}", pod.name, why_not_ready(pod))
            }))
            .impact("lookups depend on fewer servers, and all fail if these fail too")
            .fix(format!("find the reason: kubectl -n kube-system describe {reason}"))
    });
}

/// Whether the pods of CoreDNS tolerate the node's taints: they tolerate that of control-plane nodes.
fn is_tolerated(node: &Node) -> bool {
    node.taints.iter().all(|taint| taint.effect == "PreferNoSchedule" || taint.key == nodes::CONTROL_PLANE)
}

fn judge_spread(verdict: &mut Verdict, deployment: &DnsDeployment, ready: &[&DnsServer], nodes: &Nodes) {
    let name = &deployment.name;
    let hosts: BTreeSet<&str> = ready.iter().filter_map(|server| server.node.as_deref()).collect();
    let takes_pods = |node: &&Node| {
        node.is_ready()
            && !node.unschedulable
            && node.operating_system == "linux"
            && !node.is_virtual()
            && is_tolerated(node)
    };
    let candidates = nodes.0.values().filter(takes_pods).count();
    if ready.len() < 2 || candidates < 2 {
        return;
    }
    let Some(first) = hosts.first() else {
        let why = Unobserved::invalid("the endpoints of the DNS Service", "they do not name their nodes");
        return verdict.unseen(subject(name), &why);
    };
    let spread = verdict.expect(subject(name), hosts.len() > 1, || {
        Finding::new(
            format!("replicas on different nodes; {candidates} nodes take pods"),
            format!("all {} replicas run on {first}", ready.len()),
        )
        .impact(format!("if {first} fails, no name in the cluster resolves until replicas run elsewhere"))
        .fix(format!("kubectl -n kube-system rollout restart deployment {name}"))
    });
    let zones: BTreeSet<&str> = nodes.0.values().filter(takes_pods).filter_map(Node::zone).collect();
    if spread && zones.len() > 1 {
        let used: BTreeSet<&str> = hosts.iter().filter_map(|host| nodes.0.get(*host)?.zone()).collect();
        verdict.expect(subject(name), used.len() > 1, || {
            let seen = match used.first() {
                Some(zone) => format!("all replicas run in zone {zone}"),
                None => "the nodes of the replicas have no zone".into(),
            };
            Finding::new(format!("replicas in different zones; nodes in {} zones take pods", zones.len()), seen)
                .impact("if that zone fails, no name in the cluster resolves until replicas run elsewhere")
                .fix(format!("kubectl -n kube-system patch deployment {name} -p '{SPREAD}'"))
                .managed_by(deployment.manager.as_ref())
                .info()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::seen;
    use crate::fact::facts::nodes::Condition;
    use crate::fact::facts::pods::{Container, Pod};
    use crate::object_ref::testing::named;
    use crate::seen::Seen;

    fn nodes(zones: &[(&str, &str)]) -> Nodes {
        let node = |zone: &str| Node {
            operating_system: "linux".into(),
            labels: [(nodes::ZONE.to_owned(), zone.to_owned())].into(),
            conditions: [(
                "Ready".to_owned(),
                Condition { status: "True".into(), reason: String::new(), message: String::new() },
            )]
            .into(),
            ..Node::default()
        };
        Nodes(zones.iter().map(|(name, zone)| ((*name).to_owned(), node(zone))).collect())
    }

    const THREE: [(&str, &str); 3] = [("n1", "a"), ("n2", "a"), ("n3", "b")];

    fn dns(hosts: &[&str]) -> ClusterDns {
        let servers = hosts.iter().zip(2..).map(|(node, last)| DnsServer {
            address: [10, 244, 0, last].into(),
            port: 53,
            ready: true,
            pod: None,
            node: Some((*node).into()),
        });
        ClusterDns {
            name: "kube-dns".into(),
            addresses: vec![[10, 96, 0, 10].into()],
            labels: [].into(),
            ports: Vec::new(),
            servers: Ok(servers.collect()),
            manager: None,
        }
    }

    fn deployment(desired: i32, available: i32) -> DnsDeployment {
        DnsDeployment { name: "coredns".into(), desired, available, updated: available, manager: None }
    }

    fn judged(deployment: &DnsDeployment, hosts: &[&str], nodes: &Nodes) -> Verdict {
        judge(Ok(deployment), Some(&dns(hosts)), Some(&KubeadmConfig::default()), nodes, &Pods::default())
    }

    #[test]
    fn two_replicas_on_two_nodes_pass() {
        let verdict = judged(&deployment(2, 2), &["n1", "n3"], &nodes(&THREE));
        assert_eq!((verdict.observations(), seen(&verdict)), (5, vec![]));
    }

    #[test]
    fn a_cluster_of_one_node_needs_no_spread() {
        assert!(seen(&judged(&deployment(2, 2), &["n1", "n1"], &nodes(&THREE[..1]))).is_empty());
        assert!(seen(&judged(&deployment(1, 1), &["n1"], &nodes(&THREE[..1]))).is_empty());
    }

    #[test]
    fn all_replicas_on_one_node_are_found() {
        let verdict = judged(&deployment(2, 2), &["n3", "n3"], &nodes(&THREE));
        assert_eq!(seen(&verdict), ["all 2 replicas run on n3"]);
    }

    #[test]
    fn all_replicas_in_one_zone_are_informational() {
        let findings = judged(&deployment(2, 2), &["n1", "n2"], &nodes(&THREE)).findings(Severity::Major);
        assert_eq!((findings[0].seen.as_str(), findings[0].severity), ("all replicas run in zone a", Severity::Info));
    }

    #[test]
    fn too_few_desired_replicas_are_found() {
        let findings = judged(&deployment(0, 0), &[], &nodes(&THREE)).findings(Severity::Major);
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].seen.as_str(), findings[0].severity), ("coredns is scaled to 0", Severity::Critical));
        assert_eq!(seen(&judged(&deployment(1, 1), &["n1"], &nodes(&THREE))), ["coredns is scaled to 1"]);
    }

    #[test]
    fn replicas_that_crash_are_evidence() {
        let pod = Pod {
            namespace: "kube-system".into(),
            name: "coredns-1".into(),
            labels: [("k8s-app".to_owned(), "kube-dns".to_owned())].into(),
            node: Some("n1".into()),
            containers: vec![Container { waiting: Some("CrashLoopBackOff".into()), ..Container::default() }],
            ..Pod::default()
        };
        let pods = Pods([(named("kube-system/coredns-1"), pod)].into());
        let verdict = judge(Ok(&deployment(2, 0)), Some(&dns(&[])), None, &nodes(&THREE), &pods);
        assert_eq!(seen(&verdict), ["the Service's selector matches no pod", "0 of 2 are available"]);
        assert_eq!(verdict.findings(Severity::Major)[1].evidence, ["coredns-1 on n1: CrashLoopBackOff"]);
    }

    #[test]
    fn no_deployment_is_a_fault_only_where_kubeadm_creates_it_and_nothing_serves() {
        let absent = Unobserved::absent("deployments.apps \"coredns\" not found");
        let judged = |kubeadm: Option<&KubeadmConfig>, hosts: &[&str]| {
            judge(Err(&absent), Some(&dns(hosts)), kubeadm, &nodes(&THREE), &Pods::default())
        };
        assert_eq!(seen(&judged(Some(&KubeadmConfig::default()), &[])).len(), 1);
        assert!(judged(Some(&KubeadmConfig::default()), &["n1"]).reason().is_some());
        assert!(judged(None, &[]).reason().is_some());
    }

    #[test]
    fn servers_that_were_not_seen_are_a_gap() {
        let unseen = ClusterDns { servers: Seen::Err(Unobserved::Interrupted), ..dns(&[]) };
        let verdict = judge(Ok(&deployment(2, 2)), Some(&unseen), None, &nodes(&THREE), &Pods::default());
        assert_eq!((verdict.observations(), verdict.gaps().len()), (2, 1));
    }
}
