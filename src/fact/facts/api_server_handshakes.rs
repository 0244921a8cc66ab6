//! The certificates that API servers present.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use futures_util::future::{join, join_all};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::api_server_instances::ApiServerInstances;
use super::kubeconfig_summary::KubeconfigSummary;
use crate::cluster::Cluster;
use crate::fact::Observe;
use crate::handshake::{Handshake, Target};
use crate::live::Live;
use crate::seen::{Access, Obstacle, Seen, Unobserved};

/// The server name that clients in the cluster use.
const IN_CLUSTER: &str = "kubernetes.default.svc";

/// The certificates that API servers present in a TLS handshake.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ApiServerHandshakes {
    /// Our own clock at that time: an API server with an expired certificate does not report the time.
    pub at: Timestamp,
    /// The handshake with the kubeconfig's server.
    pub endpoint: Seen<Handshake>,
    /// Why clients do not accept that server, if requests could not be sent to it for that reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// The handshake of a client in the cluster with each instance, published or not, or why the instances are not
    /// known.
    pub instances: Seen<BTreeMap<SocketAddr, Seen<Handshake>>>,
}

impl ApiServerHandshakes {
    /// Whether any instance was reached at its own address, so that a request to it that fails does not show that instances
    /// are out of reach.
    pub(crate) fn reached_an_instance(&self) -> bool {
        self.instances.as_ref().is_ok_and(|instances| instances.values().any(Result::is_ok))
    }
}

impl Observe for ApiServerHandshakes {
    type Needs<'a> = (&'a KubeconfigSummary, Result<&'a ApiServerInstances, &'a Unobserved>);
    const NAME: &'static str = "api-server-handshakes";
    const ACCESS: Access = Access::Handshake;

    async fn observe(Live { cluster, .. }: &Live, (kubeconfig, instances): Self::Needs<'_>) -> Seen<Self> {
        let at = Timestamp::now();
        let target = kubeconfig.target();
        let endpoint = cluster.handshake(&target, &kubeconfig.authorities);
        let instances = async {
            let ApiServerInstances(addresses) = instances.map_err(Clone::clone)?;
            Ok(join_all(addresses.iter().map(|&address| instance(cluster, address))).await.into_iter().collect())
        };
        let (endpoint, instances) = join(endpoint, instances).await;
        match cluster.barred() {
            Some(why @ Unobserved::Barred { obstacle: Obstacle::Certificate, cause }) => {
                let endpoint = endpoint.map_err(|_| why.clone());
                Ok(Self { at, endpoint, refusal: Some(cause.clone()), instances })
            }
            _ => Ok(Self { at, endpoint, refusal: None, instances }),
        }
    }
}

async fn instance(cluster: &Cluster, address: SocketAddr) -> (SocketAddr, Seen<Handshake>) {
    let target = Target { address: address.into(), server_name: Some(IN_CLUSTER.to_owned()) };
    (address, cluster.handshake(&target, cluster.authorities()).await)
}

crate::observed!(ApiServerHandshakes);
