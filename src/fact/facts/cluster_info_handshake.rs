//! The certificate of the server in cluster-info.

use serde::{Deserialize, Serialize};

use super::cluster_info::ClusterInfo;
use crate::fact::Observe;
use crate::handshake::{Handshake, Target};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// The TLS handshake with the server in kube-public/cluster-info, verified with the CAs from there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ClusterInfoHandshake(pub Seen<Handshake>);

impl Observe for ClusterInfoHandshake {
    type Needs<'a> = (&'a ClusterInfo,);
    const NAME: &'static str = "cluster-info-handshake";
    const ACCESS: Access = Access::Handshake;

    async fn observe(Live { cluster, .. }: &Live, (info,): Self::Needs<'_>) -> Seen<Self> {
        let Some(Ok(server)) = info.cluster().map(|cluster| &cluster.server) else {
            return Err(Unobserved::invalid("ConfigMap kube-public/cluster-info", "it has no server"));
        };
        let target = Target::of(server.clone());
        Ok(Self(cluster.handshake(&target, info.authorities()?).await))
    }
}

crate::observed!(ClusterInfoHandshake);
