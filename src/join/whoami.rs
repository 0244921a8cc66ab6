//! As which user the API server authenticates a client.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{PAUSE, TIME_TO_FORGET, TIME_TO_LEARN};
use crate::cluster::{Answered, Call, Cluster, Identity, until};
use crate::seen::Seen;

/// The answer to a SelfSubjectReview, which every authenticated user may ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WhoAmI {
    /// The HTTP status code: 401 for a credential that is not accepted, 403 for one that is taken for none.
    pub status: u16,
    /// Why it was refused, in the server's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The user's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The user's groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// What else the authenticator reports, as the certificate's fingerprint.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

impl WhoAmI {
    /// The answer in a few words.
    pub(crate) fn words(&self) -> String {
        match &self.user {
            Some(user) => format!("{user}, in the groups {}", self.groups.join(", ")),
            None => format!("HTTP {}: {}", self.status, self.message),
        }
    }
}

/// Asks the configured endpoint, or one instance, as which user it authenticates a client.
pub(crate) async fn who_am_i(cluster: &Cluster, identity: Identity, instance: Option<SocketAddr>) -> Seen<WhoAmI> {
    let mut call = Call::create::<SelfSubjectReview>(json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "SelfSubjectReview",
    }))
    .by(identity);
    if let Some(instance) = instance {
        call = call.at_instance(instance);
    }
    let reply = cluster.send(&call).await?;
    if reply.status >= 300 {
        let Answered { status, message } = Answered::of(&call, &reply)?;
        return Ok(WhoAmI { status, message, ..WhoAmI::default() });
    }
    let review: SelfSubjectReview = reply.decode(&call)?;
    let user = review.status.and_then(|status| status.user_info).unwrap_or_default();
    Ok(WhoAmI {
        status: reply.status,
        message: String::new(),
        user: user.username,
        groups: user.groups.unwrap_or_default(),
        extra: user.extra.unwrap_or_default(),
    })
}

/// The same about a client whose credential the API server may not know yet.
pub(crate) async fn who_is_new(cluster: &Cluster, identity: &Identity) -> Seen<WhoAmI> {
    let is_known = |seen: &Seen<WhoAmI>| seen.as_ref().map_or(true, |seen| seen.status != 401);
    until(TIME_TO_LEARN, PAUSE, || who_am_i(cluster, identity.clone(), None), is_known).await
}

/// The same about a client whose credential the API server may still accept.
pub(crate) async fn who_was_withdrawn(cluster: &Cluster, identity: &Identity) -> Seen<WhoAmI> {
    let is_unknown = |seen: &Seen<WhoAmI>| seen.as_ref().map_or(true, |seen| seen.user.is_none());
    until(TIME_TO_FORGET, PAUSE, || who_am_i(cluster, identity.clone(), None), is_unknown).await
}
