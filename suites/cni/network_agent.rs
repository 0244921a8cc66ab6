//! # The network plugin's agent is ready on every node
//!
//! ## Why
//! The agent programs routes, tunnels and policies. If it is missing or failing, the node stays Ready and its pods keep
//! an outdated network: they do not reach new nodes and pods, new policies do not apply, and after a restart nothing
//! works.
//!
//! ## Fix
//! Read the log of the agent's pod: `kubectl -n NAMESPACE logs POD --all-containers`. If the node has no such pod,
//! find out what keeps the DaemonSet off it: its node selector, its affinity, or a taint that it does not tolerate.
//! Weave Net is no longer maintained: plan the move to another plugin.
//!
//! ## Source
//! <https://kubernetes.io/docs/concepts/cluster-administration/addons/#networking-and-network-policy>; the plugins'
//! own manifests, whose labels identify their agents. Nodes without agents by design (Fargate, virtual kubelets, EKS
//! Auto Mode), new nodes and nodes that are being deleted are not checked; a group of nodes may have its own plugin
//! (EKS hybrid nodes).

use std::collections::{BTreeMap, BTreeSet};

use crate::check::finding::Difference;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::nodes::{Node, Nodes, silence};
use crate::fact::facts::pods::{Pod, Pods};
use crate::suites::node_changes::comes_or_goes;
use crate::suites::pods::why_not_ready;

crate::check!("CN-02", "network-agent", Major, judge, builds_on: ["CN-01", "KL-01"]);

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
    ("name", "weave-net", WEAVE_NET),
];
const WEAVE_NET: &str = "Weave Net";
/// The label of EKS for groups of nodes, each of which may have its own plugin.
const GROUP: &str = "eks.amazonaws.com/compute-type";
/// The group whose pods the platform connects itself.
const AGENTLESS: &str = "auto";
const IMPACT: &str = "pods there do not learn of new nodes, pods and policies";

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
            "no pod is the agent of a known network plugin: pods are connected by other means, which CN-04 tests",
        );
    }
    let mut verdict = Verdict::new();
    let expects_agent = |node: &Node| node.labels.get(GROUP).is_none_or(|group| group != AGENTLESS);
    let linux: Vec<(&String, &Node)> = nodes.linux().filter(|(_, node)| expects_agent(node)).collect();
    let mut failing: BTreeMap<(&str, String), Vec<&Pod>> = BTreeMap::new();
    for (plugin, of_plugin) in &agents {
        let missing = missing(plugin, of_plugin);
        for (name, node) in &linux {
            let agent = of_plugin.get(name.as_str());
            // On a node that is new or about to leave, a ready agent counts, and none is missing.
            if !agent.is_some_and(|agent| agent.ready)
                && let Some(why) = comes_or_goes(node, clock.server)
            {
                verdict.note_about(Subject::node(*name), format!("no ready agent of {plugin}: {why}"));
                continue;
            }
            match agent {
                Some(_) if node.is_silent() => verdict.unseen(Subject::node(*name), &silence(name)),
                Some(agent) if agent.ready => verdict.confirm(),
                Some(agent) => failing.entry((*plugin, why_not_ready(agent))).or_default().push(agent),
                None if has_another_plugin(node, plugin, &agents, &linux) => {}
                None => verdict.find(Subject::node(*name), missing.clone()),
            }
        }
    }
    for ((plugin, why), pods) in failing {
        let Pod { namespace, name, .. } = pods[0];
        verdict.find_together(
            pods.iter().map(|pod| pod.key().of("Pod").into()),
            pods.len(),
            Finding::new(format!("the agent of {plugin} is Ready"), format!("it is not Ready: {why}"))
                .evidence_of(pods.iter().map(|pod| {
                    let node = pod.node.as_deref().unwrap_or_default();
                    (pod.key().of("Pod").into(), format!("{} on {node}", pod.name))
                }))
                .impact(IMPACT)
                .fix(format!("find the reason: kubectl -n {namespace} logs {name} --all-containers --prefix")),
        );
    }
    if agents.contains_key(WEAVE_NET) {
        verdict.find(
            Subject::cluster(),
            Finding::new("a maintained network plugin", "Weave Net, which has had no release since 2021")
                .impact("its faults and vulnerabilities stay, and no one tests it with new releases of Kubernetes")
                .fix(
                    "plan the move to a maintained plugin, with new nodes or a new cluster: \
                     https://kubernetes.io/docs/concepts/cluster-administration/addons/",
                )
                .severity(Severity::Minor),
        );
    }
    verdict
}

/// What is wrong where no agent runs.
fn missing(plugin: &str, elsewhere: &BTreeMap<&str, &Pod>) -> Difference {
    let owners = elsewhere.values().filter_map(|pod| Some((&pod.namespace, &pod.owner.as_ref()?.name)));
    let look = owners.map(|(namespace, name)| format!("kubectl -n {namespace} describe daemonset {name}"));
    let look = look.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join("; ");
    Finding::new(format!("an agent of {plugin} on every Linux node"), "no agent runs there").impact(IMPACT).fix(
        format!("find out which node selector, affinity or untolerated taint keeps the pods off these nodes: {look}"),
    )
}

fn plugin(pod: &Pod) -> Option<&'static str> {
    let is_agent = |(key, value, _): &&(&str, &str, &str)| pod.labels.get(*key).is_some_and(|label| label == value);
    // Operators and Typha have other labels. Only the pods of a DaemonSet are agents.
    let owned = pod.owner.as_ref().is_some_and(|owner| owner.kind == "DaemonSet");
    AGENTS.iter().find(is_agent).filter(|_| owned).map(|(.., plugin)| *plugin)
}

/// Whether the node's group has another plugin, as EKS hybrid nodes may: each of the two plugins runs only on nodes
/// that the other leaves out.
fn has_another_plugin(
    node: &Node,
    plugin: &str,
    agents: &BTreeMap<&str, BTreeMap<&str, &Pod>>,
    linux: &[(&String, &Node)],
) -> bool {
    let group = node.labels.get(GROUP);
    let of_group = || linux.iter().filter(|(_, other)| other.labels.get(GROUP) == group).map(|(name, _)| name.as_str());
    let runs = |of_plugin: &BTreeMap<&str, &Pod>, name: &str| of_plugin.contains_key(name);
    let leaves_group_out = !of_group().any(|name| runs(&agents[plugin], name));
    leaves_group_out && agents.iter().any(|(other, pods)| *other != plugin && of_group().any(|name| runs(pods, name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::seen_of;
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
                node: Some((*node).to_owned().into()),
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
    fn a_missing_agent_and_one_that_fails_are_found() {
        let verdict = judged(&nodes(), &pods(CALICO, &["n1"]));
        assert_eq!(seen_of(&verdict), ["Node n2: no agent runs there"]);
        let finding = verdict.findings(Severity::Major).remove(0);
        assert!(finding.fix.ends_with("kubectl -n kube-system describe daemonset agent"), "{}", finding.fix);
        let mut failing = pods(CALICO, &["n1", "n2"]);
        let agent = failing.0.get_mut(&named("kube-system/agent-n2")).unwrap();
        (agent.ready, agent.not_ready_because) = (false, "containers with unready status: [calico-node]".into());
        let verdict = judged(&nodes(), &failing);
        assert_eq!(
            seen_of(&verdict),
            ["Pod kube-system/agent-n2: it is not Ready: Running, containers with unready status: [calico-node]"]
        );
        assert_eq!(verdict.findings(Severity::Major)[0].evidence, ["agent-n2 on n2"]);
    }

    #[test]
    fn a_silent_node_is_not_checked_nor_is_a_virtual_one() {
        let mut nodes = nodes();
        let silent = Condition { status: "Unknown".into(), reason: String::new(), message: String::new() };
        nodes.0.get_mut("n2").unwrap().conditions.insert("Ready".into(), silent);
        assert_eq!(judged(&nodes, &pods(CALICO, &["n1", "n2"])).gaps().len(), 1);
        nodes.0.get_mut("n2").unwrap().labels.insert("type".into(), "virtual-kubelet".into());
        assert!(judged(&nodes, &pods(CALICO, &["n1"])).findings(Severity::Major).is_empty());
    }

    #[test]
    fn a_group_of_nodes_may_have_its_own_plugin() {
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
        assert_eq!(judged(&nodes, &each).findings(Severity::Major).len(), 2, "nothing distinguishes them");
        nodes.0.get_mut("n2").unwrap().labels.insert("eks.amazonaws.com/compute-type".into(), "hybrid".into());
        assert!(judged(&nodes, &each).findings(Severity::Major).is_empty());
        assert_eq!(judged(&nodes, &pods(&[("aws-node", "n1")])).findings(Severity::Major).len(), 1);
    }

    #[test]
    fn a_new_node_has_no_agent_yet() {
        let mut nodes = nodes();
        nodes.0.get_mut("n2").unwrap().created = Some("2026-11-28T11:59:00Z".parse().unwrap());
        let verdict = judged(&nodes, &pods(CALICO, &["n1"]));
        let found = verdict.findings(Severity::Major).len();
        assert_eq!((verdict.observations(), found, verdict.notes().len()), (1, 0, 1));
        assert_eq!(judged(&nodes, &pods(CALICO, &["n1", "n2"])).observations(), 2, "in a new cluster all count");
    }

    #[test]
    fn weave_net_is_found() {
        let findings = judged(&nodes(), &pods(("name", "weave-net"), &["n1", "n2"])).findings(Severity::Major);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Minor));
    }
}
