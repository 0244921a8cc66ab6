//! # The network plugin's agent is ready on every node
//!
//! ## Why
//! The agent programs routes, tunnels and policies. Where it is missing or failing, the node stays Ready and its pods keep
//! yesterday's network: new nodes, pods and policies do not reach it, and after a restart nothing does.
//!
//! ## Fix
//! Look at the pod that is named (`kubectl -n NAMESPACE logs POD --all-containers`); where there is none, see what keeps the
//! DaemonSet away from the node: its node selector, its affinity, and taints that it does not tolerate. Weave Net is not
//! maintained any more: plan the move to another plugin.
//!
//! ## Source
//! <https://kubernetes.io/docs/concepts/cluster-administration/addons/#networking-and-network-policy>; the plugins' own
//! manifests, whose labels tell their agents. Nodes without agents by design (Fargate, virtual kubelets) are left out.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::{Finding, Severity, Subject, Verdict, names};
use crate::fact::Unobserved;
use crate::fact::facts::nodes::{Node, Nodes};
use crate::fact::facts::pods::{Pod, Pods};

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
/// Labels of nodes that are no machines and have no agents.
const AGENTLESS: [(&str, &str); 2] = [("eks.amazonaws.com/compute-type", "fargate"), ("type", "virtual-kubelet")];

fn judge(nodes: &Nodes, pods: &Pods) -> Verdict {
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
    let linux: Vec<(&String, &Node)> = nodes.linux().filter(|(_, node)| !is_agentless(node)).collect();
    let mut without: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (plugin, of_plugin) in &agents {
        for (name, node) in &linux {
            match of_plugin.get(name.as_str()) {
                Some(agent) => judge_agent(&mut verdict, plugin, name, node, agent),
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
            .so("pods there do not learn of new nodes, pods and policies"),
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
    // Nobody knows what runs on a node whose kubelet is silent.
    if node.conditions.get("Ready").is_some_and(|ready| ready.status == "Unknown") {
        let why = Unobserved::unreachable(format!("the kubelet of {name}"), "Ready=Unknown");
        return verdict.undecided(Subject::node(name), &why);
    }
    verdict.expect(Subject::node(name), agent.ready, || {
        let waiting = agent.containers.iter().filter_map(|container| container.waiting.as_deref());
        let why: Vec<&str> = [agent.phase.as_str()]
            .into_iter()
            .chain(waiting)
            .chain([agent.not_ready_because.as_str()])
            .filter(|why| !why.is_empty())
            .collect();
        Finding::new(
            format!("the agent of {plugin} is Ready"),
            format!("{} is not Ready: {}", agent.name, why.join(", ")),
        )
        .so("pods there do not learn of new nodes, pods and policies")
        .mend(format!("kubectl -n {} logs {} --all-containers --prefix", agent.namespace, agent.name))
    });
}

fn plugin(pod: &Pod) -> Option<&'static str> {
    let is_agent = |(key, value, _): &&(&str, &str, &str)| pod.labels.get(*key).is_some_and(|label| label == value);
    // Operators and typhas carry other labels; what is not of a DaemonSet is no agent of a node.
    let owned = pod.owner.as_deref().is_some_and(|owner| owner.starts_with("DaemonSet/"));
    AGENTS.iter().find(is_agent).filter(|_| owned).map(|(.., plugin)| *plugin)
}

fn is_agentless(node: &Node) -> bool {
    AGENTLESS.iter().any(|(key, value)| node.labels.get(*key).is_some_and(|label| label == value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::nodes::Condition;

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
                owner: Some("DaemonSet/agent".into()),
                node: Some((*node).to_owned()),
                phase: "Running".into(),
                ready: true,
                ..Pod::default()
            };
            (format!("kube-system/agent-{node}"), pod)
        };
        Pods(on.iter().map(pod).collect())
    }

    const CALICO: (&str, &str) = ("k8s-app", "calico-node");

    #[test]
    fn a_ready_agent_on_every_node_passes() {
        let verdict = judge(&nodes(), &pods(CALICO, &["n1", "n2"]));
        assert_eq!((verdict.observations(), verdict.findings(Severity::Major)), (2, vec![]));
    }

    #[test]
    fn a_cluster_without_a_known_agent_is_not_judged() {
        assert!(judge(&nodes(), &pods(("k8s-app", "kube-proxy"), &["n1", "n2"])).reason().is_some());
        let mut operator = pods(CALICO, &["n1"]);
        operator.0.values_mut().for_each(|pod| pod.owner = Some("ReplicaSet/x".into()));
        assert!(judge(&nodes(), &operator).reason().is_some());
    }

    #[test]
    fn a_missing_agent_and_one_that_fails_are_named() {
        let findings = judge(&nodes(), &pods(CALICO, &["n1"])).findings(Severity::Major);
        assert_eq!((findings.len(), findings[0].seen.as_str()), (1, "none runs on n2"));
        let mut failing = pods(CALICO, &["n1", "n2"]);
        let agent = failing.0.get_mut("kube-system/agent-n2").unwrap();
        (agent.ready, agent.not_ready_because) = (false, "containers with unready status: [calico-node]".into());
        let findings = judge(&nodes(), &failing).findings(Severity::Major);
        assert_eq!(findings[0].seen, "agent-n2 is not Ready: Running, containers with unready status: [calico-node]");
    }

    #[test]
    fn a_silent_node_is_undecided_and_a_virtual_one_left_out() {
        let mut nodes = nodes();
        let silent = Condition { status: "Unknown".into(), reason: String::new(), message: String::new() };
        nodes.0.get_mut("n2").unwrap().conditions.insert("Ready".into(), silent);
        assert_eq!(judge(&nodes, &pods(CALICO, &["n1", "n2"])).undecideds().len(), 1);
        nodes.0.get_mut("n2").unwrap().labels.insert("type".into(), "virtual-kubelet".into());
        assert!(judge(&nodes, &pods(CALICO, &["n1"])).findings(Severity::Major).is_empty());
    }

    #[test]
    fn weave_net_is_told() {
        let findings = judge(&nodes(), &pods(("name", "weave-net"), &["n1", "n2"])).findings(Severity::Major);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Minor));
    }
}
