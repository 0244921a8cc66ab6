//! The answers to a kubelet's requests for certificates, sent as the node with `dryRun=All`.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine};
use futures_util::future::join_all;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::node_identity::NodeIdentity;
use super::node_under_test::{NONE, NodeUnderTest};
use crate::cluster::Call;
use crate::fact::answered::Answered;
use crate::fact::{Observe, Rule};
use crate::join::applicant::Applicant;
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// The answers to requests for certificates as a node. All are sent with `dryRun=All`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NodeCertificateRequests {
    /// The node.
    pub node: String,
    /// The answers. In a cluster of one node, the other node is one that does not exist.
    pub answers: BTreeMap<CertificateRequested, Seen<Answered>>,
}

/// A certificate that a kubelet may request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CertificateRequested {
    /// Its own client certificate.
    OwnClient,
    /// The client certificate of another node.
    ForeignClient,
    /// The serving certificate of another node.
    ForeignServing,
}

impl Observe for NodeCertificateRequests {
    type Needs<'a> = (&'a NodeUnderTest, &'a NodeIdentity);
    const NAME: &'static str = "node-certificate-requests";
    const ACCESS: Access = Access::Impersonate;
    const RULES: &'static [Rule] = &[Rule::as_node(
        "certificates.k8s.io",
        "certificatesigningrequests",
        &["impersonate-on:arbitrary-node:create"],
    )];

    async fn observe(Live { cluster, .. }: &Live, (under_test, identity): Self::Needs<'_>) -> Seen<Self> {
        let other = under_test.other.as_deref().unwrap_or(NONE);
        let requests = [
            (CertificateRequested::OwnClient, under_test.node.as_str(), "kube-apiserver-client-kubelet", "client auth"),
            (CertificateRequested::ForeignClient, other, "kube-apiserver-client-kubelet", "client auth"),
            (CertificateRequested::ForeignServing, other, "kubelet-serving", "server auth"),
        ];
        let answers = join_all(requests.map(async |(requested, node, signer, usage)| {
            let call = request(&format!("system:node:{node}"), "system:nodes", signer, usage);
            let answer = match call {
                Ok(call) => identity.send(cluster, call).await,
                Err(why) => Err(why),
            };
            (requested, answer)
        }));
        Ok(Self { node: under_test.node.clone(), answers: answers.await.into_iter().collect() })
    }
}

/// A dry-run request for a certificate of one of Kubernetes' own signers.
pub(crate) fn request(common_name: &str, organization: &str, signer: &str, usage: &str) -> Seen<Call> {
    // The key is dropped: a certificate for it would be useless.
    let applicant = Applicant::new(common_name, Some(organization))
        .map_err(|e| Unobserved::invalid(format!("a request for {common_name}"), e))?;
    Ok(Call::create::<CertificateSigningRequest>(json!({
        "metadata": {"name": NONE},
        "spec": {
            "request": BASE64_STANDARD.encode(applicant.request()),
            "signerName": format!("kubernetes.io/{signer}"),
            "usages": ["digital signature", usage],
        },
    }))
    .dry_run())
}

crate::observed!(NodeCertificateRequests);
