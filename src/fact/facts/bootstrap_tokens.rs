//! The bootstrap tokens, without their secrets.

pub(crate) use crate::join::cluster_info::Signature;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde::{Deserialize, Serialize};

use super::cluster_info::SignedClusterInfo;
use crate::bootstrap_token::{SECRET_NAME, is_id};
use crate::cluster::{Call, until};
use crate::fact::{Observe, Rule};
use crate::join::cluster_info::Signed;
use crate::live::Live;
use crate::seen::{Access, Seen};

/// A token that is younger may not be signed yet.
const YOUNG: SignedDuration = SignedDuration::from_mins(1);
/// How long to wait for the bootstrap signer, which needs less.
const TIME_TO_SIGN: Duration = Duration::from_secs(2);
/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(200);

/// The bootstrap tokens of kube-system, by the name of their Secret. The secret half only verifies the token's
/// signature and is not kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct BootstrapTokens(pub BTreeMap<String, BootstrapToken>);

/// A bootstrap token without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BootstrapToken {
    /// The id; none where the Secret has no valid one.
    pub id: Option<String>,
    /// When the Secret was created.
    pub created: Option<Timestamp>,
    /// When it expires.
    pub expiration: Expiration,
    /// Its usages: `signing` and `authentication`.
    pub usages: BTreeSet<String>,
    /// The groups of its bearer in addition to `system:bootstrappers`.
    pub groups: Vec<String>,
    /// Its signature in cluster-info.
    pub signature: Signature,
}

/// When a token expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Expiration {
    /// Never.
    Never,
    /// At this time.
    At(Timestamp),
    /// The Secret has no valid time, which counts as expired.
    Unreadable,
}

impl BootstrapToken {
    /// Whether it is valid at that time.
    pub(crate) fn is_live(&self, at: Timestamp) -> bool {
        match self.expiration {
            Expiration::Never => true,
            Expiration::At(end) => at < end,
            Expiration::Unreadable => false,
        }
    }

    /// Whether the bootstrap signer uses it at that time.
    pub(crate) fn is_for_signing(&self, at: Timestamp) -> bool {
        self.usages.contains("signing") && self.is_live(at)
    }

    /// Whether the Secret has the name by which the controllers and the API server find it.
    pub(crate) fn is_found_as(&self, secret: &str) -> bool {
        self.id.is_some() && secret.strip_prefix(SECRET_NAME) == self.id.as_deref()
    }
}

impl Observe for BootstrapTokens {
    type Needs<'a> = (&'a SignedClusterInfo,);
    const NAME: &'static str = "bootstrap-tokens";
    const ACCESS: Access = Access::Read;
    // RBAC cannot distinguish the types of Secrets. Without this right only the checks that need it are skipped.
    const RULES: &'static [Rule] = &[Rule::namespaced("kube-system", "", "secrets", &["list"])];

    async fn observe(live: &Live, (info,): Self::Needs<'_>) -> Seen<Self> {
        let call = Call::list::<Secret>()
            .in_namespace("kube-system")
            .with("fieldSelector", "type=bootstrap.kubernetes.io/token");
        let look = async |info: &SignedClusterInfo| -> Seen<Self> {
            let tokens = live.cluster.list(call.clone(), |secret| trim(secret, &info.signed)).await?;
            Ok(Self(tokens.into_iter().collect()))
        };
        let tokens = look(info).await?;
        if !tokens.may_be_signed_soon(Timestamp::now()) {
            return Ok(tokens);
        }
        let look_again = async || look(&SignedClusterInfo::observe(live, ()).await?).await;
        let signed = |seen: &Seen<Self>| seen.as_ref().map_or(true, |seen| !seen.may_be_signed_soon(Timestamp::now()));
        until(TIME_TO_SIGN, PAUSE, look_again, signed).await
    }
}

impl BootstrapTokens {
    /// Whether a token is so young that the signer may not have used it yet.
    fn may_be_signed_soon(&self, now: Timestamp) -> bool {
        self.0.iter().any(|(name, token)| {
            let is_young = token.created.is_some_and(|created| now.duration_since(created) < YOUNG);
            is_young && token.signature == Signature::Missing && token.is_for_signing(now) && token.is_found_as(name)
        })
    }
}

fn trim(secret: Secret, signed: &Signed) -> (String, BootstrapToken) {
    let data = secret.data.unwrap_or_default();
    let text = |key: &str| data.get(key).and_then(|ByteString(value)| std::str::from_utf8(value).ok());
    // Another value may be a whole token, which must not be kept.
    let id = text("token-id").filter(|id| is_id(id));
    let secret_half = data.get("token-secret").map(|ByteString(secret)| secret.as_slice());
    let token = BootstrapToken {
        created: secret.metadata.creation_timestamp.map(|at| at.0),
        expiration: match data.get("expiration") {
            None => Expiration::Never,
            Some(_) => text("expiration").and_then(rfc3339).map_or(Expiration::Unreadable, Expiration::At),
        },
        usages: ["signing", "authentication"]
            .into_iter()
            .filter(|usage| text(&format!("usage-bootstrap-{usage}")) == Some("true"))
            .map(str::to_owned)
            .collect(),
        groups: text("auth-extra-groups")
            .into_iter()
            .flat_map(|groups| groups.split(','))
            .filter(|group| !group.is_empty())
            .map(str::to_owned)
            .collect(),
        signature: id.map_or(Signature::Missing, |id| signed.signature(id, secret_half)),
        id: id.map(str::to_owned),
    };
    (secret.metadata.name.unwrap_or_default(), token)
}

/// A time as RFC 3339 and Go write it; the parser alone accepts more.
fn rfc3339(text: &str) -> Option<Timestamp> {
    let is_strict = text.as_bytes().get(10) == Some(&b'T') && !text.contains('[');
    text.parse().ok().filter(|_| is_strict)
}

crate::observed!(BootstrapTokens);

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A token as `kubeadm token create` makes it, signed and good until that time.
    pub(crate) fn token(id: &str, until: Timestamp) -> (String, BootstrapToken) {
        let token = BootstrapToken {
            id: Some(id.to_owned()),
            created: None,
            expiration: Expiration::At(until),
            usages: ["authentication".to_owned(), "signing".to_owned()].into(),
            groups: vec!["system:bootstrappers:kubeadm:default-node-token".into()],
            signature: Signature::Verified,
        };
        (format!("{SECRET_NAME}{id}"), token)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use proptest::prelude::*;

    use super::*;
    use crate::bootstrap_token::sign;

    const SECRET: &str = "0123456789abcdef";

    fn trimmed(data: &[(&str, &str)], signed: &Signed) -> BootstrapToken {
        let data = data.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec()))).collect();
        let metadata = ObjectMeta { name: Some("bootstrap-token-abcdef".into()), ..ObjectMeta::default() };
        trim(Secret { data: Some(data), metadata, ..Secret::default() }, signed).1
    }

    fn signed(kubeconfig: &str) -> Signed {
        let jws = sign(b"the text", "abcdef", SECRET.as_bytes());
        Signed { kubeconfig: kubeconfig.into(), signatures: [("abcdef".to_owned(), jws)].into() }
    }

    #[test]
    fn a_token_is_read_without_its_secret() {
        let token = trimmed(
            &[
                ("token-id", "abcdef"),
                ("token-secret", SECRET),
                ("expiration", "2026-11-24T13:58:57Z"),
                ("usage-bootstrap-signing", "true"),
                ("usage-bootstrap-authentication", "false"),
                ("auth-extra-groups", "system:bootstrappers:a,system:bootstrappers:b"),
            ],
            &signed("the text"),
        );
        assert_eq!(token.signature, Signature::Verified);
        assert_eq!(token.expiration, Expiration::At("2026-11-24T13:58:57Z".parse().unwrap()));
        assert_eq!(token.usages, ["signing".to_owned()].into());
        assert_eq!(token.groups.len(), 2);
        assert!(token.is_found_as("bootstrap-token-abcdef") && !token.is_found_as("join-token-abcdef"));
        assert!(!serde_json::to_string(&token).unwrap().contains(SECRET));
    }

    #[test]
    fn a_signature_of_another_text_is_a_mismatch() {
        let data = [("token-id", "abcdef"), ("token-secret", SECRET)];
        assert_eq!(trimmed(&data, &signed("another text")).signature, Signature::Mismatch);
        assert_eq!(trimmed(&data[..1], &signed("the text")).signature, Signature::Mismatch);
        assert_eq!(trimmed(&data, &Signed::default()).signature, Signature::Missing);
    }

    #[test]
    fn a_whole_token_in_the_wrong_place_is_not_kept() {
        let token = trimmed(&[("token-id", "abcdef.0123456789abcdef")], &Signed::default());
        assert_eq!(token.id, None);
        assert_eq!(token.expiration, Expiration::Never);
    }

    #[test]
    fn only_a_young_token_is_waited_for() {
        let now: Timestamp = "2026-11-23T14:00:00Z".parse().unwrap();
        let (name, token) = testing::token("beacon", now + YOUNG);
        let token = BootstrapToken { signature: Signature::Missing, ..token };
        let created = |ago| BootstrapToken { created: Some(now - ago), ..token.clone() };
        assert!(BootstrapTokens([(name.clone(), created(YOUNG / 2))].into()).may_be_signed_soon(now));
        assert!(!BootstrapTokens([(name, created(YOUNG * 2))].into()).may_be_signed_soon(now));
    }

    #[test]
    fn only_rfc_3339_is_a_time() {
        assert!(rfc3339("2026-11-24T13:58:57Z").is_some());
        assert!(rfc3339("2026-11-24T13:58:57+01:00").is_some());
        assert!(rfc3339("2026-11-24 13:58:57Z").is_none());
        assert!(rfc3339("tomorrow").is_none());
    }

    proptest! {
        #[test]
        fn arbitrary_data_is_safe_and_the_secret_goes_nowhere(id in any::<Vec<u8>>(), expiration in "\\PC{0,30}", groups in "\\PC{0,40}") {
            let data = [("token-id", id), ("expiration", expiration.into_bytes()), ("auth-extra-groups", groups.into_bytes()), ("token-secret", b"~~~secret~~~".to_vec())];
            let data = data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value))).collect();
            let (_, token) = trim(Secret { data: Some(data), ..Secret::default() }, &signed("the text"));
            prop_assert!(!serde_json::to_string(&token).unwrap().contains("~~~secret~~~"));
        }
    }
}
