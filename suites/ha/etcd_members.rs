//! # etcd has its quorum, and a member on each control-plane node
//!
//! ## Why
//! etcd works while more than half of its members do. A cluster of three with one member down works as before, and
//! stops with the next loss; a control-plane node without a member, or two members with one address, make that loss
//! likelier.
//!
//! ## Fix
//! Start a node that is only off, or its kubelet (KL-01): its member comes back with it. Ask the members themselves, on
//! any control-plane node: `kubectl -n kube-system exec etcd-NODE -- etcdctl --endpoints=https://127.0.0.1:2379
//! --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt
//! --key=/etc/kubernetes/pki/etcd/server.key member list -w table` and `endpoint status --cluster`. Remove a member
//! only if its node is lost for good (`member remove ID`); a machine that had a member needs `kubeadm reset` before it
//! joins again with `kubeadm join --control-plane`.
//!
//! ## Source
//! <https://etcd.io/docs/latest/faq/#what-is-failure-tolerance>; kubernetes/kubernetes
//! `cmd/kubeadm/app/phases/etcd/local.go`; the checks `etcd` and `etcd-readiness` of the API servers' /readyz. Only the
//! members report their leader, learners, the size of the database and the speed of the disk, at
//! `127.0.0.1:2381/metrics` of their nodes, where privileged probes ask them. How fast the disk should be:
//! <https://etcd.io/docs/latest/metrics/#disk>; it is counted from the start of the member, and judged from 1000 writes
//! on.

use std::collections::BTreeMap;

use super::helpers::etcdctl::{etcdctl, member_id};
use super::helpers::member_metrics;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::api_server_health::ApiServerHealth;
use crate::fact::facts::clock::Clock;
use crate::fact::facts::host_reports::HostReports;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::nodes::{Node, Nodes};
use crate::fact::facts::pods::{Pod, Pods};
use crate::seen::Unobserved;
use crate::suites::pods::why_not_ready;

crate::check!("HA-03", "etcd-members", Critical, judge, builds_on: ["KL-01"]);

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
                Finding::new("a static pod of etcd on each control-plane node", "kube-system has none")
                    .impact("the API does not show how many members there are")
                    .fix(
                        "on each control-plane node: ls /etc/kubernetes/manifests/etcd.yaml; crictl ps -a --name etcd; \
                         journalctl -u kubelet | grep -i mirror | tail",
                    )
                    .severity(Severity::Major),
            );
        }
    } else {
        judge_members(&mut verdict, &members, nodes);
        judge_places(&mut verdict, &members, nodes);
        judge_addresses(&mut verdict, &members);
        member_metrics::judge(&mut verdict, &members, hosts, clock);
    }
    judge_health(&mut verdict, health);
    if members.is_empty() && verdict.observations() == 0 && verdict.saw_everything() {
        return verdict.does_not_apply(
            "etcd cannot be seen: no API server reports its health, and no pod of kube-system is a member",
        );
    }
    verdict
}

fn judge_members(verdict: &mut Verdict, members: &[&Pod], nodes: &Nodes) {
    // What runs on a node whose kubelet is silent is unknown; its pod may stay Ready for minutes.
    let silent = |pod: &Pod| pod.node.as_deref().is_none_or(|node| !nodes.0.get(node).is_some_and(Node::is_ready));
    let well: Vec<&Pod> = members.iter().copied().filter(|pod| pod.ready && !silent(pod)).collect();
    let ready = well.len();
    let quorum = members.len() / 2 + 1;
    for pod in members {
        let node = pod.node.as_deref().unwrap_or_default();
        verdict.expect(Subject::object("Pod", &pod.namespace, &pod.name), pod.ready && !silent(pod), || {
            let is_silent = silent(pod);
            let seen = match (is_silent, pod.ready) {
                (true, true) => format!("its node {node} is not Ready"),
                (true, false) => format!("neither the pod nor its node {node} is Ready"),
                (false, _) => format!("the pod is not Ready: {}", why_not_ready(pod)),
            };
            let spare = ready.saturating_sub(quorum);
            let impact = match (ready >= quorum, spare) {
                (false, _) => format!(
                    "{ready} of {} members are left, and {quorum} are needed: nothing can be written",
                    members.len()
                ),
                (true, 0) => "the loss of one more member stops the cluster".to_owned(),
                (true, spare) => format!("the loss of more than {spare} more members stops the cluster"),
            };
            let severity = if ready >= quorum { Severity::Major } else { Severity::Critical };
            let asked = (ready >= quorum).then(|| well.first()).flatten();
            let fix = if is_silent { back(node, asked.copied()) } else { log(node) };
            Finding::new("the member is Ready", seen).impact(impact).fix(fix).severity(severity)
        });
    }
}

/// Each control-plane node has a member. Where etcd has nodes of its own, as RKE2 allows, the others need none.
fn judge_places(verdict: &mut Verdict, members: &[&Pod], nodes: &Nodes) {
    let mut hosts = members.iter().filter_map(|pod| nodes.0.get(pod.node.as_deref()?)).peekable();
    let apart = hosts.peek().is_some() && hosts.all(|node| !node.is_control_plane());
    let without: Vec<&String> = nodes
        .control_plane()
        .map(|(name, _)| name)
        .filter(|name| !apart && !members.iter().any(|pod| pod.node.as_deref() == Some(name.as_str())))
        .collect();
    if without.is_empty() {
        return verdict.confirm();
    }
    verdict.find_together(
        without.into_iter().map(Subject::node),
        1,
        Finding::new("a member on each control-plane node", "the node has none")
            .impact("the control plane survives the loss of fewer nodes than it has")
            .fix(
                "on each of these nodes: ls /etc/kubernetes/manifests/etcd.yaml; crictl ps -a --name etcd. Only on a \
                 node that never had a member: kubeadm reset, then kubeadm join --control-plane",
            )
            .severity(Severity::Major),
    );
}

fn judge_addresses(verdict: &mut Verdict, members: &[&Pod]) {
    let mut advertised: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
    for pod in members {
        if let Some(urls) = pod.flag("advertise-client-urls").last() {
            advertised.entry(urls).or_default().push(pod);
        }
    }
    for (urls, pods) in advertised {
        if pods.len() == 1 {
            verdict.confirm();
            continue;
        }
        verdict.find_together(
            pods.iter().map(|pod| Subject::object("Pod", &pod.namespace, &pod.name)),
            1,
            Finding::new("each member advertises its own address", format!("{} members advertise {urls}", pods.len()))
                .impact("clients and members cannot tell these members apart")
                .fix(
                    "on the node of each of these pods, set --advertise-client-urls and --initial-advertise-peer-urls \
                     in /etc/kubernetes/manifests/etcd.yaml to the node's own address",
                ),
        );
    }
}

/// How to get the member of a silent node back: removing one whose node is only off would cost a member for nothing.
fn back(node: &str, asked: Option<&Pod>) -> String {
    let start = format!("start {node} or its kubelet (KL-01): the member comes back with it");
    match asked {
        Some(pod) => {
            let etcdctl = etcdctl(&pod.name);
            format!(
                "{start}. Only if {node} is lost for good: {etcdctl} member remove {}; a machine that had a member needs \
                 kubeadm reset before it joins again",
                member_id(&etcdctl, node)
            )
        }
        None => format!("{start}. Without a quorum, no member can be removed"),
    }
}

/// Where the log of a member is whose node is Ready. Without etcd, kubectl shows nothing, so it is read on the node.
fn log(node: &str) -> String {
    format!("on {node}, its log shows why it does not run: crictl logs $(crictl ps -aq --name etcd | head -1)")
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
                        "the API server's health checks of etcd pass",
                        format!("/readyz reports that {} fails", failed.join(" and ")),
                    )
                    .impact("this API server answers only what it has cached")
                    .fix(
                        "on its node: crictl logs $(crictl ps -a --name kube-apiserver -q | head -1) 2>&1 | grep -i \
                         etcd | tail; check --etcd-servers and the client certificate for etcd (PK-17)",
                    )
                });
            }
            // CP-01 judges whether the instance is healthy at all.
            Err(why) => verdict.unseen(Subject::address(address), why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::seen_of;
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
                node: Some(format!("n{i}").into()),
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
        assert_eq!(findings(&facts), [(Severity::Major, "the node has none".to_owned())]);
        for member in ["n1", "n2", "n3"] {
            facts.nodes.0.get_mut(member).unwrap().labels.clear();
        }
        assert_eq!(findings(&facts), []);
    }

    #[test]
    fn a_lost_member_is_major_and_a_lost_quorum_critical() {
        let mut facts = facts(3);
        facts.nodes.0.get_mut("n3").unwrap().conditions.get_mut("Ready").unwrap().status = "Unknown".into();
        assert_eq!(findings(&facts), [(Severity::Major, "its node n3 is not Ready".to_owned())]);
        let fix = judged(&facts, None).findings(Severity::Critical)[0].fix.clone();
        assert!(fix.starts_with("start n3") && fix.contains("lost for good: kubectl -n kube-system exec etcd-n1"));
        facts.pods.0.get_mut(&named("kube-system/etcd-n2")).unwrap().ready = false;
        assert!(findings(&facts).iter().all(|(severity, _)| *severity == Severity::Critical));
        let found = judged(&facts, None).findings(Severity::Critical);
        assert!(found.iter().all(|finding| !finding.fix.contains("member remove")), "{found:?}");
    }

    #[test]
    fn a_control_plane_node_without_a_member_is_found() {
        let mut facts = facts(3);
        facts.pods.0.remove(&named("kube-system/etcd-n2"));
        assert_eq!(seen_of(&judged(&facts, None)), ["Node n2: the node has none"]);
    }

    #[test]
    fn members_that_share_an_address_are_found() {
        let mut facts = facts(2);
        let twin = facts.pods.0[&named("kube-system/etcd-n1")].containers.clone();
        facts.pods.0.get_mut(&named("kube-system/etcd-n2")).unwrap().containers = twin;
        assert_eq!(
            seen_of(&judged(&facts, None)),
            ["Pod kube-system/etcd-n1, etcd-n2: 2 members advertise https://10.77.0.11:2379"]
        );
    }

    #[test]
    fn an_api_server_that_does_not_reach_etcd_is_found() {
        let mut facts = facts(1);
        let failed = HealthAnswer { status: 500, failed: vec!["etcd".into(), "x".into()] };
        facts.health.instances.as_mut().unwrap().values_mut().for_each(|health| health.ready = Ok(failed.clone()));
        assert_eq!(findings(&facts)[0].1, "/readyz reports that etcd fails");
    }

    #[test]
    fn an_instance_that_is_silent_is_inconclusive() {
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
