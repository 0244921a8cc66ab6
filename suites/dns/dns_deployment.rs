//! # CoreDNS runs at least two replicas on different nodes
//!
//! ## Why
//! Every connection in the cluster begins with a name. If all replicas run on one node, its loss takes DNS away for the
//! minutes until they start elsewhere. kubeadm starts both on the first node that is Ready and never moves them.
//!
//! ## Fix
//! `kubectl -n kube-system scale deployment coredns --replicas=2`; spread replicas over the nodes that have joined since:
//! `kubectl -n kube-system rollout restart deployment coredns`. For replicas that do not become available:
//! `kubectl -n kube-system logs -l k8s-app=kube-dns --all-containers --previous`. For an assurance make the anti-affinity of the
//! Deployment required, and add a PodDisruptionBudget.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/addons/dns/manifests.go` (two replicas, preferred anti-affinity);
//! <https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/>

use std::collections::{BTreeMap, BTreeSet};

use crate::check::{Finding, Severity, Subject, Verdict, names};
use crate::fact::facts::cluster_dns::{ClusterDns, DnsServer};
use crate::fact::facts::dns_deployment::DnsDeployment;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::nodes::{self, Node, Nodes};
use crate::fact::facts::pods::Pods;
use crate::seen::Unobserved;

crate::check!("DN-02", "dns-deployment", Major, judge);

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
            let subject = Subject::object("Deployment", "kube-system", "coredns");
            verdict.find(
                subject,
                Finding::new("the Deployment that kubeadm makes", evidence).severity(Severity::Critical),
            );
            return verdict;
        }
        (Err(Unobserved::Absent { .. }), Err(why)) if kubeadm.is_some() => {
            verdict.unseen(Subject::object("Deployment", "kube-system", "coredns"), why);
            return verdict;
        }
        (Err(Unobserved::Absent { evidence }), _) => {
            return Verdict::not_applicable(format!("{evidence}: something else serves names"));
        }
        (Err(why), _) => {
            verdict.unseen(Subject::object("Deployment", "kube-system", "coredns"), why);
            return verdict;
        }
    };
    judge_replicas(&mut verdict, deployment, nodes, pods);
    match ready {
        Err(why) => verdict.unseen(Subject::object("EndpointSlice", "kube-system", "kube-dns"), why),
        Ok(ready) if dns.is_some() => {
            let subject = Subject::object("Deployment", "kube-system", &deployment.name);
            verdict.expect(subject, !ready.is_empty() || deployment.desired == 0, || {
                Finding::new("a ready address in the EndpointSlices of the DNS Service", "none")
                    .impact("no name in the cluster resolves")
                    .severity(Severity::Critical)
            });
            judge_spread(&mut verdict, deployment, &ready, nodes);
        }
        Ok(_) => verdict.note("there is no DNS Service: see DN-01"),
    }
    verdict
}

fn judge_replicas(verdict: &mut Verdict, deployment: &DnsDeployment, nodes: &Nodes, pods: &Pods) {
    let subject = || Subject::object("Deployment", "kube-system", &deployment.name);
    let wanted = if nodes.0.len() > 1 { 2 } else { 1 };
    verdict.expect(subject(), deployment.desired >= wanted, || {
        let finding = Finding::new(
            format!("{wanted} replicas or more, on {} nodes", nodes.0.len()),
            format!("{} is scaled to {}", deployment.name, deployment.desired),
        )
        .fix(format!("kubectl -n kube-system scale deployment {} --replicas=2", deployment.name));
        match deployment.desired {
            0 => finding.impact("no name in the cluster resolves").severity(Severity::Critical),
            _ => finding.impact("no name in the cluster resolves while its one replica is moved or restarted"),
        }
    });
    verdict.expect(subject(), deployment.available >= deployment.desired, || {
        Finding::new(
            format!("{} of {} replicas available", deployment.desired, deployment.desired),
            format!("{} of {}; {}", deployment.available, deployment.desired, unready(pods)),
        )
    });
}

/// Which pods are not ready, and why.
fn unready(pods: &Pods) -> String {
    let pods = pods.labelled("kube-system", "k8s-app", "kube-dns").filter(|pod| !pod.ready);
    let reasons: Vec<String> = pods
        .map(|pod| {
            let waiting = pod.containers.iter().find_map(|container| container.waiting.as_deref());
            let node = pod.node.as_deref().unwrap_or("no node");
            format!("{} on {node}: {}", pod.name, waiting.unwrap_or(&pod.phase))
        })
        .collect();
    if reasons.is_empty() { "no such pod is known".to_owned() } else { names(reasons) }
}

/// Whether nothing keeps the pods of CoreDNS away, which tolerate what control planes are tainted with.
fn is_tolerated(node: &Node) -> bool {
    node.taints.iter().all(|taint| taint.effect == "PreferNoSchedule" || taint.key == nodes::CONTROL_PLANE)
}

fn judge_spread(verdict: &mut Verdict, deployment: &DnsDeployment, ready: &[&DnsServer], nodes: &Nodes) {
    let hosts: BTreeSet<&str> = ready.iter().filter_map(|server| server.node.as_deref()).collect();
    let takes_pods = |node: &Node| {
        node.is_ready()
            && !node.unschedulable
            && node.operating_system == "linux"
            && !node.is_virtual()
            && is_tolerated(node)
    };
    let candidates = nodes.0.values().filter(|node| takes_pods(node)).count();
    if ready.len() < 2 || candidates < 2 {
        return;
    }
    let subject = || Subject::object("Deployment", "kube-system", &deployment.name);
    let spread = verdict.expect(subject(), hosts.len() > 1, || {
        Finding::new(
            format!("replicas on different nodes, of {candidates} that take pods"),
            format!("all {} are on {}", ready.len(), names(&hosts)),
        )
        .impact("the loss of that node takes all names away")
        .fix(format!("kubectl -n kube-system rollout restart deployment {}", deployment.name))
    });
    let zone_of = |node: &Node| node.zone().map(str::to_owned);
    let zones: BTreeSet<String> = nodes.0.values().filter(|node| takes_pods(node)).filter_map(zone_of).collect();
    if spread && zones.len() > 1 {
        let used: BTreeMap<&str, Option<String>> =
            hosts.iter().map(|host| (*host, nodes.0.get(*host).and_then(zone_of))).collect();
        let used: BTreeSet<String> = used.into_values().flatten().collect();
        verdict.expect(subject(), used.len() > 1, || {
            Finding::new(
                format!("replicas in different zones, of {}", names(&zones)),
                format!("all are in {}", names(&used)),
            )
            .impact("the loss of that zone takes all names away")
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
        }
    }

    fn deployment(desired: i32, available: i32) -> DnsDeployment {
        DnsDeployment { name: "coredns".into(), desired, available, updated: available }
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
        assert_eq!(seen(&verdict), ["all 2 are on n3"]);
    }

    #[test]
    fn all_replicas_in_one_zone_are_remarked() {
        let findings = judged(&deployment(2, 2), &["n1", "n2"], &nodes(&THREE)).findings(Severity::Major);
        assert_eq!((findings[0].seen.as_str(), findings[0].severity), ("all are in a", Severity::Info));
    }

    #[test]
    fn none_wanted_and_none_there_are_found() {
        let findings = judged(&deployment(0, 0), &[], &nodes(&THREE)).findings(Severity::Major);
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].seen.as_str(), findings[0].severity), ("coredns is scaled to 0", Severity::Critical));
        assert_eq!(seen(&judged(&deployment(1, 1), &["n1"], &nodes(&THREE))), ["coredns is scaled to 1"]);
    }

    #[test]
    fn replicas_that_crash_are_named() {
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
        assert_eq!(seen(&verdict), ["none", "0 of 2; coredns-1 on n1: CrashLoopBackOff"]);
    }

    #[test]
    fn no_deployment_is_a_fault_only_where_kubeadm_makes_it_and_nothing_serves() {
        let absent = Unobserved::absent("deployments.apps \"coredns\" not found");
        let judged = |kubeadm: Option<&KubeadmConfig>, hosts: &[&str]| {
            judge(Err(&absent), Some(&dns(hosts)), kubeadm, &nodes(&THREE), &Pods::default())
        };
        assert_eq!(seen(&judged(Some(&KubeadmConfig::default()), &[])).len(), 1);
        assert!(judged(Some(&KubeadmConfig::default()), &["n1"]).reason().is_some());
        assert!(judged(None, &[]).reason().is_some());
    }

    #[test]
    fn servers_that_were_not_seen_are_undecided() {
        let unseen = ClusterDns { servers: Seen::Err(Unobserved::Interrupted), ..dns(&[]) };
        let verdict = judge(Ok(&deployment(2, 2)), Some(&unseen), None, &nodes(&THREE), &Pods::default());
        assert_eq!((verdict.observations(), verdict.gaps().len()), (2, 1));
    }
}
