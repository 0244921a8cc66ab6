//! The answers to a kubelet's writes, sent as the node with `dryRun=All`.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::{Node, Pod};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::node_identity::NodeIdentity;
use super::node_under_test::{NONE, NodeUnderTest};
use crate::cluster::Call;
use crate::fact::answered::Answered;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::object_ref::NamespacedName;
use crate::seen::{Access, Seen};

/// A uid that no object has: a second safeguard on evictions, in addition to `dryRun`.
const NO_UID: &str = "00000000-0000-4000-8000-000000000000";

/// The answers to writes as a node. All are sent with `dryRun=All`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NodeRestriction {
    /// The node.
    pub node: String,
    /// The answers. Those about other nodes are left out in a cluster of one node.
    pub writes: BTreeMap<Write, Seen<Answered>>,
}

/// A write of a kubelet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Write {
    /// To annotate its own Node.
    OwnNode,
    /// To annotate another Node.
    OtherNode,
    /// To create a Node of another name.
    NewNode,
    /// To give its Node labels that it may set.
    OwnLabels,
    /// To give its Node a label that is reserved for isolating workloads.
    IsolationLabel,
    /// To give its Node the role of a control plane.
    RoleLabel,
    /// To give its Node an unknown label in a domain of Kubernetes.
    UnknownLabel,
    /// To taint its Node.
    Taint,
    /// To give its Node an owner.
    NodeOwner,
    /// To create the mirror pod of a static pod of its own.
    MirrorPod,
    /// To create an ordinary pod on itself.
    OrdinaryPod,
    /// To create a mirror pod on another node.
    MirrorPodElsewhere,
    /// To create a mirror pod that its Node does not own.
    MirrorPodWithoutOwner,
    /// To create a mirror pod that refers to a ConfigMap.
    MirrorPodWithConfigMap,
    /// To evict a pod of its own.
    EvictOwnPod,
    /// To evict a pod of another node.
    EvictForeignPod,
}

impl Observe for NodeRestriction {
    type Needs<'a> = (&'a NodeUnderTest, &'a NodeIdentity);
    const NAME: &'static str = "node-restriction";
    const ACCESS: Access = Access::Impersonate;
    const RULES: &'static [Rule] = &[
        Rule::as_node("", "nodes", &["impersonate-on:arbitrary-node:create", "impersonate-on:arbitrary-node:patch"]),
        Rule::as_node("", "pods", &["impersonate-on:arbitrary-node:create"]),
        Rule::as_node("", "pods/eviction", &["impersonate-on:arbitrary-node:create"]),
    ];

    async fn observe(Live { cluster, .. }: &Live, (under_test, identity): Self::Needs<'_>) -> Seen<Self> {
        let writes = join_all(
            writes(under_test, &identity.uid)
                .into_iter()
                .map(async |(write, call)| (write, identity.send(cluster, call.dry_run()).await)),
        );
        Ok(Self { node: under_test.node.clone(), writes: writes.await.into_iter().collect() })
    }
}

fn writes(under_test: &NodeUnderTest, uid: &str) -> Vec<(Write, Call)> {
    let node = under_test.node.as_str();
    let patch = |name: &str, body| Call::patch::<Node>(name, body);
    let annotation = json!({"metadata": {"annotations": {"seaworthy.dev/probe": "seaworthy"}}});
    let label = |key: &str| patch(node, json!({"metadata": {"labels": {key: "seaworthy"}}}));
    let owner = json!([{"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid, "controller": true}]);
    let mirror = |owner: &Value, on: &str, volumes: Value| create(pod(true, owner, on, &volumes));
    let empty = json!([]);
    let mut all = vec![
        (Write::OwnNode, patch(node, annotation.clone())),
        (Write::NewNode, Call::create::<Node>(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NONE}}))),
        (
            Write::OwnLabels,
            patch(
                node,
                json!({"metadata": {"labels": {
                    "kubelet.kubernetes.io/seaworthy": "seaworthy", "seaworthy.dev/probe": "seaworthy",
                }}}),
            ),
        ),
        (Write::IsolationLabel, label("node-restriction.kubernetes.io/seaworthy")),
        (Write::RoleLabel, label("node-role.kubernetes.io/control-plane")),
        (Write::UnknownLabel, label("seaworthy.k8s.io/probe")),
        (
            Write::Taint,
            patch(
                node,
                json!({"spec": {"taints": [
                    {"key": "seaworthy.dev/probe", "value": "seaworthy", "effect": "PreferNoSchedule"},
                ]}}),
            ),
        ),
        (
            Write::NodeOwner,
            patch(
                node,
                json!({"metadata": {"ownerReferences": [
                    {"apiVersion": "v1", "kind": "Node", "name": NONE, "uid": NO_UID},
                ]}}),
            ),
        ),
        (Write::MirrorPod, mirror(&owner, node, empty.clone())),
        (Write::OrdinaryPod, create(pod(false, &empty, node, &empty))),
        (Write::MirrorPodElsewhere, mirror(&owner, under_test.other.as_deref().unwrap_or(NONE), empty.clone())),
        (Write::MirrorPodWithoutOwner, mirror(&empty, node, empty.clone())),
        (
            Write::MirrorPodWithConfigMap,
            mirror(&owner, node, json!([{"name": "seaworthy", "configMap": {"name": NONE}}])),
        ),
        (Write::EvictOwnPod, evict(&under_test.pod)),
    ];
    all.extend(under_test.other.as_deref().map(|other| (Write::OtherNode, patch(other, annotation))));
    all.extend(under_test.foreign_pod.as_ref().map(|pod| (Write::EvictForeignPod, evict(pod))));
    all
}

fn create(pod: Value) -> Call {
    Call::create::<Pod>(pod).in_namespace("kube-system")
}

fn pod(mirror: bool, owners: &Value, node: &str, volumes: &Value) -> Value {
    let annotations = if mirror { json!({"kubernetes.io/config.mirror": "seaworthy"}) } else { json!({}) };
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NONE, "annotations": annotations, "ownerReferences": owners},
        "spec": {"nodeName": node, "containers": [{"name": "none", "image": NONE}], "volumes": volumes},
    })
}

/// An eviction that cannot succeed even if `dryRun` were ignored: no pod has that uid. Unlike with a deletion,
/// admission comes before the uid is compared.
fn evict(pod: &NamespacedName) -> Call {
    Call::create::<Pod>(json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "deleteOptions": {"dryRun": ["All"], "preconditions": {"uid": NO_UID}},
    }))
    .in_namespace(pod.namespace.clone())
    .named(pod.name.clone())
    .subresource("eviction")
}

crate::observed!(NodeRestriction);
