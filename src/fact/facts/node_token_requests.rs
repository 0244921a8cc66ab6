//! The answers to a kubelet's requests for tokens, sent as the node.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::ServiceAccount;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::node_identity::NodeIdentity;
use super::node_under_test::{NONE, NodeUnderTest};
use super::pods::Pods;
use crate::cluster::Call;
use crate::fact::answered::Answered;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::object_ref::NamespacedName;
use crate::seen::{Access, Seen};

/// The lifetime of a token that should not have been issued: the shortest that a server accepts.
const SECONDS: u32 = 600;

/// The answers to requests for tokens as a node.
///
/// `dryRun` does not stop tokens from being issued. All are requested for an audience that no server has: an issued
/// token is useless, and the answer is dropped unread.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NodeTokenRequests {
    /// The node.
    pub node: String,
    /// The answers. That for a pod of another node is left out where no other node has a pod of that service account.
    pub answers: BTreeMap<TokenRequested, Seen<Answered>>,
}

/// A token that a kubelet may request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TokenRequested {
    /// Without a pod.
    Unbound,
    /// For a pod of another node.
    ForeignPod,
    /// For one of its pods, but for an audience that the pod does not ask for.
    UnusedAudience,
}

impl Observe for NodeTokenRequests {
    type Needs<'a> = (&'a NodeUnderTest, &'a NodeIdentity, &'a Pods);
    const NAME: &'static str = "node-token-requests";
    const ACCESS: Access = Access::Impersonate;
    const RULES: &'static [Rule] =
        &[Rule::as_node("", "serviceaccounts/token", &["impersonate-on:arbitrary-node:create"])];

    async fn observe(Live { cluster, .. }: &Live, (under_test, identity, pods): Self::Needs<'_>) -> Seen<Self> {
        let request = |bound: Value| {
            let account = &under_test.service_account;
            Call::create::<ServiceAccount>(json!({
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"audiences": [NONE], "expirationSeconds": SECONDS, "boundObjectRef": bound},
            }))
            .in_namespace(account.namespace.clone())
            .named(account.name.clone())
            .subresource("token")
        };
        let bound = |pod: &NamespacedName| {
            let uid = &pods.0.get(pod)?.uid;
            Some(request(json!({"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": uid})))
        };
        let requests = [
            (TokenRequested::Unbound, Some(request(Value::Null))),
            (TokenRequested::ForeignPod, under_test.foreign_sibling.as_ref().and_then(bound)),
            (TokenRequested::UnusedAudience, bound(&under_test.pod)),
        ];
        let answers = join_all(
            requests
                .into_iter()
                .filter_map(|(requested, call)| Some((requested, call?)))
                .map(async |(requested, call)| (requested, identity.send(cluster, call).await)),
        );
        Ok(Self { node: under_test.node.clone(), answers: answers.await.into_iter().collect() })
    }
}

crate::observed!(NodeTokenRequests);
