//! The rights of a node's certificate.

pub(crate) use crate::join::WhoAmI;
use std::collections::BTreeMap;

use futures_util::future::join_all;
use k8s_openapi::api::authentication::v1::TokenReview;
use k8s_openapi::api::core::v1::{Node, Pod, Secret, Service};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::join_rehearsal::RehearsedJoin;
use super::node_under_test::NONE;
use super::nodes::Nodes;
use crate::cluster::Call;
use crate::fact::Observe;
use crate::fact::answered::Answered;
use crate::join::Applicant;
use crate::join::request::{KUBELET_CLIENT, submission};
use crate::join::whoami::who_am_i;
use crate::live::Live;
use crate::live::RunId;
use crate::seen::{Access, Seen, Unobserved};

/// The rights of the certificate from the join rehearsal: real requests, without impersonation. They ask only for the
/// metadata of existing objects, and writes are sent with `dryRun=All`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NodeCredential {
    /// Its node.
    pub node: String,
    /// The user as whom the API server authenticates its holder.
    pub identity: Seen<WhoAmI>,
    /// The answers.
    pub answers: BTreeMap<NodeDeed, Seen<Answered>>,
}

/// A request with a node's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NodeDeed {
    /// To list Services, as every kubelet does.
    ListServices,
    /// To have a token reviewed, as every kubelet does.
    ReviewToken,
    /// To register itself.
    RegisterItself,
    /// To request a certificate of its own name.
    RequestOwnCertificate,
    /// To read a Secret that none of its pods refers to.
    GetSecret,
    /// To list Secrets.
    ListSecrets,
    /// To list the pods of all nodes.
    ListPods,
    /// To list all nodes.
    ListNodes,
    /// To change a real node.
    PatchNode,
    /// To register another node.
    RegisterAnother,
    /// To register itself as a control-plane node.
    RegisterAsControlPlane,
    /// To request the certificate of another node.
    RequestOtherCertificate,
}

impl Observe for NodeCredential {
    type Needs<'a> = (&'a RehearsedJoin, &'a Nodes);
    const NAME: &'static str = "node-credential";
    const ACCESS: Access = Access::Join;

    async fn observe(
        Live { cluster, inputs, .. }: &Live,
        (RehearsedJoin { rehearsal, credential }, nodes): Self::Needs<'_>,
    ) -> Seen<Self> {
        let Some(credential) = credential else {
            return Err(Unobserved::invalid("the join rehearsal", "it got no certificate (see DI-10)"));
        };
        let identity = who_am_i(cluster, credential.clone(), None).await;
        let other = nodes.0.keys().next().map(String::as_str);
        let deeds =
            deeds(&inputs.run, &rehearsal.node, other).map_err(|error| Unobserved::invalid("a new key", error))?;
        let answers = join_all(deeds.into_iter().map(async |(deed, call)| {
            let call = call.by(credential.clone());
            (deed, cluster.send(&call).await.and_then(|reply| Answered::of(&call, &reply)))
        }))
        .await;
        Ok(Self { node: rehearsal.node.clone(), identity, answers: answers.into_iter().collect() })
    }
}

crate::observed!(NodeCredential);

fn deeds(run: &RunId, node: &str, other: Option<&str>) -> Result<Vec<(NodeDeed, Call)>, rcgen::Error> {
    let register = |name: &str, labels| {
        Call::create::<Node>(json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": name, "labels": labels },
        }))
        .dry_run()
    };
    let request = |of: &str| -> Result<Call, rcgen::Error> {
        let applicant = Applicant::kubelet(of)?;
        // A dry run: the name is never taken.
        Ok(submission(run, NONE, KUBELET_CLIENT, &applicant, crate::cluster::Identity::Own).dry_run())
    };
    let mut deeds = vec![
        (NodeDeed::ListServices, Call::list::<Service>().with("limit", "1").metadata_only()),
        (
            NodeDeed::ReviewToken,
            Call::create::<TokenReview>(json!({
                "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": { "token": NONE },
            })),
        ),
        (NodeDeed::RegisterItself, register(node, json!({}))),
        (NodeDeed::RequestOwnCertificate, request(node)?),
        (NodeDeed::GetSecret, Call::get_in::<Secret>("kube-system", NONE).metadata_only()),
        (NodeDeed::ListSecrets, Call::list::<Secret>().with("limit", "1").metadata_only()),
        (NodeDeed::ListPods, Call::list::<Pod>().with("limit", "1").metadata_only()),
        (NodeDeed::ListNodes, Call::list::<Node>().with("limit", "1").metadata_only()),
        (NodeDeed::RegisterAnother, register(NONE, json!({}))),
        (NodeDeed::RegisterAsControlPlane, register(node, json!({ "node-role.kubernetes.io/control-plane": "" }))),
        (NodeDeed::RequestOtherCertificate, request(NONE)?),
    ];
    deeds.extend(other.map(|other| {
        let annotation = json!({ "metadata": { "annotations": { "seaworthy.dev/probe": "seaworthy" } } });
        (NodeDeed::PatchNode, Call::patch::<Node>(other, annotation).dry_run())
    }));
    Ok(deeds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_tried_is_persisted_and_no_content_is_asked_for() {
        let run: RunId = "x7f4k".parse().unwrap();
        for (deed, call) in deeds(&run, "seaworthy-x7f4k", Some("n1")).unwrap() {
            let text = call.to_string();
            let is_write = text.starts_with("POST") || text.starts_with("PATCH");
            let is_review = deed == NodeDeed::ReviewToken;
            assert!(!is_write || is_review || text.contains("dryRun=All"), "{text}");
        }
    }
}
