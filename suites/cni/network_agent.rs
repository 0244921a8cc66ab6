//! # The network plugin's agent is ready on every node
//!
//! ## Why
//! The agent programs routes, tunnels and policies. If it is missing or failing, the node stays Ready and its pods keep
//! an outdated network: they do not reach new nodes and pods, new policies do not apply, and after a restart nothing
//! works.
//!
//! ## Fix
//! Look at the pod that is named (`kubectl -n NAMESPACE logs POD --all-containers`); if there is none, see what keeps the
//! DaemonSet away from the node: its node selector, its affinity, and taints that it does not tolerate. Weave Net is not
//! maintained any more: plan the move to another plugin.
//!
//! ## Source
//! <https://kubernetes.io/docs/concepts/cluster-administration/addons/#networking-and-network-policy>; the plugins' own
//! manifests, whose labels tell their agents. Nodes without agents by design (Fargate, virtual kubelets, EKS Auto Mode) and nodes
//! that have only come or are being deleted are left out; a group of nodes may have a plugin of its own (EKS hybrid nodes).

use std::collections::{BTreeMap, BTreeSet};

use crate::check::{Finding, Severity, Subject, Verdict, names};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::nodes::{Node, Nodes, silence};
use crate::fact::facts::pods::{Pod, Pods};
use crate::suites::node_changes::comes_or_goes;
use crate::suites::pods::why_not_ready;

crate::check!("CN-02", "network-agent", Major, judge);

/// The agents of network plugins, by a label of their pods.
const AGENTS: [(&str, &str, &str); 15] = [
    ("k8s-app", "calico-node", "Calico"),
    ("k8s-app", "canal", "Canal"),
    ("k8s-app", "cilium", "Cilium"),
    ("app", "flannel", "flannel"),
    ("k8s-app", "flannel", "flannel"),
    ("app", "kindnet", "kindnet"),
    ("k8s-app", "aws-node", "Amazon VPC CNI"),
    ("k8s-app", "azure-cns", "Azure CNI"),
    ("k8s-app", "anetd", "GKE Dataplane V2"),
    ("app", "ovnkube-node", "OVN-Kubernetes"),
    ("name", "ovnkube-node", "OVN-Kubernetes"),
    ("component", "antrea-agent", "Antrea"),
    ("k8s-app", "kube-router", "kube-router"),
    ("app", "kube-ovn-cni", "Kube-OVN"),
    ("name", WEAVE, "Weave Net"),
];
const WEAVE: &str = "weave-net";
/// Where the platform connects the pods itself.
const AGENTLESS: (&str, &str) = ("eks.amazonaws.com/compute-type", "auto");

fn judge(nodes: &Nodes, pods: &Pods, clock: &Clock) -> Verdict {
    let mut agents: BTreeMap<&str, BTreeMap<&str, &Pod>> = BTreeMap::new();
    for pod in pods.0.values().filter(|pod| !pod.deleting) {
        let (Some(plugin), Some(node)) = (plugin(pod), pod.node.as_deref()) else { continue };
        // The newest of a node's pods counts; an older one has ended or is about to.
        let of_plugin = agents.entry(plugin).or_default();
        if of_plugin.get(node).is_none_or(|other| other.created < pod.created) {
            of_plugin.insert(node, pod);
        }
    }
    if agents.is_empty() {
        return Verdict::not_applicable(
            "no pod is the agent of a known network plugin: pods are connected by other means (CN-04 tries the paths themselves)",
        );
    }
    let mut verdict = Verdict::new();
    let expects_agent = |node: &Node| {
        let (key, value) = AGENTLESS;
        node.labels.get(key).is_none_or(|label| label != value)
    };
    let linux: Vec<(&String, &Node)> = nodes.linux().filter(|(_, node)| expects_agent(node)).collect();
    let mut without: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (plugin, of_plugin) in &agents {
        for (name, node) in &linux {
            let agent = of_plugin.get(name.as_str());
            // On a node that has only come, or is about to go, a ready agent counts, and none is missed.
            if !agent.is_some_and(|agent| agent.ready)
                && let Some(why) = comes_or_goes(node, clock.server)
            {
                verdict.note(format!("{name} has no ready agent of {plugin}: {why}"));
                continue;
            }
            match agent {
                Some(agent) => judge_agent(&mut verdict, plugin, name, node, agent),
                None if is_anothers(node, plugin, &agents, &linux) => {}
                None => drop(without.entry(plugin).or_default().insert(name.as_str())),
            }
        }
    }
    for (plugin, missing) in without {
        verdict.find(
            Subject::nodes(&missing),
            Finding::new(
                format!("an agent of {plugin} on each of {} Linux nodes", linux.len()),
                format!("none runs on {}", names(missing)),
            )
            .impact("pods there do not learn of new nodes, pods and policies"),
        );
    }
    if agents.contains_key("Weave Net") {
        verdict.find(
            Subject::cluster(),
            Finding::new("a network plugin that is maintained", "Weave Net, which has had no release since 2021")
                .severity(Severity::Minor),
        );
    }
    verdict
}

fn judge_agent(verdict: &mut Verdict, plugin: &str, name: &str, node: &Node, agent: &Pod) {
    if node.is_silent() {
        return verdict.unseen(Subject::node(name), &silence(name));
    }
    verdict.expect(Subject::node(name), agent.ready, || {
        Finding::new(
            format!("the agent of {plugin} is Ready"),
            format!("{} is not Ready: {}", agent.name, why_not_ready(agent)),
        )
        .impact("pods there do not learn of new nodes, pods and policies")
        .fix(format!("kubectl -n {} logs {} --all-containers --prefix", agent.namespace, agent.name))
    });
}

fn plugin(pod: &Pod) -> Option<&'static str> {
    let is_agent = |(key, value, _): &&(&str, &str, &str)| pod.labels.get(*key).is_some_and(|label| label == value);
    // Operators and typhas carry other labels; what is not of a DaemonSet is no agent of a node.
    let owned = pod.owner.as_ref().is_some_and(|owner| owner.kind == "DaemonSet");
    AGENTS.iter().find(is_agent).filter(|_| owned).map(|(.., plugin)| *plugin)
}

/// Whether another plugin is the one of this node, as where a group of nodes (EKS hybrid nodes, for one) has its own: both
/// plugins run only on nodes that the other leaves out.
fn is_anothers(
    node: &Node,
    plugin: &str,
    agents: &BTreeMap<&str, BTreeMap<&str, &Pod>>,
    linux: &[(&String, &Node)],
) -> bool {
    const GROUP: &str = "eks.amazonaws.com/compute-type";
    let group = node.labels.get(GROUP);
    let of_group = || linux.iter().filter(|(_, other)| other.labels.get(GROUP) == group).map(|(name, _)| name.as_str());
    let runs = |of_plugin: &BTreeMap<&str, &Pod>, name: &str| of_plugin.contains_key(name);
    let leaves_group_out = !of_group().any(|name| runs(&agents[plugin], name));
    leaves_group_out && agents.iter().any(|(other, pods)| *other != plugin && of_group().any(|name| runs(pods, name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::nodes::Condition;
    use crate::fact::facts::pods::Owner;
    use crate::object_ref::NamespacedName;
    use crate::object_ref::testing::named;

    fn nodes() -> Nodes {
        let node = |i| (format!("n{i}"), Node { operating_system: "linux".into(), ..Node::default() });
        Nodes([1, 2].into_iter().map(node).collect())
    }

    fn pods(label: (&str, &str), on: &[&str]) -> Pods {
        let pod = |node: &&str| {
            let pod = Pod {
                namespace: "kube-system".into(),
                name: format!("agent-{node}"),
                labels: [(label.0.to_owned(), label.1.to_owned())].into(),
                owner: Some(Owner { kind: "DaemonSet".into(), name: "agent".into() }),
                node: Some((*node).to_owned()),
                phase: "Running".into(),
                ready: true,
                ..Pod::default()
            };
            (pod.key(), pod)
        };
        Pods(on.iter().map(pod).collect())
    }

    fn judged(nodes: &Nodes, pods: &Pods) -> Verdict {
        let now = "2026-11-28T12:00:00Z".parse().unwrap();
        judge(nodes, pods, &Clock { server: now, here: now })
    }

    const CALICO: (&str, &str) = ("k8s-app", "calico-node");

    #[test]
    fn a_ready_agent_on_every_node_passes() {
        let verdict = judged(&nodes(), &pods(CALICO, &["n1", "n2"]));
        assert_eq!((verdict.observations(), verdict.findings(Severity::Major)), (2, vec![]));
    }

    #[test]
    fn a_cluster_without_a_known_agent_is_not_judged() {
        assert!(judged(&nodes(), &pods(("k8s-app", "kube-proxy"), &["n1", "n2"])).reason().is_some());
        let mut operator = pods(CALICO, &["n1"]);
        operator.0.values_mut().for_each(|pod| pod.owner = Some(Owner { kind: "ReplicaSet".into(), name: "x".into() }));
        assert!(judged(&nodes(), &operator).reason().is_some());
    }

    #[test]
    fn a_missing_agent_and_one_that_fails_are_named() {
        let findings = judged(&nodes(), &pods(CALICO, &["n1"])).findings(Severity::Major);
        assert_eq!((findings.len(), findings[0].seen.as_str()), (1, "none runs on n2"));
        let mut failing = pods(CALICO, &["n1", "n2"]);
        let agent = failing.0.get_mut(&named("kube-system/agent-n2")).unwrap();
        (agent.ready, agent.not_ready_because) = (false, "containers with unready status: [calico-node]".into());
        let findings = judged(&nodes(), &failing).findings(Severity::Major);
        assert_eq!(findings[0].seen, "agent-n2 is not Ready: Running, containers with unready status: [calico-node]");
    }

    #[test]
    fn a_silent_node_is_undecided_and_a_virtual_one_left_out() {
        let mut nodes = nodes();
        let silent = Condition { status: "Unknown".into(), reason: String::new(), message: String::new() };
        nodes.0.get_mut("n2").unwrap().conditions.insert("Ready".into(), silent);
        assert_eq!(judged(&nodes, &pods(CALICO, &["n1", "n2"])).gaps().len(), 1);
        nodes.0.get_mut("n2").unwrap().labels.insert("type".into(), "virtual-kubelet".into());
        assert!(judged(&nodes, &pods(CALICO, &["n1"])).findings(Severity::Major).is_empty());
    }

    #[test]
    fn a_group_of_nodes_may_have_a_plugin_of_its_own() {
        let mut nodes = nodes();
        let pods = |on: &[(&str, &str)]| {
            let all = on.iter().flat_map(|(app, node)| {
                pods(("k8s-app", app), &[node]).0.into_iter().map(move |(name, pod)| {
                    (NamespacedName { name: format!("{}-{app}", name.name).into(), ..name }, pod)
                })
            });
            Pods(all.collect())
        };
        let each = pods(&[("aws-node", "n1"), ("cilium", "n2")]);
        assert_eq!(judged(&nodes, &each).findings(Severity::Major).len(), 2, "nothing tells them apart");
        nodes.0.get_mut("n2").unwrap().labels.insert("eks.amazonaws.com/compute-type".into(), "hybrid".into());
        assert!(judged(&nodes, &each).findings(Severity::Major).is_empty());
        assert_eq!(judged(&nodes, &pods(&[("aws-node", "n1")])).findings(Severity::Major).len(), 1);
    }

    #[test]
    fn who_has_only_come_has_no_agent_yet() {
        let mut nodes = nodes();
        nodes.0.get_mut("n2").unwrap().created = Some("2026-11-28T11:59:00Z".parse().unwrap());
        let verdict = judged(&nodes, &pods(CALICO, &["n1"]));
        assert_eq!(
            (
                verdict.observations(),
                verdict.findings(Severity::Major).len(),
                crate::check::testing::notes(&verdict).len()
            ),
            (1, 0, 1)
        );
        assert_eq!(judged(&nodes, &pods(CALICO, &["n1", "n2"])).observations(), 2, "of a new cluster all is judged");
    }

    #[test]
    fn weave_net_is_told() {
        let findings = judged(&nodes(), &pods(("name", "weave-net"), &["n1", "n2"])).findings(Severity::Major);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Minor));
    }
}
