//! # etcd has its quorum, one member for each control-plane node
//!
//! ## Why
//! etcd goes on while more than half of its members do. A cluster of three with one silent member works as before, and stops
//! with the next loss; a control-plane node without a member, or with one that shares its address, makes that loss likelier.
//!
//! ## Fix
//! Start a node that is only off, or its kubelet (KL-01): its member comes back with it. Ask the members themselves, on any
//! control-plane node: `kubectl -n kube-system exec etcd-NODE -- etcdctl --endpoints=https://127.0.0.1:2379
//! --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt
//! --key=/etc/kubernetes/pki/etcd/server.key member list -w table` and `endpoint status --cluster`. Only a member whose node is
//! gone for good is removed (`member remove ID`); a machine that had a member needs `kubeadm reset` before it joins again with
//! `kubeadm join --control-plane`.
//!
//! ## Source
//! <https://etcd.io/docs/latest/faq/#what-is-failure-tolerance>; kubernetes/kubernetes `cmd/kubeadm/app/phases/etcd/local.go`;
//! the checks `etcd` and `etcd-readiness` of the API servers' /readyz. Leader, learners, the size of the database and the speed of
//! the disk are known to the members alone, at `127.0.0.1:2381/metrics` of their nodes, where privileged probes ask them. How
//! fast the disk should be: <https://etcd.io/docs/latest/metrics/#disk>; it is counted since a member was started, and told
//! from 1000 writes on.

use std::collections::BTreeMap;

use super::etcdctl::etcdctl;
use super::member_metrics;
use crate::check::{Finding, Severity, Subject, Verdict, names};
use crate::fact::facts::api_server_health::ApiServerHealth;
use crate::fact::facts::clock::Clock;
use crate::fact::facts::host_reports::HostReports;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::nodes::{Node, Nodes};
use crate::fact::facts::pods::{Pod, Pods};
use crate::seen::Unobserved;

crate::check!("HA-03", "etcd-members", Critical, judge);

/// The health checks of an API server that ask etcd.
const CHECKS: [&str; 2] = ["etcd", "etcd-readiness"];

fn judge(
    pods: &Pods,
    nodes: &Nodes,
    kubeadm: Option<&KubeadmConfig>,
    health: &ApiServerHealth,
    hosts: Result<&HostReports, &Unobserved>,
    clock: &Clock,
) -> Verdict {
    let mut verdict = Verdict::new();
    let members: Vec<&Pod> = pods.static_pods("etcd").filter(|pod| !pod.deleting).collect();
    if members.is_empty() {
        if kubeadm.is_some_and(|kubeadm| !kubeadm.external_etcd) && nodes.control_plane().next().is_some() {
            verdict.find(
                Subject::cluster(),
                Finding::new("a static pod of etcd for each control-plane node", "kube-system has none")
                    .so("nobody sees from the API how many members there are")
                    .severity(Severity::Major),
            );
        }
    } else {
        judge_members(&mut verdict, &members, nodes);
        member_metrics::judge(&mut verdict, &members, hosts, clock);
    }
    judge_health(&mut verdict, health);
    if members.is_empty() && verdict.observations() == 0 && verdict.saw_everything() {
        return Verdict::not_applicable(
            "no API server instance tells of etcd, and no pod is a member: it is out of sight",
        );
    }
    verdict
}

fn judge_members(verdict: &mut Verdict, members: &[&Pod], nodes: &Nodes) {
    // Nobody knows what runs on a node whose kubelet is silent; its pod may say Ready for minutes.
    let silent = |pod: &Pod| pod.node.as_ref().is_none_or(|node| !nodes.0.get(node).is_some_and(Node::is_ready));
    let well: Vec<&Pod> = members.iter().copied().filter(|pod| pod.ready && !silent(pod)).collect();
    let ready = well.len();
    let quorum = members.len() / 2 + 1;
    for pod in members {
        let node = pod.node.as_deref().unwrap_or_default();
        verdict.expect(Subject::object("Pod", &pod.namespace, &pod.name), pod.ready && !silent(pod), || {
            let is_silent = silent(pod);
            let seen = match (is_silent, pod.ready) {
                (true, true) => format!("{node} is not Ready"),
                (true, false) => format!("its node {node} is not Ready, nor is the pod"),
                (false, _) => format!("not Ready: {}", pod.because()),
            };
            let spare = ready.saturating_sub(quorum);
            let so = match (ready >= quorum, spare) {
                (false, _) => format!(
                    "{ready} of {} members are left, and {quorum} are needed: nothing can be written",
                    members.len()
                ),
                (true, 0) => "the next member that is lost stops the cluster".to_owned(),
                (true, spare) => format!("{spare} more may be lost before the cluster stops"),
            };
            let severity = if ready >= quorum { Severity::Major } else { Severity::Critical };
            let asked = (ready >= quorum).then(|| well.first()).flatten();
            let mend = if is_silent { back(node, asked.copied()) } else { log(node) };
            Finding::new("the member is Ready", seen).so(so).mend(mend).severity(severity)
        });
    }
    // Where etcd has nodes of its own, as RKE2 can have it, the others need no member.
    let mut hosts = members.iter().filter_map(|pod| nodes.0.get(pod.node.as_ref()?)).peekable();
    let apart = hosts.peek().is_some() && hosts.all(|node| !node.is_control_plane());
    let without: Vec<&str> = nodes
        .control_plane()
        .filter(|(name, _)| !apart && !members.iter().any(|pod| pod.node.as_ref() == Some(name)))
        .map(|(name, _)| name.as_str())
        .collect();
    verdict.expect(Subject::nodes(&without), without.is_empty(), || {
        Finding::new("a member on each control-plane node", format!("none on {}", names(&without)))
            .so("the control plane bears the loss of fewer nodes than it has")
            .mend(
                "see there whether /etc/kubernetes/manifests/etcd.yaml exists, and `crictl ps -a --name etcd`; a node that \
                 never had a member: kubeadm reset on it, then kubeadm join --control-plane",
            )
            .severity(Severity::Major)
    });
    let mut advertised: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for pod in members {
        if let Some(urls) = pod.flag("advertise-client-urls").last() {
            advertised.entry(urls).or_default().push(&pod.name);
        }
    }
    for (urls, pods) in advertised {
        verdict.expect(Subject::object("Pod", "kube-system", pods[0]), pods.len() == 1, || {
            Finding::new("an address of its own for each member", format!("{} advertise {urls}", names(&pods)))
                .so("clients and members take one for the other")
        });
    }
}

/// What to do about the member of a silent node: to remove one that is only off would cost a member for nothing.
fn back(node: &str, asked: Option<&Pod>) -> String {
    let start = format!("start {node}, or its kubelet, as KL-01 says: the member comes back with it");
    match asked {
        Some(pod) => format!(
            "{start}. Only if {node} is gone for good: {} member list, then member remove ID; a machine that had a member needs \
             kubeadm reset before it joins again",
            etcdctl(&pod.name)
        ),
        None => format!("{start}. Without a quorum no member can be removed"),
    }
}

/// Where the member of a node that is well says why it is not. Without etcd kubectl shows nothing, so on the node.
fn log(node: &str) -> String {
    format!("on {node}: `crictl ps -a --name etcd`, and `crictl logs ID` of the newest, which says why it does not run")
}

fn judge_health(verdict: &mut Verdict, health: &ApiServerHealth) {
    let Some(instances) = verdict.seen(Subject::cluster, &health.instances) else { return };
    for (address, instance) in instances {
        match &instance.ready {
            Ok(answer) => {
                let failed: Vec<&str> =
                    CHECKS.into_iter().filter(|check| answer.failed.iter().any(|failed| failed == check)).collect();
                verdict.expect(Subject::address(address), failed.is_empty(), || {
                    Finding::new(
                        "this API server finds etcd in order",
                        format!("/readyz says that {} fails", names(&failed)),
                    )
                    .so("it answers nothing that is not cached")
                });
            }
            // That an instance is out of order altogether is judged by CP-01.
            Err(why) => verdict.unseen(Subject::address(address), why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::api_server_health::{Health, HealthAnswer};
    use crate::fact::facts::nodes::Condition;
    use crate::fact::facts::pods::Container;
    use crate::object_ref::NamespacedName;
    use crate::object_ref::testing::named;
    use crate::seen::Access;

    struct Facts {
        pods: Pods,
        nodes: Nodes,
        health: ApiServerHealth,
    }

    fn facts(count: u8) -> Facts {
        let member = |i: u8| {
            let pod = Pod {
                namespace: "kube-system".into(),
                name: format!("etcd-n{i}"),
                node: Some(format!("n{i}")),
                labels: [("component".to_owned(), "etcd".to_owned())].into(),
                annotations: [("kubernetes.io/config.mirror".to_owned(), "x".to_owned())].into(),
                phase: "Running".into(),
                ready: true,
                containers: vec![Container {
                    command: vec![format!("--advertise-client-urls=https://10.77.0.1{i}:2379")],
                    ..Container::default()
                }],
                ..Pod::default()
            };
            (NamespacedName::new("kube-system", format!("etcd-n{i}")), pod)
        };
        let node = |i: u8| {
            let ready = Condition { status: "True".into(), reason: String::new(), message: String::new() };
            let mut node = Node::default();
            node.conditions.insert("Ready".into(), ready);
            node.labels.insert("node-role.kubernetes.io/control-plane".into(), String::new());
            (format!("n{i}"), node)
        };
        let well = || Ok(HealthAnswer { status: 200, failed: Vec::new() });
        let health = || Health { live: well(), ready: well() };
        let instances = (1..=count).map(|i| (format!("10.77.0.1{i}:6443").parse().unwrap(), health())).collect();
        Facts {
            pods: Pods((1..=count).map(member).collect()),
            nodes: Nodes((1..=count).map(node).collect()),
            health: ApiServerHealth { endpoint: String::new(), configured: health(), instances: Ok(instances) },
        }
    }

    fn judged(facts: &Facts, kubeadm: Option<&KubeadmConfig>) -> Verdict {
        let hosts = Unobserved::NotAllowed { access: Access::Privileged, profile: "post-install".into() };
        let now = jiff::Timestamp::UNIX_EPOCH;
        let clock = Clock { server: now, here: now };
        judge(&facts.pods, &facts.nodes, kubeadm, &facts.health, Err(&hosts), &clock)
    }

    fn findings(facts: &Facts) -> Vec<(Severity, String)> {
        let kubeadm = KubeadmConfig::default();
        let verdict = judged(facts, Some(&kubeadm));
        verdict.findings(Severity::Critical).into_iter().map(|finding| (finding.severity, finding.seen)).collect()
    }

    #[test]
    fn a_whole_cluster_passes() {
        assert!(findings(&facts(1)).is_empty() && findings(&facts(3)).is_empty());
    }

    #[test]
    fn members_on_nodes_of_their_own_are_enough() {
        let mut facts = facts(3);
        facts.nodes.0.insert("n4".into(), facts.nodes.0["n1"].clone());
        assert_eq!(findings(&facts), [(Severity::Major, "none on n4".to_owned())]);
        for member in ["n1", "n2", "n3"] {
            facts.nodes.0.get_mut(member).unwrap().labels.clear();
        }
        assert_eq!(findings(&facts), []);
    }

    #[test]
    fn a_lost_member_is_major_and_a_lost_quorum_critical() {
        let mut facts = facts(3);
        facts.nodes.0.get_mut("n3").unwrap().conditions.get_mut("Ready").unwrap().status = "Unknown".into();
        assert_eq!(findings(&facts), [(Severity::Major, "n3 is not Ready".to_owned())]);
        let mend = judged(&facts, None).findings(Severity::Critical)[0].fix.clone();
        assert!(mend.starts_with("start n3") && mend.contains("gone for good: kubectl -n kube-system exec etcd-n1"));
        facts.pods.0.get_mut(&named("kube-system/etcd-n2")).unwrap().ready = false;
        assert!(findings(&facts).iter().all(|(severity, _)| *severity == Severity::Critical));
        let found = judged(&facts, None).findings(Severity::Critical);
        assert!(found.iter().all(|finding| !finding.fix.contains("member remove")), "{found:?}");
    }

    #[test]
    fn a_control_plane_node_without_a_member_is_found() {
        let mut facts = facts(3);
        facts.pods.0.remove(&named("kube-system/etcd-n2"));
        assert_eq!(findings(&facts), [(Severity::Major, "none on n2".to_owned())]);
    }

    #[test]
    fn members_that_share_an_address_are_found() {
        let mut facts = facts(2);
        let twin = facts.pods.0[&named("kube-system/etcd-n1")].containers.clone();
        facts.pods.0.get_mut(&named("kube-system/etcd-n2")).unwrap().containers = twin;
        assert_eq!(findings(&facts)[0].1, "etcd-n1, etcd-n2 advertise https://10.77.0.11:2379");
    }

    #[test]
    fn an_api_server_that_misses_etcd_is_found() {
        let mut facts = facts(1);
        let failed = HealthAnswer { status: 500, failed: vec!["etcd".into(), "x".into()] };
        facts.health.instances.as_mut().unwrap().values_mut().for_each(|health| health.ready = Ok(failed.clone()));
        assert_eq!(findings(&facts)[0].1, "/readyz says that etcd fails");
    }

    #[test]
    fn an_instance_that_is_silent_is_undecided() {
        let mut facts = facts(1);
        facts
            .health
            .instances
            .as_mut()
            .unwrap()
            .values_mut()
            .for_each(|health| health.ready = Err(Unobserved::Interrupted));
        let verdict = judged(&facts, None);
        assert_eq!(verdict.gaps().len(), 1);
    }
}
