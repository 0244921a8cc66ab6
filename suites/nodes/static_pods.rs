//! # Only static pods of the distribution run
//!
//! ## Why
//! A manifest in a node's `staticPodPath` runs with any privilege, past admission, quota and RBAC, and deleting its pod in the
//! API has no effect. Intruders use it to persist on a node.
//!
//! ## Fix
//! Look at the manifest on the node that is named: `ls -l /etc/kubernetes/manifests`, `kubectl -n NAMESPACE get pod POD -o
//! yaml`. If no one knows it, move the manifest out of the directory, keep it for the investigation, and rebuild the node. If
//! it is yours, run it as a DaemonSet, which the API controls.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/kubelet/types/pod_update.go` (annotation `kubernetes.io/config.source`),
//! `pkg/kubelet/config/common.go`; feature PreventStaticPodAPIReferences (1.34). Only what the API shows is judged: a
//! static pod without a mirror pod, for example because its namespace does not exist, is visible to its kubelet only.

use std::collections::BTreeMap;

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::nodes::{Node, Nodes};
use crate::fact::facts::pods::{Pod, Pods};

crate::check!("KL-07", "static-pod-sources", Info, judge);

/// Containers that distributions and their load balancers run as static pods on control-plane nodes.
const OF_CONTROL_PLANES: [&str; 14] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "etcd",
    "cloud-controller-manager",
    "kube-vip",
    "haproxy",
    "keepalived",
    "etcd-events",
    "etcd-manager",
    "kube-addon-manager",
    "konnectivity-server",
    "kube-rbac-proxy-crio",
    "kms-plugin",
];
/// Containers that they run as static pods on any node: kube-proxy (RKE2, EKS Anywhere, kOps), local load balancers (Kubespray).
const OF_ALL_NODES: [&str; 4] = ["kube-proxy", "nginx-proxy", "haproxy", "kube-rbac-proxy-crio"];
/// The namespace of all of them.
const SYSTEM: &str = "kube-system";

fn judge(pods: &Pods, nodes: &Nodes) -> Verdict {
    let mut verdict = Verdict::new();
    let mut strangers: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let mirrors = pods.0.values().filter(|pod| pod.is_mirror());
    let mut sources: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in mirrors {
        let source = pod.annotations.get("kubernetes.io/config.source").map_or("none", String::as_str);
        *sources.entry(source).or_default() += 1;
        let Some(node) = pod.node.as_deref() else { continue };
        let name = pod.name.strip_suffix(&format!("-{}", node.to_lowercase())).unwrap_or(&pod.name);
        let is_control_plane = nodes.0.get(node).is_some_and(Node::is_control_plane);
        if is_expected(pod, is_control_plane) {
            verdict.confirm();
        } else {
            strangers.entry((pod.namespace.clone(), name.to_owned())).or_default().push(node.to_owned());
        }
        judge_references(&mut verdict, pod);
    }
    for ((namespace, name), on) in strangers {
        let finding = Finding::new(
            "only static pods of the distribution run",
            format!("an unknown static pod {namespace}/{name} runs"),
        )
        .impact("it has any privilege that its manifest requests, past admission and RBAC")
        .fix("on these nodes, find out who created its manifest: ls -l /etc/kubernetes/manifests");
        verdict.find_together(on.iter().map(Subject::node), on.len(), finding);
    }
    let nodes_without = nodes.0.len();
    if sources.is_empty() {
        // For each node, no pod is the mirror of a manifest.
        for _ in 0..nodes_without {
            verdict.confirm();
        }
        verdict.note("no node runs static pods");
    } else {
        let sources: Vec<String> = sources.iter().map(|(source, count)| format!("{count} from {source}")).collect();
        verdict.note(format!("static pods: {}", sources.join(", ")));
    }
    verdict
}

fn is_expected(pod: &Pod, on_control_plane: bool) -> bool {
    let is = |known: &[&str]| pod.containers.iter().any(|container| known.contains(&container.name.as_str()));
    // OpenShift keeps each component in a namespace of its own.
    let in_system = pod.namespace == SYSTEM || pod.namespace.starts_with("openshift-");
    in_system && (is(&OF_ALL_NODES) || on_control_plane && (is(&OF_CONTROL_PLANES) || pod.namespace != SYSTEM))
}

/// A static pod must work without the API.
fn judge_references(verdict: &mut Verdict, pod: &Pod) {
    let references: Vec<String> = [("Secret", &pod.secrets), ("ConfigMap", &pod.config_maps)]
        .into_iter()
        .flat_map(|(kind, names)| names.iter().map(move |name| format!("{kind} {name}")))
        .collect();
    verdict.expect(Subject::object("Pod", &pod.namespace, &pod.name), references.is_empty(), || {
        Finding::new("the static pod does not refer to API objects", "it refers to some")
            .evidence(references)
            .impact(
                "since Kubernetes 1.34 it does not start; before, it could read objects that the node should not see",
            )
            .fix("write the values into the manifest, or run the pod as a DaemonSet")
            .severity(crate::check::Severity::Minor)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::nodes::Node;
    use crate::fact::facts::pods::Container;
    use crate::object_ref::NamespacedName;

    fn nodes() -> Nodes {
        let control = Node {
            labels: [("node-role.kubernetes.io/control-plane".to_owned(), String::new())].into(),
            ..Node::default()
        };
        Nodes(
            [("n1".to_owned(), control), ("n2".to_owned(), Node::default()), ("n3".to_owned(), Node::default())].into(),
        )
    }

    fn mirror(namespace: &str, container: &str, node: &str) -> (NamespacedName, Pod) {
        let pod = Pod {
            namespace: namespace.into(),
            name: format!("{container}-{node}"),
            node: Some(node.into()),
            annotations: [("kubernetes.io/config.source", "file"), ("kubernetes.io/config.mirror", "abc")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            containers: vec![Container { name: container.into(), ..Container::default() }],
            ..Pod::default()
        };
        (pod.key(), pod)
    }

    fn seen(pods: impl IntoIterator<Item = (NamespacedName, Pod)>) -> Vec<String> {
        let findings = judge(&Pods(pods.into_iter().collect()), &nodes()).findings(Severity::Info);
        findings
            .into_iter()
            .map(|finding| format!("{}: {}", crate::check::subject::listed(&finding.subjects), finding.seen))
            .collect()
    }

    #[test]
    fn a_control_plane_and_local_load_balancers_pass() {
        let pods = ["kube-apiserver", "etcd", "kube-vip"].map(|name| mirror(SYSTEM, name, "n1")).into_iter().chain([
            mirror(SYSTEM, "nginx-proxy", "n2"),
            mirror(SYSTEM, "kube-proxy", "n3"),
            mirror("openshift-etcd", "etcdctl", "n1"),
        ]);
        assert_eq!(seen(pods), Vec::<String>::new());
    }

    #[test]
    fn strangers_are_found_where_they_run() {
        let pods = [mirror("default", "agent", "n2"), mirror("default", "agent", "n3")];
        assert_eq!(seen(pods), ["Node n2, n3: an unknown static pod default/agent runs"]);
        assert_eq!(seen([mirror(SYSTEM, "etcd", "n2")]), ["Node n2: an unknown static pod kube-system/etcd runs"]);
        assert_eq!(seen([mirror("default", "kube-proxy", "n2")]).len(), 1);
    }

    #[test]
    fn a_reference_to_the_api_is_found() {
        let (path, pod) = mirror(SYSTEM, "etcd", "n1");
        let pod = Pod { secrets: vec!["etcd-peers".into()], ..pod };
        assert_eq!(seen([(path, pod)]), ["Pod kube-system/etcd-n1: it refers to some"]);
    }

    #[test]
    fn no_static_pod_at_all_is_as_it_should_be() {
        let verdict = judge(&Pods::default(), &nodes());
        assert_eq!(
            (verdict.observations(), crate::check::testing::notes(&verdict)),
            (3, vec!["no node runs static pods".to_owned()])
        );
    }
}
