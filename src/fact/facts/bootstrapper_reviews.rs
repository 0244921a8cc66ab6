//! The rights of a new node that joins with a bootstrap token.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::kubeadm_config::KubeadmConfig;
use super::node_under_test::NONE;
use crate::fact::access_review::{self, Question, Review, Who, review_all};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen};

/// The rights of the bearer of a bootstrap token in a kubeadm cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BootstrapperReviews(pub BTreeMap<BootstrapperAsks, Review>);

/// A right of the bearer of a bootstrap token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BootstrapperAsks {
    /// To request a certificate.
    CreateRequest,
    /// To read a request for a certificate.
    GetRequest,
    /// To list requests for certificates.
    ListRequests,
    /// To wait for a certificate.
    WatchRequests,
    /// To be approved automatically as a new node.
    NewNode,
    /// To check whether a node of its name exists.
    GetNode,
    /// To read kubeadm-config.
    KubeadmConfig,
    /// To read kubelet-config.
    KubeletConfig,
    /// To read the ConfigMap kube-proxy.
    KubeProxyConfig,
    /// To read a secret.
    GetSecret,
    /// To list secrets.
    ListSecrets,
    /// To read the encrypted keys of all CAs.
    KubeadmCerts,
    /// To list ConfigMaps.
    ListConfigMaps,
    /// To run a pod.
    CreatePod,
    /// To change a node.
    PatchNode,
    /// To be approved automatically as a node that renews its certificate.
    RenewingNode,
    /// To approve requests for certificates.
    Approve,
}

impl BootstrapperAsks {
    /// Every question.
    pub(crate) const ALL: [Self; 17] = [
        Self::CreateRequest,
        Self::GetRequest,
        Self::ListRequests,
        Self::WatchRequests,
        Self::NewNode,
        Self::GetNode,
        Self::KubeadmConfig,
        Self::KubeletConfig,
        Self::KubeProxyConfig,
        Self::GetSecret,
        Self::ListSecrets,
        Self::KubeadmCerts,
        Self::ListConfigMaps,
        Self::CreatePod,
        Self::PatchNode,
        Self::RenewingNode,
        Self::Approve,
    ];

    /// The question.
    pub(crate) fn question(self) -> Question {
        let bearer = Who::user(
            "system:bootstrap:seaworthy0",
            &["system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token"],
        );
        let certificates = |verb, resource| bearer.may(verb, resource).of_group("certificates.k8s.io");
        let system = |verb, resource| bearer.may(verb, resource).in_namespace("kube-system");
        match self {
            Self::CreateRequest => certificates("create", "certificatesigningrequests"),
            Self::GetRequest => certificates("get", "certificatesigningrequests").named(NONE),
            Self::ListRequests => certificates("list", "certificatesigningrequests"),
            Self::WatchRequests => certificates("watch", "certificatesigningrequests"),
            Self::NewNode => certificates("create", "certificatesigningrequests/nodeclient"),
            Self::GetNode => bearer.may("get", "nodes").named(NONE),
            Self::KubeadmConfig => system("get", "configmaps").named("kubeadm-config"),
            Self::KubeletConfig => system("get", "configmaps").named("kubelet-config"),
            Self::KubeProxyConfig => system("get", "configmaps").named("kube-proxy"),
            Self::GetSecret => system("get", "secrets").named(NONE),
            Self::ListSecrets => bearer.may("list", "secrets"),
            Self::KubeadmCerts => system("get", "secrets").named("kubeadm-certs"),
            Self::ListConfigMaps => system("list", "configmaps"),
            Self::CreatePod => system("create", "pods"),
            Self::PatchNode => bearer.may("patch", "nodes").named(NONE),
            Self::RenewingNode => certificates("create", "certificatesigningrequests/selfnodeclient"),
            Self::Approve => certificates("update", "certificatesigningrequests/approval"),
        }
    }
}

impl Observe for BootstrapperReviews {
    // Other distributions have other groups, or none at all.
    type Needs<'a> = (&'a KubeadmConfig,);
    const NAME: &'static str = "bootstrapper-reviews";
    const ACCESS: Access = Access::Review;
    const RULES: &'static [Rule] = &[access_review::RULE];

    async fn observe(Live { cluster, .. }: &Live, _: Self::Needs<'_>) -> Seen<Self> {
        review_all(cluster, BootstrapperAsks::ALL.map(|ask| (ask, ask.question()))).await.map(Self)
    }
}

crate::observed!(BootstrapperReviews);
