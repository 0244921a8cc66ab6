//! The settings of each API server, as it reports them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::api_server_instances::ApiServerInstances;
use crate::cluster::{Call, Cluster};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// The media types of `/flagz` for programs: of 1.37 and of older versions. The text form uses other separators after
/// each start.
const FORMS: &str =
    "application/json;v=v1beta1;g=config.k8s.io;as=Flagz, application/json;v=v1alpha1;g=config.k8s.io;as=Flagz";

/// The flags that are kept; some others contain files and addresses, which a recording need not contain.
pub(crate) const KEPT: [&str; 8] = [
    "authorization-mode",
    "authorization-config",
    "enable-admission-plugins",
    "disable-admission-plugins",
    "token-auth-file",
    "anonymous-auth",
    "profiling",
    "authentication-config",
];

/// The flags of each API server from `/flagz`, which is on by default since 1.36.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ApiServerFlags(pub BTreeMap<SocketAddr, Seen<BTreeMap<String, String>>>);

#[derive(Deserialize)]
struct Flagz {
    flags: BTreeMap<String, String>,
}

impl Observe for ApiServerFlags {
    type Needs<'a> = (&'a ApiServerInstances,);
    const NAME: &'static str = "api-server-flags";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::urls(&["/flagz"])];

    async fn observe(Live { cluster, .. }: &Live, (instances,): Self::Needs<'_>) -> Seen<Self> {
        let each = instances.0.iter().map(async |address| (*address, flags(cluster, *address).await));
        Ok(Self(join_all(each).await.into_iter().collect()))
    }
}

async fn flags(cluster: &Cluster, address: SocketAddr) -> Seen<BTreeMap<String, String>> {
    let call = Call::url("/flagz").at_instance(address).if_served().accepting(FORMS);
    let reply = cluster.send(&call).await?;
    if reply.status == 406 {
        return Err(Unobserved::absent(format!("{call} has no machine-readable form")));
    }
    let Flagz { mut flags } = reply.decode(&call)?;
    flags.retain(|name, _| KEPT.contains(&name.as_str()));
    Ok(flags)
}

crate::observed!(ApiServerFlags);
