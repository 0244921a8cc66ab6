//! The issuer of service account tokens, as each API server instance describes it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use futures_util::future::{join, join_all};
use serde::{Deserialize, Serialize};

use super::api_server_instances::ApiServerInstances;
use crate::cluster::{Call, Reply};
use crate::fact::{Observe, Rule};
use crate::jwt::KeySet;
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

const CONFIGURATION: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/openid/v1/jwks";

/// The issuer of service account tokens, as each API server instance describes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct IssuerDiscovery(pub BTreeMap<SocketAddr, Issuer>);

/// The documents of an instance for the verification of tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Issuer {
    /// The configuration.
    pub configuration: Seen<Configuration>,
    /// Its keys.
    pub keys: Seen<KeySet>,
}

/// The configuration of an issuer, as far as checks use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Configuration {
    /// The issuer in tokens.
    pub issuer: String,
    /// The URL of its keys.
    pub jwks_uri: String,
}

impl Issuer {
    /// Whether no server answered.
    pub(crate) fn is_out_of_reach(&self) -> bool {
        let silent = Unobserved::is_out_of_reach;
        self.configuration.as_ref().is_err_and(silent) && self.keys.as_ref().is_err_and(silent)
    }
}

impl Observe for IssuerDiscovery {
    type Needs<'a> = (&'a ApiServerInstances,);
    const NAME: &'static str = "issuer-discovery";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::urls(&[CONFIGURATION, KEYS])];

    async fn observe(Live { cluster, .. }: &Live, (endpoints,): Self::Needs<'_>) -> Seen<Self> {
        let each = endpoints.0.iter().map(async |address| {
            let ask = async |path: &str| {
                let call = Call::url(path).at_instance(*address).if_served();
                let reply = cluster.send(&call).await?;
                reply.accepted(&call)?;
                Ok::<_, Unobserved>((call, reply))
            };
            let (configuration, keys) = join(ask(CONFIGURATION), ask(KEYS)).await;
            let issuer = Issuer {
                configuration: configuration.and_then(|(call, reply)| configuration_of(&call, &reply)),
                keys: keys.and_then(|(call, reply)| {
                    KeySet::read(&reply.body).map_err(|why| Unobserved::invalid(call.to_string(), why))
                }),
            };
            (*address, issuer)
        });
        Ok(Self(join_all(each).await.into_iter().collect()))
    }
}

crate::observed!(IssuerDiscovery);

fn configuration_of(call: &Call, reply: &Reply) -> Seen<Configuration> {
    const LARGEST: usize = 64 << 10;
    if reply.body.len() > LARGEST {
        return Err(Unobserved::invalid(call.to_string(), format!("the answer has {} bytes", reply.body.len())));
    }
    reply.decode(call)
}
