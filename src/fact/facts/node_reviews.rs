//! The rights of a node, as the authorizers report them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::node_under_test::{NONE, NodeUnderTest};
use crate::fact::access_review::{self, Question, Review, Who, review_all};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::object_ref::NamespacedName;
use crate::seen::{Access, Seen};

/// The rights of a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NodeReviews(pub BTreeMap<NodeAsks, Review>);

/// A right of a node. Those to objects of other nodes are left out where there is no such object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NodeAsks {
    /// To read a ConfigMap of one of its pods.
    OwnConfigMap,
    /// To read a Secret that no pod refers to.
    UnrelatedSecret,
    /// To read a Secret that only pods of other nodes refer to.
    ForeignSecret,
    /// To read a ConfigMap that only pods of other nodes refer to.
    ForeignConfigMap,
    /// To list the Secrets of a namespace.
    ListSecretsOfNamespace,
    /// To list all Secrets.
    ListSecrets,
    /// To watch all Secrets.
    WatchSecrets,
    /// To create a Secret.
    CreateSecret,
    /// To change a Secret.
    UpdateSecret,
    /// To delete a Secret.
    DeleteSecret,
    /// To create a token for the service account of one of its pods.
    OwnToken,
    /// To create a token for a service account that none of its pods has.
    ForeignToken,
    /// To list service accounts.
    ListServiceAccounts,
    /// To renew its own lease.
    OwnLease,
    /// To read another node's lease.
    ForeignLease,
    /// To renew another node's lease.
    RenewForeignLease,
    /// To renew the leader lease of the scheduler.
    SchedulerLease,
    /// To read its own CSINode.
    OwnCsiNode,
    /// To read another node's CSINode.
    ForeignCsiNode,
    /// To change another node's CSINode.
    UpdateForeignCsiNode,
    /// To read a volume that none of its pods uses.
    UnrelatedVolume,
    /// To list all volumes.
    ListVolumes,
    /// To read a volume claim that none of its pods uses.
    UnrelatedClaim,
    /// To list all attachments of volumes.
    ListVolumeAttachments,
    /// To list the pods of all nodes.
    ListPods,
    /// To list its own pods.
    ListOwnPods,
    /// To read a pod of another node.
    ForeignPod,
    /// To read its own Node.
    OwnNode,
    /// To read another Node.
    ForeignNode,
    /// To list all Nodes.
    ListNodes,
    /// To delete its own Node.
    DeleteOwnNode,
    /// To list the devices of all nodes.
    ListResourceSlices,
    /// To list the requests for certificates of the pods of all nodes.
    ListPodCertificateRequests,
    /// To answer a request for a certificate of a pod.
    AnswerPodCertificateRequest,
}

fn questions(under_test: &NodeUnderTest) -> Vec<(NodeAsks, Question)> {
    let kubelet = Who::kubelet(&under_test.node);
    let other = under_test.other.as_deref().unwrap_or(NONE);
    let lease = |verb, name: &str| {
        kubelet.may(verb, "leases").of_group("coordination.k8s.io").in_namespace("kube-node-lease").named(name)
    };
    let storage = |verb, resource| kubelet.may(verb, resource).of_group("storage.k8s.io");
    let pod_certificates = |verb, resource| kubelet.may(verb, resource).of_group("certificates.k8s.io");
    let secret = |verb| kubelet.may(verb, "secrets").in_namespace("kube-system");
    let token = kubelet.may("create", "serviceaccounts/token");
    let mut all = vec![
        (
            NodeAsks::OwnConfigMap,
            kubelet
                .may("get", "configmaps")
                .in_namespace(under_test.config_map.namespace.clone())
                .named(under_test.config_map.name.clone()),
        ),
        (NodeAsks::UnrelatedSecret, secret("get").named(NONE)),
        (NodeAsks::ListSecretsOfNamespace, secret("list")),
        (NodeAsks::ListSecrets, kubelet.may("list", "secrets")),
        (NodeAsks::WatchSecrets, kubelet.may("watch", "secrets")),
        (NodeAsks::CreateSecret, secret("create")),
        (NodeAsks::UpdateSecret, secret("update").named(NONE)),
        (NodeAsks::DeleteSecret, secret("delete").named(NONE)),
        (
            NodeAsks::OwnToken,
            token
                .clone()
                .in_namespace(under_test.service_account.namespace.clone())
                .named(under_test.service_account.name.clone()),
        ),
        (
            NodeAsks::ForeignToken,
            match &under_test.foreign_service_account {
                Some(account) => token.in_namespace(account.namespace.clone()).named(account.name.clone()),
                None => token.in_namespace("kube-system").named(NONE),
            },
        ),
        (NodeAsks::ListServiceAccounts, kubelet.may("list", "serviceaccounts").in_namespace("kube-system")),
        (NodeAsks::OwnLease, lease("update", &under_test.node)),
        (NodeAsks::ForeignLease, lease("get", other)),
        (NodeAsks::RenewForeignLease, lease("update", other)),
        (NodeAsks::SchedulerLease, lease("update", "kube-scheduler").in_namespace("kube-system")),
        (NodeAsks::OwnCsiNode, storage("get", "csinodes").named(&under_test.node)),
        (NodeAsks::ForeignCsiNode, storage("get", "csinodes").named(other)),
        (NodeAsks::UpdateForeignCsiNode, storage("update", "csinodes").named(other)),
        (NodeAsks::UnrelatedVolume, kubelet.may("get", "persistentvolumes").named(NONE)),
        (NodeAsks::ListVolumes, kubelet.may("list", "persistentvolumes")),
        (
            NodeAsks::UnrelatedClaim,
            kubelet.may("get", "persistentvolumeclaims").in_namespace("kube-system").named(NONE),
        ),
        (NodeAsks::ListVolumeAttachments, storage("list", "volumeattachments")),
        (NodeAsks::ListPods, kubelet.may("list", "pods")),
        (NodeAsks::ListOwnPods, kubelet.may("list", "pods").where_field("spec.nodeName", &under_test.node)),
        (NodeAsks::OwnNode, kubelet.may("get", "nodes").named(&under_test.node)),
        (NodeAsks::ForeignNode, kubelet.may("get", "nodes").named(other)),
        (NodeAsks::ListNodes, kubelet.may("list", "nodes")),
        (NodeAsks::DeleteOwnNode, kubelet.may("delete", "nodes").named(&under_test.node)),
        (NodeAsks::ListResourceSlices, kubelet.may("list", "resourceslices").of_group("resource.k8s.io")),
        (NodeAsks::ListPodCertificateRequests, pod_certificates("list", "podcertificaterequests")),
        (
            NodeAsks::AnswerPodCertificateRequest,
            pod_certificates("update", "podcertificaterequests/status").in_namespace("kube-system").named(NONE),
        ),
    ];
    let foreign = |resource, object: &NamespacedName| {
        kubelet.may("get", resource).in_namespace(object.namespace.clone()).named(object.name.clone())
    };
    all.extend(under_test.foreign_pod.as_ref().map(|object| (NodeAsks::ForeignPod, foreign("pods", object))));
    all.extend(under_test.foreign_secret.as_ref().map(|object| (NodeAsks::ForeignSecret, foreign("secrets", object))));
    all.extend(
        under_test
            .foreign_config_map
            .as_ref()
            .map(|object| (NodeAsks::ForeignConfigMap, foreign("configmaps", object))),
    );
    all
}

impl Observe for NodeReviews {
    type Needs<'a> = (&'a NodeUnderTest,);
    const NAME: &'static str = "node-reviews";
    const ACCESS: Access = Access::Review;
    const RULES: &'static [Rule] = &[access_review::RULE];

    async fn observe(Live { cluster, .. }: &Live, (under_test,): Self::Needs<'_>) -> Seen<Self> {
        review_all(cluster, questions(under_test)).await.map(Self)
    }
}

crate::observed!(NodeReviews);
