//! Service account tokens from each API server instance, verified by all of them.

pub(crate) use crate::join::WhoAmI;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use futures_util::future::join_all;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::issuer_discovery::IssuerDiscovery;
use super::probe_reports::ProbeReports;
use crate::cluster::identity::Token;
use crate::cluster::{Call, Identity};
use crate::fact::{Observe, Rule};
use crate::join::whoami::who_am_i;
use crate::jwt::{Claims, Header, Parsed};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// A token of the probes' service account from each API server instance, and how the instances authenticate it. The
/// tokens themselves are not kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct InstanceTokens(pub BTreeMap<SocketAddr, Seen<InstanceToken>>);

/// A token without its signature.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct InstanceToken {
    /// The header.
    pub header: Header,
    /// The claims.
    pub claims: Claims,
    /// Whether each instance publishes the key of its signature, or why not; instances whose keys were not seen are
    /// left out.
    pub verified: BTreeMap<SocketAddr, Result<(), String>>,
    /// The user as whom each instance authenticates its bearer.
    pub accepted: BTreeMap<SocketAddr, Seen<WhoAmI>>,
}

impl Observe for InstanceTokens {
    // The probes' service account exists once they have reported.
    type Needs<'a> = (&'a IssuerDiscovery, &'a ProbeReports);
    const NAME: &'static str = "instance-tokens";
    const ACCESS: Access = Access::Create;
    const RULES: &'static [Rule] = &[Rule::probes("", "serviceaccounts/token", &["create"])];

    async fn observe(live: &Live, (discovery, _): Self::Needs<'_>) -> Seen<Self> {
        let instances: Vec<SocketAddr> =
            discovery.0.iter().filter(|(_, issuer)| !issuer.is_out_of_reach()).map(|(address, _)| *address).collect();
        if instances.is_empty() {
            let first = discovery.0.values().find_map(|issuer| issuer.keys.as_ref().err());
            let none = || Unobserved::absent("no API server publishes its address");
            return Err(first.cloned().unwrap_or_else(none));
        }
        let each = instances.iter().map(async |address| {
            let token = token(live, discovery, *address, &instances).await;
            (*address, token)
        });
        Ok(Self(join_all(each).await.into_iter().collect()))
    }
}

crate::observed!(InstanceTokens);

async fn token(
    Live { cluster, inputs, .. }: &Live,
    discovery: &IssuerDiscovery,
    address: SocketAddr,
    instances: &[SocketAddr],
) -> Seen<InstanceToken> {
    let call = Call::create::<ServiceAccount>(json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": { "expirationSeconds": 600 },
    }))
    .in_namespace(inputs.place())
    .named(inputs.run.name())
    .subresource("token")
    .answered_by::<TokenRequest>()
    .at_instance(address);
    let request: TokenRequest = cluster.fetch(&call).await?;
    let token = request.status.and_then(|status| status.token);
    let token = token.ok_or_else(|| Unobserved::invalid(call.to_string(), "no token"))?;
    let parsed = Parsed::read(&token).map_err(|why| Unobserved::invalid(call.to_string(), why))?;
    let keys = |instance| discovery.0.get(instance).and_then(|issuer| issuer.keys.as_ref().ok());
    let verified = instances.iter().filter_map(|instance| Some((*instance, parsed.verify(keys(instance)?)))).collect();
    let accepted = join_all(instances.iter().map(async |instance| {
        let bearer = Identity::Bearer(Token::new(token.clone()));
        (*instance, who_am_i(cluster, bearer, Some(*instance)).await)
    }))
    .await;
    Ok(InstanceToken {
        header: parsed.header,
        claims: parsed.claims,
        verified,
        accepted: accepted.into_iter().collect(),
    })
}
