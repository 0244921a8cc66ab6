//! # The network plugin is ready on every node
//!
//! ## Why
//! A new kubeadm cluster has no network plugin: its nodes stay NotReady and CoreDNS stays Pending. A node without the
//! plugin's pod gets no pods.
//!
//! ## Fix
//! Install the network add-on, or see why its pod does not run on the node: `kubectl get pods -A -o wide --field-selector
//! spec.nodeName=NODE`. On the node, `ls /etc/cni/net.d /opt/cni/bin` must show a configuration and the programs that it
//! names; `journalctl -u kubelet | grep -i cni`. A taint network-unavailable that stays is the cloud provider's to remove:
//! read the log of its controller manager.
//!
//! ## Source
//! <https://kubernetes.io/docs/concepts/cluster-administration/addons/>,
//! <https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/create-cluster-kubeadm/#pod-network>;
//! kubernetes/kubernetes `staging/src/k8s.io/api/core/v1/types.go` (NodeNetworkUnavailable)

use std::collections::BTreeMap;

use crate::check::{Finding, Subject, Verdict, names};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::nodes::{Condition, Node, Nodes, silence};
use crate::fact::facts::pods::{Pod, Pods};
use crate::seen::Unobserved;
use crate::suites::node_changes::comes_or_goes;

crate::check!("CN-01", "network-plugin", Critical, judge);

const TAINT: &str = "node.kubernetes.io/network-unavailable";
/// What kubelets and container runtimes say while the plugin is missing.
const SIGNS: [&str; 4] =
    ["NetworkPluginNotReady", "NetworkNotReady", "cni plugin not initialized", "cni config uninitialized"];
/// For how many seconds a pod may wait for its sandbox.
const PATIENCE: i64 = 120;

fn judge(nodes: &Nodes, pods: &Pods, clock: &Clock) -> Verdict {
    let mut verdict = Verdict::new();
    let mut causes: BTreeMap<(&str, String), Vec<&str>> = BTreeMap::new();
    for (name, node) in &nodes.0 {
        let ready = node.conditions.get("Ready");
        // Its plugin is being installed, or has been stopped; KL-01 tells whether it gets ready.
        if let Some(why) = comes_or_goes(node, clock.server).filter(|_| !node.is_ready()) {
            verdict.note(format!("{name} is left out: {why}"));
            continue;
        }
        if ready.is_none() || node.is_silent() {
            verdict.unseen(Subject::node(name), &silence(name));
            continue;
        }
        let faults = faults(node, ready);
        if let Some(ready) = ready.filter(|ready| faults.is_empty() && ready.status != "True") {
            // Whether the plugin is ready is the runtime's to say, which may be what is down.
            let cause = format!("Ready={}: {}", ready.status, ready.message);
            verdict.unseen(Subject::node(name), &Unobserved::invalid(format!("the network of {name}"), cause));
        } else if faults.is_empty() {
            verdict.confirm();
        }
        for fault in faults {
            causes.entry(fault).or_default().push(name);
        }
    }
    let waiting: Vec<&str> = pods
        .labelled("kube-system", "k8s-app", "kube-dns")
        .filter(|pod| pod.phase == "Pending" && pod.node.is_none())
        .map(|pod| pod.name.as_str())
        .collect();
    for ((expected, seen), sharing) in causes {
        let consequence = match &waiting[..] {
            [] => "no pod of the pod network starts there".to_owned(),
            waiting => format!("no pod of the pod network starts there; {} waits for a node", names(waiting)),
        };
        verdict.find(Subject::nodes(&sharing), Finding::new(expected, seen).impact(consequence));
    }
    for pod in pods.labelled("kube-system", "k8s-app", "kube-dns").filter(|pod| waits_for_its_sandbox(pod, clock)) {
        let node = pod.node.as_deref().unwrap_or_default();
        verdict.find(
            Subject::object("Pod", &pod.namespace, &pod.name),
            Finding::new(
                format!("a pod on {node} gets an address within {PATIENCE} s"),
                format!("{} waits on {node} without an address: ContainerCreating", pod.name),
            )
            .fix(format!("kubectl -n kube-system describe pod {}: its events name the cause", pod.name)),
        );
    }
    verdict
}

fn faults(node: &Node, ready: Option<&Condition>) -> Vec<(&'static str, String)> {
    let mut faults = Vec::new();
    let not_ready = ready.filter(|ready| ready.status != "True");
    if let Some(ready) = not_ready.filter(|ready| SIGNS.iter().any(|sign| ready.message.contains(sign))) {
        faults.push(("the network plugin is ready", format!("Ready={}: {}", ready.status, ready.message)));
    }
    if let Some(unavailable) = node.conditions.get("NetworkUnavailable").filter(|condition| condition.status != "False")
    {
        let seen =
            format!("NetworkUnavailable={} ({}: {})", unavailable.status, unavailable.reason, unavailable.message);
        faults.push(("NetworkUnavailable=False, or no such condition", seen));
    } else if node.taints.iter().any(|taint| taint.key == TAINT) {
        faults.push(("no taint that keeps pods away for want of a network", format!("taint {TAINT}")));
    }
    faults
}

/// Whether the pod has a node but no sandbox, which is what the network plugin helps to make.
fn waits_for_its_sandbox(pod: &Pod, clock: &Clock) -> bool {
    let age = pod.created.map_or(0, |created| clock.server.as_second() - created.as_second());
    pod.node.is_some()
        && pod.phase == "Pending"
        && pod.addresses.is_empty()
        && age > PATIENCE
        && pod.containers.iter().all(|container| container.waiting.as_deref() == Some("ContainerCreating"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::nodes::Taint;
    use crate::fact::facts::pods::Container;
    use crate::object_ref::testing::named;

    fn node(status: &str, message: &str) -> Node {
        let ready = Condition { status: status.into(), reason: "KubeletNotReady".into(), message: message.into() };
        Node { conditions: [("Ready".to_owned(), ready)].into(), ..Node::default() }
    }

    fn judged(nodes: impl IntoIterator<Item = (&'static str, Node)>, pods: &Pods) -> Verdict {
        let nodes = Nodes(nodes.into_iter().map(|(name, node)| (name.to_owned(), node)).collect());
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        judge(&nodes, pods, &Clock { server: now, here: now })
    }

    fn coredns(node: Option<&str>) -> Pods {
        let pod = Pod {
            namespace: "kube-system".into(),
            name: "coredns-1".into(),
            labels: [("k8s-app".to_owned(), "kube-dns".to_owned())].into(),
            node: node.map(str::to_owned),
            phase: "Pending".into(),
            created: Some("2026-11-22T11:50:00Z".parse().unwrap()),
            containers: vec![Container { waiting: Some("ContainerCreating".into()), ..Container::default() }],
            ..Pod::default()
        };
        Pods([(named("kube-system/coredns-1"), pod)].into())
    }

    const MISSING: &str = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized";

    #[test]
    fn ready_nodes_pass() {
        let verdict = judged([("n1", node("True", "")), ("n2", node("True", ""))], &Pods::default());
        assert_eq!((verdict.observations(), verdict.findings(Severity::Critical)), (2, vec![]));
    }

    #[test]
    fn a_fresh_cluster_without_plugin_is_one_finding() {
        let nodes = [("n1", node("False", MISSING)), ("n2", node("False", MISSING))];
        let findings = judged(nodes, &coredns(None)).findings(Severity::Critical);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].subjects[0].to_string(), "Nodes n1, n2");
        assert!(findings[0].seen.contains("NetworkPluginNotReady"), "{}", findings[0].seen);
        assert!(findings[0].impact.as_deref().unwrap().ends_with("coredns-1 waits for a node"));
    }

    #[test]
    fn a_node_that_is_not_ready_for_another_reason_is_not_the_plugins_fault() {
        let verdict = judged([("n1", node("False", "PLEG is not healthy"))], &Pods::default());
        assert!(verdict.findings(Severity::Critical).is_empty());
    }

    #[test]
    fn the_cloud_providers_word_counts() {
        let mut unavailable = node("True", "");
        let condition =
            Condition { status: "True".into(), reason: "NoRouteCreated".into(), message: "no route".into() };
        unavailable.conditions.insert("NetworkUnavailable".into(), condition);
        let mut tainted = node("True", "");
        tainted.taints.push(Taint { key: TAINT.into(), value: None, effect: "NoSchedule".into() });
        let findings = judged([("n1", unavailable), ("n2", tainted)], &Pods::default()).findings(Severity::Critical);
        assert_eq!(findings.len(), 2);
        assert!(findings.iter().any(|finding| finding.seen == "NetworkUnavailable=True (NoRouteCreated: no route)"));
    }

    #[test]
    fn a_silent_kubelet_is_undecided() {
        assert_eq!(judged([("n3", node("Unknown", ""))], &Pods::default()).gaps().len(), 1);
    }

    #[test]
    fn a_pod_that_gets_no_address_is_found() {
        let findings = judged([("n1", node("True", ""))], &coredns(Some("n1"))).findings(Severity::Critical);
        assert_eq!(findings[0].seen, "coredns-1 waits on n1 without an address: ContainerCreating");
    }
}
