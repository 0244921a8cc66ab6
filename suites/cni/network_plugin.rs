//! # The network plugin is ready on every node
//!
//! ## Why
//! A new kubeadm cluster has no network plugin: its nodes stay NotReady and CoreDNS stays Pending. A node without the
//! plugin's pod gets no pods.
//!
//! ## Fix
//! Install the network add-on, or find out why its pod does not run on the node: `kubectl get pods -A -o wide
//! --field-selector spec.nodeName=NODE`. On the node, `ls /etc/cni/net.d /opt/cni/bin` must show a configuration and
//! the programs that it names; `journalctl -u kubelet | grep -i cni` shows what is missing. The cloud provider
//! removes the taint network-unavailable: if it stays, read the log of the cloud controller manager.
//!
//! ## Source
//! <https://kubernetes.io/docs/concepts/cluster-administration/addons/>,
//! <https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/create-cluster-kubeadm/#pod-network>;
//! kubernetes/kubernetes `staging/src/k8s.io/api/core/v1/types.go` (NodeNetworkUnavailable)

use crate::check::finding::Difference;
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::nodes::{Condition, Node, Nodes, silence};
use crate::fact::facts::pods::{Pod, Pods};
use crate::seen::Unobserved;
use crate::suites::node_changes::comes_or_goes;

crate::check!("CN-01", "network-plugin", Critical, judge);

const TAINT: &str = "node.kubernetes.io/network-unavailable";
/// What kubelets and container runtimes report while the plugin is missing.
const SIGNS: [&str; 4] =
    ["NetworkPluginNotReady", "NetworkNotReady", "cni plugin not initialized", "cni config uninitialized"];
/// For how many seconds a pod may wait for its sandbox.
const PATIENCE: i64 = 120;
/// How to find out why the node's network is reported as unavailable.
const READ_THE_LOG: &str = "read the log of the component that reports it about these nodes: the cloud controller \
                            manager (kubectl get pods -A -o wide | grep cloud-controller), or the network plugin's \
                            pod there";

fn judge(nodes: &Nodes, pods: &Pods, clock: &Clock) -> Verdict {
    let mut verdict = Verdict::new();
    let is_unscheduled = |pod: &&Pod| pod.phase == "Pending" && pod.node.is_none();
    let waiting: Vec<String> = pods
        .labelled("kube-system", "k8s-app", "kube-dns")
        .filter(is_unscheduled)
        .map(|pod| format!("Pod {} waits for a node", pod.key()))
        .collect();
    let impact = if waiting.is_empty() {
        "no pod of the pod network starts there"
    } else {
        "no pod of the pod network starts there, and the cluster's DNS waits for a node"
    };
    for (name, node) in &nodes.0 {
        // Its plugin is being installed, or has been stopped. KL-01 reports a node that does not become Ready.
        if let Some(why) = comes_or_goes(node, clock.server).filter(|_| !node.is_ready()) {
            verdict.note_about(Subject::node(name), format!("not checked: {why}"));
            continue;
        }
        let Some(ready) = node.conditions.get("Ready").filter(|_| !node.is_silent()) else {
            verdict.unseen(Subject::node(name), &silence(name));
            continue;
        };
        let faults = faults(node, ready);
        if faults.is_empty() && ready.status != "True" {
            // The runtime, which reports whether the plugin is ready, may be what is down.
            let cause = format!("Ready={}: {}", ready.status, ready.message);
            verdict.unseen(Subject::node(name), &Unobserved::invalid("the network there", cause));
        } else if faults.is_empty() {
            verdict.confirm();
        }
        for fault in faults {
            verdict.find(Subject::node(name), fault.impact(impact).evidence(&waiting));
        }
    }
    for pod in pods.labelled("kube-system", "k8s-app", "kube-dns").filter(|pod| waits_for_its_sandbox(pod, clock)) {
        verdict.find(
            pod.key().of("Pod").into(),
            Finding::new(
                format!("the pod gets an address within {PATIENCE} s"),
                format!("it waits on {} without one: ContainerCreating", pod.node.as_deref().unwrap_or_default()),
            )
            .impact("the cluster's DNS lacks this replica, and other new pods on the node may wait as well")
            .fix(format!("read its events, which name the cause: kubectl -n kube-system describe pod {}", pod.name)),
        );
    }
    verdict
}

fn faults(node: &Node, ready: &Condition) -> Vec<Difference> {
    let mut faults = Vec::new();
    if ready.status != "True" && SIGNS.iter().any(|sign| ready.message.contains(sign)) {
        let seen = format!("Ready={}: {}", ready.status, ready.message);
        faults.push(Finding::new("the network plugin is ready", seen).fix(
            "install the network plugin, or find out why its pod does not run there (kubectl get daemonsets -A; \
             kubectl get pods -A -o wide); on these nodes: ls /etc/cni/net.d /opt/cni/bin; journalctl -u kubelet | \
             grep -i cni",
        ));
    }
    if let Some(unavailable) = node.conditions.get("NetworkUnavailable").filter(|condition| condition.status != "False")
    {
        let Condition { status, reason, message } = unavailable;
        let seen = format!("NetworkUnavailable={status} ({reason}: {message})");
        faults.push(Finding::new("NetworkUnavailable=False, or no such condition", seen).fix(READ_THE_LOG));
    } else if node.taints.iter().any(|taint| taint.key == TAINT) {
        let expected = "no taint that keeps pods away for lack of a network";
        faults.push(Finding::new(expected, format!("taint {TAINT}")).fix(READ_THE_LOG));
    }
    faults
}

/// Whether the pod has a node but no sandbox, which the network plugin helps to create.
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
    use crate::check::testing::seen_of;
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
            node: node.map(Into::into),
            phase: "Pending".into(),
            created: Some("2026-11-22T11:50:00Z".parse().unwrap()),
            containers: vec![Container { waiting: Some("ContainerCreating".into()), ..Container::default() }],
            ..Pod::default()
        };
        Pods([(named("kube-system/coredns-1"), pod)].into())
    }

    const MISSING: &str = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady \
                           message:Network plugin returns error: cni plugin not initialized";

    #[test]
    fn ready_nodes_pass() {
        let verdict = judged([("n1", node("True", "")), ("n2", node("True", ""))], &Pods::default());
        assert_eq!((verdict.observations(), verdict.findings(Severity::Critical)), (2, vec![]));
    }

    #[test]
    fn a_fresh_cluster_without_plugin_is_one_finding() {
        let nodes = [("n1", node("False", MISSING)), ("n2", node("False", MISSING))];
        let verdict = judged(nodes, &coredns(None));
        let seen = format!("Node n1, n2: Ready=False: {MISSING}");
        assert_eq!((verdict.observations(), seen_of(&verdict)), (2, vec![seen]));
        let finding = verdict.findings(Severity::Critical).remove(0);
        assert_eq!(finding.evidence, ["Pod kube-system/coredns-1 waits for a node"]);
        assert!(finding.impact.unwrap().ends_with("the cluster's DNS waits for a node"));
    }

    #[test]
    fn a_node_that_is_not_ready_for_another_reason_is_not_the_plugins_fault() {
        let verdict = judged([("n1", node("False", "PLEG is not healthy"))], &Pods::default());
        assert!(verdict.findings(Severity::Critical).is_empty());
    }

    #[test]
    fn the_conditions_of_the_cloud_provider_count() {
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
    fn a_silent_kubelet_is_not_checked() {
        assert_eq!(judged([("n3", node("Unknown", ""))], &Pods::default()).gaps().len(), 1);
    }

    #[test]
    fn a_pod_that_gets_no_address_is_found() {
        assert_eq!(
            seen_of(&judged([("n1", node("True", ""))], &coredns(Some("n1")))),
            ["Pod kube-system/coredns-1: it waits on n1 without one: ContainerCreating"]
        );
    }
}
