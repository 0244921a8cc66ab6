//! Service account tokens in Secrets, which never expire. The tokens themselves are not read.

use std::collections::BTreeMap;

use futures_util::future::join;
use jiff::Timestamp;
use jiff::civil::Date;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use serde::{Deserialize, Serialize};

use super::config_map::ConfigMap;
use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::object_ref::NamespacedName;
use crate::seen::{Access, Seen, Unobserved};

/// The ConfigMap that contains since when API servers track the use of such tokens.
pub(crate) const TRACKING: &str = "kube-apiserver-legacy-service-account-token-tracking";

/// The metadata of the Secrets of type `kubernetes.io/service-account-token`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LegacyTokens {
    /// Since when their use is tracked, as in the ConfigMap.
    pub tracked_since: Seen<String>,
    /// The Secrets.
    pub tokens: BTreeMap<NamespacedName, LegacyToken>,
}

/// The parts of such a Secret that checks use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LegacyToken {
    /// The service account.
    pub service_account: String,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// The day of its last use, from its label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<String>,
    /// The day since which it is invalid, from its label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_since: Option<String>,
}

impl LegacyToken {
    /// The day on which it was last used; none if it never was, or if its label is not a date.
    pub(crate) fn last_used_on(&self) -> Option<Date> {
        self.last_used.as_ref()?.parse().ok()
    }
}

impl Observe for LegacyTokens {
    type Needs<'a> = ();
    const NAME: &'static str = "legacy-tokens";
    const ACCESS: Access = Access::Read;
    // RBAC cannot distinguish the metadata of Secrets from their data. Without this right only this fact is missing.
    const RULES: &'static [Rule] = &[
        Rule::cluster("", "secrets", &["list"]),
        Rule::namespaced("kube-system", "", "configmaps", &["get"]).named(&[TRACKING]),
    ];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let secrets =
            Call::list::<Secret>().with("fieldSelector", "type=kubernetes.io/service-account-token").metadata_only();
        let (tracking, tokens) = join(
            ConfigMap::fetch(cluster, "kube-system", TRACKING),
            cluster.list(secrets, |secret: PartialObjectMeta<Secret>| trim(secret.metadata)),
        )
        .await;
        let tracked_since = tracking.and_then(|tracking| tracking.key("since").map(str::to_owned));
        Ok(Self { tracked_since, tokens: tokens.map_err(Unobserved::optional)?.into_iter().collect() })
    }
}

fn trim(metadata: ObjectMeta) -> (NamespacedName, LegacyToken) {
    let mut labels = metadata.labels.unwrap_or_default();
    let token = LegacyToken {
        service_account: metadata
            .annotations
            .unwrap_or_default()
            .remove("kubernetes.io/service-account.name")
            .unwrap_or_default(),
        created: metadata.creation_timestamp.map(|at| at.0),
        last_used: labels.remove("kubernetes.io/legacy-token-last-used"),
        invalid_since: labels.remove("kubernetes.io/legacy-token-invalid-since"),
    };
    let [namespace, name] = [metadata.namespace, metadata.name].map(Option::unwrap_or_default);
    (NamespacedName::new(namespace, name), token)
}

crate::observed!(LegacyTokens);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_its_labels_and_nothing_that_it_holds() {
        let metadata: PartialObjectMeta<Secret> = serde_json::from_value(serde_json::json!({"metadata": {
            "namespace": "ops", "name": "deployer-token",
            "labels": {"kubernetes.io/legacy-token-last-used": "2024-02-29"},
            "annotations": {
                "kubernetes.io/service-account.name": "deployer",
                "kubectl.kubernetes.io/last-applied-configuration": "{\"data\": \"secret\"}",
            },
        }}))
        .unwrap();
        let (secret, token) = trim(metadata.metadata);
        assert_eq!((secret.to_string().as_str(), token.service_account.as_str()), ("ops/deployer-token", "deployer"));
        assert_eq!(token.last_used_on(), Some(jiff::civil::date(2024, 2, 29)));
        assert!(!serde_json::to_string(&token).unwrap().contains("secret"));
    }

    #[test]
    fn a_label_that_is_not_a_day_is_not_a_use() {
        let token = LegacyToken { last_used: Some("yesterday".into()), ..LegacyToken::default() };
        assert_eq!(token.last_used_on(), None);
    }
}
