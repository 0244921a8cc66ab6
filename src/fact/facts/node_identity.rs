//! How requests are sent as a node.

use k8s_openapi::api::core::v1::Node;
use serde::{Deserialize, Serialize};

use super::node_under_test::NodeUnderTest;
use super::server_version::ServerVersion;
use crate::cluster::{Call, Cluster, Identity, Reply};
use crate::fact::answered::Answered;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::rule::Impersonation;
use crate::seen::{Access, Seen, Unobserved};
use crate::version::Version;

/// How requests are sent as the node under test: the kind of impersonation that the server and our own rights allow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NodeIdentity {
    /// The node.
    pub node: String,
    /// The uid of its Node.
    pub uid: String,
    /// The kind of impersonation.
    pub way: Impersonation,
}

impl Impersonation {
    /// The kinds that a server of this version may support.
    ///
    /// The legacy one first: where both are allowed, a server uses the kind that last succeeded, and a node's name
    /// without its groups would then not be a node.
    fn known_to(version: Version) -> &'static [Self] {
        if version >= Version::minor(36) { &[Self::Legacy, Self::Constrained] } else { &[Self::Legacy] }
    }

    fn identity(self, node: &str) -> Identity {
        match self {
            Self::Constrained => Identity::constrained_kubelet(node),
            Self::Legacy => Identity::kubelet(node),
        }
    }

    fn permission(self, node: &str) -> String {
        match self {
            Self::Constrained => format!(
                "impersonate:arbitrary-node nodes.authentication.k8s.io named {node}, with \
                 impersonate-on:arbitrary-node:VERB on what is tried"
            ),
            Self::Legacy => format!("impersonate users named system:node:{node} and groups named system:nodes"),
        }
    }
}

impl NodeIdentity {
    /// Sends a request as the node. A refused impersonation is an error, not an answer about the node.
    pub(crate) async fn send(&self, cluster: &Cluster, call: Call) -> Seen<Answered> {
        let call = call.by(self.way.identity(&self.node));
        let reply = cluster.send(&call).await?;
        if is_impersonation_refused(&reply) {
            let missing = match self.way {
                Impersonation::Constrained => format!("impersonate-on:arbitrary-node:{}", call.permission()),
                Impersonation::Legacy => self.way.permission(&self.node),
            };
            return Err(Unobserved::Refused { missing, message: reply.message() });
        }
        Answered::of(&call, &reply)
    }
}

impl Observe for NodeIdentity {
    type Needs<'a> = (&'a NodeUnderTest, &'a ServerVersion);
    const NAME: &'static str = "node-identity";
    const ACCESS: Access = Access::Impersonate;
    // Only impersonation: the request itself is authorized as the node.
    const RULES: &'static [Rule] = &[
        Rule::impersonation(Impersonation::Legacy, "", "users", &["impersonate"]),
        Rule::impersonation(Impersonation::Legacy, "", "groups", &["impersonate"]).named(&["system:nodes"]),
        Rule::impersonation(
            Impersonation::Constrained,
            "authentication.k8s.io",
            "nodes",
            &["impersonate:arbitrary-node"],
        ),
        Rule::as_node("", "nodes", &["impersonate-on:arbitrary-node:get"]),
    ];

    async fn observe(Live { cluster, .. }: &Live, (under_test, server): Self::Needs<'_>) -> Seen<Self> {
        let node = under_test.node.as_str();
        let ways = Impersonation::known_to(server.version);
        let mut refusal = String::new();
        for way in ways {
            let call = Call::get::<Node>(node).by(way.identity(node));
            let reply = cluster.send(&call).await?;
            // With the right to impersonate only the user, this succeeds without the groups, and not as a node.
            let no_node = *way == Impersonation::Constrained && reply.status == 403;
            if is_impersonation_refused(&reply) || no_node {
                refusal = reply.message();
                continue;
            }
            let own: Node = reply.decode(&call)?;
            let uid = own.metadata.uid.ok_or_else(|| Unobserved::invalid(call.to_string(), "the Node has no uid"))?;
            return Ok(Self { node: node.into(), uid, way: *way });
        }
        let permissions: Vec<_> = ways.iter().map(|way| way.permission(node)).collect();
        Err(Unobserved::NotGranted { missing: permissions.join("; or "), message: refusal })
    }
}

/// Whether the impersonation was refused, which needs a right of our own credential.
fn is_impersonation_refused(reply: &Reply) -> bool {
    reply.status == 403 && reply.message().contains("cannot impersonate")
}

crate::observed!(NodeIdentity);

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn reply(status: u16, message: &str) -> Reply {
        let body = serde_json::json!({"kind": "Status", "message": message}).to_string();
        Reply { status, body: Bytes::from(body), ..Reply::default() }
    }

    #[test]
    fn a_refused_impersonation_is_distinguished_from_a_refused_node() {
        for message in [
            "users \"system:node:n2\" is forbidden: User \"auditor\" cannot impersonate resource \"users\"",
            "nodes \"n2\" is forbidden: User \"auditor\" cannot impersonate-on:arbitrary-node:get resource \"nodes\"",
        ] {
            assert!(is_impersonation_refused(&reply(403, message)), "{message}");
        }
        let node = "nodes \"n1\" is forbidden: User \"system:node:n2\" cannot get resource \"nodes\"";
        assert!(!is_impersonation_refused(&reply(403, node)));
        assert!(!is_impersonation_refused(&reply(200, "")));
    }

    #[test]
    fn constrained_impersonation_is_tried_where_it_may_exist() {
        assert_eq!(Impersonation::known_to(Version::minor(35)), [Impersonation::Legacy]);
        assert_eq!(Impersonation::known_to(Version::minor(36)), [Impersonation::Legacy, Impersonation::Constrained]);
        assert_eq!(
            Impersonation::Constrained.identity("n2"),
            Identity::Impersonated { user: "system:node:n2".into(), groups: Vec::new() }
        );
    }
}
