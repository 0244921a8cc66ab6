//! The CAs that a server without a trusted certificate offers to those who join.

use serde::{Deserialize, Serialize};

use super::api_server_handshakes::ApiServerHandshakes;
use crate::certificate::{Certificate, Distrust};
use crate::cluster::{Call, Identity, Trust};
use crate::fact::Observe;
use crate::join::cluster_info;
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// The CAs in ConfigMap kube-public/cluster-info of a server whose certificate a CA issued that the kubeconfig does not
/// have: read without credentials, as a node does that joins. They prove nothing, and show which side is the odd one out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OfferedAuthorities(pub Vec<Certificate>);

impl Observe for OfferedAuthorities {
    type Needs<'a> = (&'a ApiServerHandshakes,);
    const NAME: &'static str = "offered-authorities";
    const ACCESS: Access = Access::Anonymous;

    async fn observe(Live { cluster, .. }: &Live, (handshakes,): Self::Needs<'_>) -> Seen<Self> {
        let verdict = handshakes.endpoint.as_ref().map_err(Clone::clone)?.verdict.as_ref();
        if !matches!(verdict, Err(Distrust::UnknownIssuer { .. } | Distrust::BadSignature)) {
            return Err(Unobserved::absent("the kubeconfig has the CA that issued the server's certificate"));
        }
        let call: Call = cluster_info::request().by(Identity::Anonymous).trusting(Trust::Anyone);
        let info = cluster_info::Parts::of(cluster.fetch(&call).await?).kubeconfig;
        let authorities = info.and_then(|info| match info.clusters.into_iter().next() {
            Some(cluster) => cluster.authorities,
            None => Err("its kubeconfig has no cluster".into()),
        });
        authorities.map(Self).map_err(|why| Unobserved::invalid(call.to_string(), why))
    }
}

crate::observed!(OfferedAuthorities);
