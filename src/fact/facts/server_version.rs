//! The version of the API server.

use k8s_openapi::apimachinery::pkg::version::Info;
use serde::{Deserialize, Serialize};

use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};
use crate::version::Version;

/// The version of the API server at the configured endpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ServerVersion {
    /// The version with the distribution's suffix, as `v1.30.4-eks-a18cd3a`.
    pub git: String,
    /// Major and minor.
    pub version: Version,
}

impl Observe for ServerVersion {
    type Needs<'a> = ();
    const NAME: &'static str = "server-version";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::urls(&["/version"])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let call = Call::url("/version");
        let info: Info = cluster.fetch(&call).await?;
        let version = info.git_version.parse().map_err(|e| Unobserved::invalid(call.to_string(), e))?;
        Ok(Self { git: info.git_version, version })
    }
}

crate::observed!(ServerVersion);
