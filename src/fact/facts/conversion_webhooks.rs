//! The webhooks that convert custom resources between their versions.

mod listed;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::{Deserialize, Serialize};

use self::listed::Definition;
use super::webhook_backends::{WebhookBackend, of_namespace};
use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::manager::Manager;
use crate::object_ref::NamespacedName;
use crate::seen::{Access, Seen};

/// The default port of a webhook's Service.
const USUAL_PORT: i32 = 443;

/// The custom resource definitions that are converted by a webhook, by name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ConversionWebhooks(pub BTreeMap<String, Conversion>);

/// How a custom resource is converted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Conversion {
    /// The webhook's Service; none where it is called at a URL.
    pub service: Option<NamespacedName>,
    /// The Service's port.
    pub port: i32,
    /// The Service's endpoints; none where it is called at a URL.
    pub backend: Option<Seen<WebhookBackend>>,
    /// The versions that clients may use.
    pub served: BTreeSet<String>,
    /// The versions in which objects are stored.
    pub stored: BTreeSet<String>,
    /// What manages the definition, if something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<Manager>,
}

impl Observe for ConversionWebhooks {
    type Needs<'a> = ();
    const NAME: &'static str = "conversion-webhooks";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[
        Rule::cluster("apiextensions.k8s.io", "customresourcedefinitions", &["list"]),
        Rule::cluster("", "services", &["list"]),
        Rule::cluster("discovery.k8s.io", "endpointslices", &["list"]),
    ];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let listed = cluster.list(Call::list::<CustomResourceDefinition>(), trim).await?;
        let mut conversions: BTreeMap<String, Conversion> = listed.into_iter().flatten().collect();
        let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for service in conversions.values().filter_map(|conversion| conversion.service.as_ref()) {
            wanted.entry(service.namespace.to_string()).or_default().insert(service.name.to_string());
        }
        let each = wanted.iter().map(async |(namespace, names)| {
            of_namespace(cluster, namespace, &names.iter().map(String::as_str).collect()).await
        });
        let backends: BTreeMap<_, _> = join_all(each).await.into_iter().flatten().collect();
        for conversion in conversions.values_mut() {
            conversion.backend = conversion.service.as_ref().and_then(|service| backends.get(service).cloned());
        }
        Ok(Self(conversions))
    }
}

/// The name of a definition, and how it is converted, if a webhook does that.
fn trim(definition: Definition) -> Option<(String, Conversion)> {
    let conversion = definition.spec.conversion.filter(|conversion| conversion.strategy == "Webhook")?;
    let manager = Manager::of(&definition.metadata);
    let service = conversion.webhook?.client_config.and_then(|client| client.service);
    let versions = definition.spec.versions.into_iter().filter(|version| version.served);
    let trimmed = Conversion {
        port: service.as_ref().and_then(|service| service.port).unwrap_or(USUAL_PORT),
        service: service.map(|service| NamespacedName::new(service.namespace, service.name)),
        backend: None,
        served: versions.map(|version| version.name).collect(),
        stored: definition.status.and_then(|status| status.stored_versions).into_iter().flatten().collect(),
        manager,
    };
    Some((definition.metadata.name?, trimmed))
}

crate::observed!(ConversionWebhooks);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_definitions_with_a_webhook_are_kept() {
        let definition = |strategy: &str| {
            let spec = serde_json::json!({
                "group": "shop.example.org", "names": {"kind": "Order", "plural": "orders"}, "scope": "Namespaced",
                "versions": [
                    {"name": "v1", "served": true, "storage": true},
                    {"name": "v1alpha1", "served": false, "storage": false},
                    {"name": "v1beta1", "served": true, "storage": false}
                ],
                "conversion": {"strategy": strategy, "webhook": {
                    "conversionReviewVersions": ["v1"],
                    "clientConfig": {"service": {"namespace": "shop", "name": "conversion"}}
                }}
            });
            let status = serde_json::json!({"storedVersions": ["v1beta1", "v1"]});
            let definition =
                serde_json::json!({"metadata": {"name": "orders.shop.example.org"}, "spec": spec, "status": status});
            trim(serde_json::from_value(definition).unwrap())
        };
        assert!(definition("None").is_none());
        let (name, kept) = definition("Webhook").unwrap();
        assert_eq!((&*name, kept.port), ("orders.shop.example.org", 443));
        assert_eq!(kept.service, Some(NamespacedName::new("shop", "conversion")));
        assert_eq!(kept.served, ["v1", "v1beta1"].map(str::to_owned).into());
        assert_eq!(kept.stored.len(), 2);
    }
}
