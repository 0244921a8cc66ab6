//! The CAs with which API servers verify their clients.

use k8s_openapi::api::core::v1::ConfigMap;
use serde::{Deserialize, Serialize};

use crate::certificate::Certificate;
use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen};

/// The name of the ConfigMap, and of the Role by which authenticators read it.
const NAME: &str = "extension-apiserver-authentication";

/// The CAs with which API servers, also aggregated ones, verify their clients: ConfigMap
/// kube-system/extension-apiserver-authentication. A missing key is none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct AuthenticationAuthorities {
    /// The CAs of client certificates, or why they cannot be read.
    pub client: Option<Result<Vec<Certificate>, String>>,
    /// The CAs of proxies, or why they cannot be read.
    pub request_header: Option<Result<Vec<Certificate>, String>>,
    /// How proxies name the users that they act for.
    pub proxies: Proxies,
}

/// How proxies name the users that they act for. A missing key is none; a value that is not a list of texts is an
/// error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proxies {
    /// The common names that a proxy's certificate may have; empty for any.
    pub allowed_names: Option<Result<Vec<String>, String>>,
    /// The headers that name the user.
    pub username_headers: Option<Result<Vec<String>, String>>,
    /// The headers that name the groups.
    pub group_headers: Option<Result<Vec<String>, String>>,
}

impl Observe for AuthenticationAuthorities {
    type Needs<'a> = ();
    const NAME: &'static str = "authentication-authorities";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::namespaced("kube-system", "", "configmaps", &["get"]).named(&[NAME])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let map: ConfigMap = cluster.fetch(&Call::get_in::<ConfigMap>("kube-system", NAME)).await?;
        let data = map.data.unwrap_or_default();
        let bundle =
            |key: &str| data.get(key).map(|text| Certificate::from_pem_bundle(text).map_err(|error| error.to_string()));
        let list = |key: &str| {
            data.get(key).map(|text| serde_json::from_str::<Vec<String>>(text).map_err(|error| error.to_string()))
        };
        let proxies = Proxies {
            allowed_names: list("requestheader-allowed-names"),
            username_headers: list("requestheader-username-headers"),
            group_headers: list("requestheader-group-headers"),
        };
        Ok(Self { client: bundle("client-ca-file"), request_header: bundle("requestheader-client-ca-file"), proxies })
    }
}

crate::observed!(AuthenticationAuthorities);
