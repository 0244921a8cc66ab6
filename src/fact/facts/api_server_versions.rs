//! The version of each API server instance.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use futures_util::future::join_all;
use k8s_openapi::apimachinery::pkg::version::Info;
use serde::{Deserialize, Serialize};

use super::api_server_instances::ApiServerInstances;
use super::server_version::ServerVersion;
use crate::cluster::{Call, Cluster};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// The version that each API server instance reports.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ApiServerVersions(pub BTreeMap<SocketAddr, Seen<ServerVersion>>);

impl Observe for ApiServerVersions {
    type Needs<'a> = (&'a ApiServerInstances,);
    const NAME: &'static str = "api-server-versions";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::urls(&["/version"])];

    async fn observe(Live { cluster, .. }: &Live, (instances,): Self::Needs<'_>) -> Seen<Self> {
        let each = instances.0.iter().map(async |address| (*address, version(cluster, *address).await));
        Ok(Self(join_all(each).await.into_iter().collect()))
    }
}

async fn version(cluster: &Cluster, address: SocketAddr) -> Seen<ServerVersion> {
    let call = Call::url("/version").at_instance(address);
    let info: Info = cluster.fetch(&call).await?;
    let version = info.git_version.parse().map_err(|e| Unobserved::invalid(call.to_string(), e))?;
    Ok(ServerVersion { git: info.git_version, version })
}

crate::observed!(ApiServerVersions);
