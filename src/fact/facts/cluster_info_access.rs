//! Requests without credentials for ConfigMaps of kube-public.

use futures_util::future::join3;
use k8s_openapi::api::core::v1::ConfigMap;
use serde::{Deserialize, Serialize};

use super::anonymous_surface::AnonymousAnswer;
use crate::cluster::{Call, Cluster, Identity};
use crate::fact::Observe;
use crate::live::Live;
use crate::seen::{Access, Seen};

/// The answers to requests without credentials for ConfigMaps of kube-public.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ClusterInfoAccess {
    /// GET of cluster-info.
    pub cluster_info: Seen<AnonymousAnswer>,
    /// LIST.
    pub list: Seen<AnonymousAnswer>,
    /// GET of kube-root-ca.crt.
    pub root_ca: Seen<AnonymousAnswer>,
}

impl Observe for ClusterInfoAccess {
    type Needs<'a> = ();
    const NAME: &'static str = "cluster-info-access";
    const ACCESS: Access = Access::Anonymous;

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let get = |name| Call::get_in::<ConfigMap>("kube-public", name);
        let list = Call::list::<ConfigMap>().in_namespace("kube-public").with("limit", "1");
        let (cluster_info, list, root_ca) = join3(
            answer(cluster, get("cluster-info")),
            answer(cluster, list),
            answer(cluster, get("kube-root-ca.crt")),
        )
        .await;
        Ok(Self { cluster_info, list, root_ca })
    }
}

async fn answer(cluster: &Cluster, call: Call) -> Seen<AnonymousAnswer> {
    let call = call.by(Identity::Anonymous);
    let reply = cluster.send(&call).await?;
    if (200..300).contains(&reply.status) {
        // The login page of a proxy is not an open API.
        reply.is_answer(&call)?;
    }
    Ok(AnonymousAnswer { status: reply.status, reason: reply.reason() })
}

crate::observed!(ClusterInfoAccess);
