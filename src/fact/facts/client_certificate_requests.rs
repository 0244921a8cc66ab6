//! Requests for client certificates, tried with `dryRun=All`.

use futures_util::future::try_join;
use serde::{Deserialize, Serialize};

use super::node_certificate_requests::request;
use crate::fact::answered::Answered;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen};

/// The answers to requests for client certificates, sent with `dryRun=All` and our own credential.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ClientCertificateRequests {
    /// For a member of `system:masters`, whose rights cannot be revoked.
    pub masters: Answered,
    /// For a member of a group without rights.
    pub ordinary: Answered,
}

impl Observe for ClientCertificateRequests {
    type Needs<'a> = ();
    const NAME: &'static str = "client-certificate-requests";
    const ACCESS: Access = Access::DryRun;
    const RULES: &'static [Rule] = &[Rule::cluster("certificates.k8s.io", "certificatesigningrequests", &["create"])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let ask = async |organization: &str| {
            let call = request("seaworthy", organization, "kube-apiserver-client", "client auth")?;
            let reply = cluster.send(&call).await?;
            reply.permitted(&call)?;
            Answered::of(&call, &reply)
        };
        let (masters, ordinary) = try_join(ask("system:masters"), ask("seaworthy")).await?;
        Ok(Self { masters, ordinary })
    }
}

crate::observed!(ClientCertificateRequests);
