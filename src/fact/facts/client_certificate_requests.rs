//! Which client certificates may be requested, tried without persisting anything.

use futures_util::future::try_join;
use serde::{Deserialize, Serialize};

use super::node_certificate_requests::request;
use crate::fact::answered::Answered;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen};

/// What requests for client certificates come to, sent with `dryRun=All` as ourselves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClientCertificateRequests {
    /// One for a member of `system:masters`, the group of which no right can be taken away.
    pub masters: Answered,
    /// One for a member of a group that has no rights.
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
            Ok(Answered::from(&reply))
        };
        let (masters, ordinary) = try_join(ask("system:masters"), ask("seaworthy")).await?;
        Ok(Self { masters, ordinary })
    }
}

crate::observed!(ClientCertificateRequests);
