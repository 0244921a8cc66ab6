//! The rights of the API server's own user at kubelets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::kubeadm_config::KubeadmConfig;
use super::server_version::ServerVersion;
use crate::fact::access_review::{self, Question, Review, Who, review_all};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen};
use crate::version::Version;

/// The user of kubeadm's apiserver-kubelet-client.crt.
const USER: &str = "kube-apiserver-kubelet-client";

/// The first versions in which kubeadm grants that user its rights by a binding instead of by a group in the
/// certificate, by minor. All later minors do.
const BOUND_SINCE: [Version; 2] =
    [Version { major: 1, minor: 35, patch: 5 }, Version { major: 1, minor: 36, patch: 1 }];

/// Whether kubeadm of this version grants the user its rights by a binding.
pub(crate) fn is_bound_in(version: Version) -> bool {
    let since = BOUND_SINCE.iter().find(|since| since.minor == version.minor);
    since.map_or(version >= Version::minor(37), |since| version >= *since)
}

/// The rights of the user as whom the API server of a kubeadm cluster calls kubelets, as far as its version needs them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KubeletClientReviews(pub BTreeMap<KubeletClientAsks, Review>);

/// A right of the user as whom the API server calls kubelets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KubeletClientAsks {
    /// To read logs.
    ReadLogs,
    /// To read the other endpoints of kubelets.
    GetProxy,
    /// To run commands in pods.
    CreateProxy,
    /// To run commands in pods, as a member of the group in kubeadm's earlier certificates.
    CreateProxyInGroup,
}

impl KubeletClientAsks {
    /// The rights of a user that has them by a binding.
    pub(crate) const BY_BINDING: [Self; 3] = [Self::ReadLogs, Self::GetProxy, Self::CreateProxy];
    /// The rights of a user that has them by a group.
    pub(crate) const BY_GROUP: [Self; 1] = [Self::CreateProxyInGroup];

    /// The question.
    pub(crate) fn question(self) -> Question {
        let user = Who::user(USER, &[]);
        match self {
            Self::ReadLogs => user.may("get", "nodes/log"),
            Self::GetProxy => user.may("get", "nodes/proxy"),
            Self::CreateProxy => user.may("create", "nodes/proxy"),
            Self::CreateProxyInGroup => Who::user(USER, &["kubeadm:cluster-admins"]).may("create", "nodes/proxy"),
        }
    }
}

impl Observe for KubeletClientReviews {
    type Needs<'a> = (&'a KubeadmConfig, &'a ServerVersion);
    const NAME: &'static str = "kubelet-client-reviews";
    const ACCESS: Access = Access::Review;
    const RULES: &'static [Rule] = &[access_review::RULE];

    async fn observe(Live { cluster, .. }: &Live, (_, server): Self::Needs<'_>) -> Seen<Self> {
        let asks: &[KubeletClientAsks] =
            if is_bound_in(server.version) { &KubeletClientAsks::BY_BINDING } else { &KubeletClientAsks::BY_GROUP };
        review_all(cluster, asks.iter().map(|ask| (*ask, ask.question()))).await.map(Self)
    }
}

crate::observed!(KubeletClientReviews);
