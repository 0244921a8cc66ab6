//! # Every control-plane component runs as a static pod that is Ready
//!
//! ## Why
//! A broken or missing manifest silently removes its component: the API may still answer, but nothing is scheduled or
//! reconciled. A component that runs as an ordinary pod needs the API to start, so it does not come back after an outage of
//! the API server.
//!
//! ## Fix
//! `/etc/kubernetes/manifests` on the node has one YAML file per component. Recreate a missing one with the cluster's own
//! settings. These commands are for the scheduler; the controller-manager is the same. The API server and etcd (`etcd local`)
//! also need the InitConfiguration of the node that PK-01 shows, and etcd only if `/var/lib/etcd` still has its member:
//!
//! ```text
//! kubectl -n kube-system get configmap kubeadm-config -o jsonpath='{.data.ClusterConfiguration}' > kubeadm.yaml &&
//! kubeadm init phase control-plane scheduler --config kubeadm.yaml
//! ```
//!
//! If no API server answers, `kubectl` cannot help: write the ClusterConfiguration by hand, or copy the manifest of another
//! control-plane node and replace its addresses and name. kubeadm overwrites an existing manifest, including flags that were
//! set by hand: keep a copy. If a pod does not become Ready, read `crictl ps -a`, `crictl logs` and `journalctl -u kubelet` on
//! the node. Delete an ordinary pod that took a static pod's name: `kubectl -n kube-system delete pod NAME`.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/util/staticpod/utils.go`, `pkg/kubelet/types/pod_update.go`,
//! `pkg/kubelet/config/common.go`; <https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/>

use std::collections::BTreeSet;

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::pods::{Owner, Pod, Pods};
use crate::object_ref::NamespacedName;
use crate::suites::pods::why_not_ready;

crate::check!("CP-03", "static-pods", Major, judge, builds_on: ["CP-01", "HA-03", "KL-01"]);

const NAMESPACE: &str = "kube-system";
const COMPONENTS: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];

fn judge(pods: &Pods, nodes: &Nodes, kubeadm: Option<&KubeadmConfig>) -> Verdict {
    let hosts: BTreeSet<&str> = pods
        .labelled(NAMESPACE, "tier", "control-plane")
        .filter(|pod| pod.is_mirror() && pod.component().is_some_and(|component| COMPONENTS.contains(&component)))
        .filter_map(|pod| pod.node.as_deref())
        .collect();
    let marked: BTreeSet<&str> = nodes.control_plane().map(|(name, _)| name.as_str()).collect();
    if marked.is_empty() && hosts.is_empty() {
        return Verdict::not_applicable(
            "no node has the control-plane role or runs its static pods: the control plane is managed",
        );
    }
    if kubeadm.is_none() && hosts.is_empty() {
        return Verdict::not_applicable(format!(
            "no node runs static pods of the control plane in {NAMESPACE}, and it is not a kubeadm cluster"
        ));
    }
    let mut components = COMPONENTS.to_vec();
    if kubeadm.is_some_and(|kubeadm| !kubeadm.external_etcd) {
        components.push("etcd");
    }
    let mut verdict = Verdict::new();
    for node in marked.union(&hosts) {
        judge_node(&mut verdict, node, &components, pods, nodes, kubeadm.is_some());
    }
    verdict
}

fn judge_node(verdict: &mut Verdict, node: &str, components: &[&str], pods: &Pods, nodes: &Nodes, kubeadm: bool) {
    let mut not_ready = Vec::new();
    for component in components {
        let name = format!("{component}-{}", node.to_lowercase());
        let subject = Subject::object("Pod", NAMESPACE, &name);
        let Some(pod) = pods.0.get(&NamespacedName::new(NAMESPACE, name.clone())) else {
            verdict.find(
                subject,
                Finding::new(format!("a static pod of {component} on {node}"), "the pod does not exist")
                    .explains_only(explained_by(component))
                    .impact(format!("{component} does not run on {node}"))
                    .fix(format!(
                        "on {node}, look for /etc/kubernetes/manifests/{component}.yaml; if it is missing, `seaworthy \
                         explain CP-03` shows how to recreate it"
                    )),
            );
            continue;
        };
        let unlike = differences(pod, node);
        if !verdict.expect(subject.clone(), unlike.is_empty(), || {
            Finding::new(format!("{component} on {node} is a static pod"), unlike.join("; "))
                .explains_only(&[])
                .impact(format!("after an outage of the API server, {component} on {node} does not come back"))
                .fix(format!(
                    "check /etc/kubernetes/manifests/{component}.yaml on {node}, then kubectl -n {NAMESPACE} delete pod {name}"
                ))
        }) {
            continue;
        }
        if !pod.ready {
            not_ready.push(pod);
            continue;
        }
        verdict.confirm();
        let priority = pod.priority_class.as_deref().unwrap_or("none");
        verdict.expect(subject, !kubeadm || priority.starts_with("system-"), || {
            Finding::new("priority class system-node-critical", format!("priority class {priority}"))
                .impact(format!("{component} may be evicted before ordinary pods when {node} runs short of resources"))
                .fix(format!(
                    "on {node}, set priorityClassName: system-node-critical in /etc/kubernetes/manifests/{component}.yaml"
                ))
                .info()
        });
        if let Some(restarts) = restarts(pod) {
            verdict.note_about(Subject::object("Pod", NAMESPACE, &name), restarts);
        }
    }
    report_not_ready(verdict, node, &not_ready, nodes.0.get(node).is_some_and(|node| !node.is_ready()));
}

/// What distinguishes the pod from a static pod of this node.
fn differences(pod: &Pod, node: &str) -> Vec<String> {
    let mut differences = Vec::new();
    if !pod.is_mirror() {
        differences
            .push("no annotation kubernetes.io/config.mirror: an ordinary pod with a static pod's name".to_owned());
    }
    let source = pod.annotations.get("kubernetes.io/config.source").map_or("none", String::as_str);
    if pod.is_mirror() && source != "file" {
        differences.push(format!("annotation kubernetes.io/config.source is {source}, not file"));
    }
    let is_owner = |owner: &Owner| owner.kind == "Node" && owner.name == node;
    if pod.is_mirror() && !pod.owner.as_ref().is_some_and(is_owner) {
        let owner = pod.owner.as_ref().map_or("no one".into(), |owner| format!("{} {}", owner.kind, owner.name));
        differences.push(format!("owned by {owner}"));
    }
    if !pod.host_network {
        differences.push("not in the host network".to_owned());
    }
    differences
}

fn restarts(pod: &Pod) -> Option<String> {
    let restarts: i32 = pod.containers.iter().map(|container| container.restarts).sum();
    (restarts > 0).then(|| format!("restarts so far: {restarts}"))
}

/// Pods on a lost node share one cause.
fn report_not_ready(verdict: &mut Verdict, node: &str, pods: &[&Pod], node_is_down: bool) {
    if node_is_down && !pods.is_empty() {
        verdict.find_together(
            [Subject::node(node)],
            pods.len(),
            Finding::new(
                format!("the control plane on {node} runs"),
                format!("{node} is not Ready, and neither are {} of its static pods", pods.len()),
            )
            .evidence(pods.iter().map(|pod| &pod.name))
            .impact("the control plane has lost this node's components")
            .fix(format!("bring {node} back: is it powered on, reachable, and is its kubelet running?")),
        );
        return;
    }
    for pod in pods {
        let component = pod.component().unwrap_or(&pod.name);
        verdict.find(
            Subject::object("Pod", &pod.namespace, &pod.name),
            Finding::new("the pod is Ready", format!("not Ready ({})", why_not_ready(pod)))
                .explains_only(explained_by(component))
                .evidence(restarts(pod))
                .impact(format!("{component} does not work on {node}"))
                .fix(format!("on {node}, read its log: crictl logs $(crictl ps -aq --name {component} | head -1)")),
        );
    }
}

/// The checks whose results may follow where a component does not run.
fn explained_by(component: &str) -> &'static [&'static str] {
    match component {
        "kube-controller-manager" | "kube-scheduler" => &["AD-03", "CP-05"],
        _ => &["AD-03", "CP-05", "HA-03", "SN-03"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::nodes::{Condition, Node};
    use crate::fact::facts::pods::Container;
    use crate::object_ref::testing::named;

    fn node(ready: &str) -> Node {
        let ready = Condition { status: ready.into(), reason: String::new(), message: String::new() };
        Node {
            labels: [("node-role.kubernetes.io/control-plane".to_owned(), String::new())].into(),
            conditions: [("Ready".to_owned(), ready)].into(),
            ..Node::default()
        }
    }

    fn nodes(ready: &str) -> Nodes {
        Nodes([("N1".to_owned(), node(ready)), ("w1".to_owned(), Node::default())].into())
    }

    fn pods() -> Pods {
        let pod = |component: &str| Pod {
            namespace: NAMESPACE.into(),
            name: format!("{component}-n1"),
            labels: [("tier", "control-plane"), ("component", component)].map(|(k, v)| (k.into(), v.into())).into(),
            annotations: [("kubernetes.io/config.source", "file"), ("kubernetes.io/config.mirror", "abc")]
                .map(|(k, v)| (k.into(), v.into()))
                .into(),
            owner: Some(Owner { kind: "Node".into(), name: "N1".into() }),
            node: Some("N1".into()),
            host_network: true,
            priority_class: Some("system-node-critical".into()),
            phase: "Running".into(),
            ready: true,
            ..Pod::default()
        };
        let all = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"];
        Pods(all.map(|component| (NamespacedName::new(NAMESPACE, format!("{component}-n1")), pod(component))).into())
    }

    fn findings(pods: &Pods, nodes: &Nodes) -> Vec<Finding> {
        judge(pods, nodes, Some(&KubeadmConfig::default())).findings(Severity::Major)
    }

    #[test]
    fn a_complete_control_plane_passes() {
        let verdict = judge(&pods(), &nodes("True"), Some(&KubeadmConfig::default()));
        assert_eq!((verdict.observations(), verdict.findings(Severity::Major)), (12, vec![]));
    }

    #[test]
    fn etcd_outside_of_the_cluster_is_not_missed() {
        let mut pods = pods();
        pods.0.remove(&named("kube-system/etcd-n1"));
        assert_eq!(findings(&pods, &nodes("True"))[0].expected, "a static pod of etcd on N1");
        let external = KubeadmConfig { external_etcd: true, ..KubeadmConfig::default() };
        assert!(judge(&pods, &nodes("True"), Some(&external)).findings(Severity::Major).is_empty());
        assert!(judge(&pods, &nodes("True"), None).findings(Severity::Major).is_empty());
    }

    #[test]
    fn a_missing_component_is_found() {
        let mut pods = pods();
        pods.0.remove(&named("kube-system/kube-scheduler-n1"));
        let findings = findings(&pods, &nodes("True"));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].subjects[0], Subject::object("Pod", NAMESPACE, "kube-scheduler-n1"));
        assert_eq!(findings[0].seen, "the pod does not exist");
    }

    #[test]
    fn a_look_alike_is_found() {
        let mut pods = pods();
        let pod = pods.0.get_mut(&named("kube-system/kube-scheduler-n1")).unwrap();
        pod.annotations.clear();
        pod.owner = None;
        let findings = findings(&pods, &nodes("True"));
        assert_eq!(findings.len(), 1);
        assert!(findings[0].seen.contains("an ordinary pod with a static pod's name"), "{}", findings[0].seen);
    }

    #[test]
    fn a_crash_loop_is_found_with_its_reason() {
        let mut pods = pods();
        let pod = pods.0.get_mut(&named("kube-system/etcd-n1")).unwrap();
        pod.ready = false;
        pod.not_ready_because = "containers with unready status: [etcd]".into();
        let waiting = Some("CrashLoopBackOff".to_owned());
        pod.containers = vec![Container { name: "etcd".into(), restarts: 9, waiting, ..Container::default() }];
        let findings = findings(&pods, &nodes("True"));
        let seen = "not Ready (Running, CrashLoopBackOff, containers with unready status: [etcd])";
        assert_eq!(findings[0].seen, seen);
    }

    #[test]
    fn a_lost_node_is_one_finding() {
        let mut pods = pods();
        pods.0.values_mut().for_each(|pod| pod.ready = false);
        let findings = findings(&pods, &nodes("Unknown"));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].subjects[0], Subject::node("N1"));
    }

    #[test]
    fn a_control_plane_that_is_not_made_of_static_pods_is_not_judged() {
        let workers = Nodes([("w1".to_owned(), Node::default())].into());
        assert!(judge(&Pods::default(), &workers, None).reason().unwrap().contains("managed"));
        let one_process = judge(&Pods::default(), &nodes("True"), None);
        assert!(one_process.reason().unwrap().contains("no node runs static pods of the control plane"));
    }
}
