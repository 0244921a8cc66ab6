//! The admission webhooks.

use k8s_openapi::api::admissionregistration::v1 as admission;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use serde::{Deserialize, Serialize};

use super::label_selector::{Requirement, requirements};
use crate::certificate::Certificate;
use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::manager::Manager;
use crate::object_ref::NamespacedName;
use crate::seen::{Access, Seen};

/// The default port of a webhook's Service.
const USUAL_PORT: i32 = 443;

/// All admission webhooks, in the order of their configurations.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct AdmissionWebhooks(pub Vec<Webhook>);

/// The parts of a webhook that checks use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Webhook {
    /// `ValidatingWebhookConfiguration` or `MutatingWebhookConfiguration`.
    pub kind: String,
    /// The configuration's name.
    pub configuration: String,
    /// The webhook's name.
    pub name: String,
    /// Whether requests fail while it does not answer.
    pub fails_closed: bool,
    /// Its timeout, in seconds.
    pub timeout_seconds: i32,
    /// Its Service; none where it is called at a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<NamespacedName>,
    /// The Service's port.
    pub port: i32,
    /// The CAs that verify it, or why they cannot be read; none for those of the API server's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorities: Option<Result<Vec<Certificate>, String>>,
    /// The requests that are sent to it.
    pub rules: Vec<WebhookRule>,
    /// The namespaces that it applies to; without requirements all.
    pub namespaces: Vec<Requirement>,
    /// The objects that it applies to; without requirements all.
    pub objects: Vec<Requirement>,
    /// How many match conditions it has.
    pub conditions: usize,
    /// What manages the configuration, if something does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager: Option<Manager>,
}

/// Operations on resources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WebhookRule {
    /// The API groups.
    pub groups: Vec<String>,
    /// The resources, with subresources after a slash.
    pub resources: Vec<String>,
    /// The operations, as `CREATE`.
    pub operations: Vec<String>,
    /// `Cluster`, `Namespaced` or `*`.
    pub scope: String,
}

impl WebhookRule {
    /// Whether it matches an operation on a resource.
    pub(crate) fn covers(&self, operation: &str, group: &str, resource: &str) -> bool {
        let has = |all: &[String], one: &str| all.iter().any(|each| each == one || each == "*" || each == "*/*");
        has(&self.operations, operation) && has(&self.groups, group) && has(&self.resources, resource)
    }
}

impl Observe for AdmissionWebhooks {
    type Needs<'a> = ();
    const NAME: &'static str = "admission-webhooks";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[
        Rule::cluster("admissionregistration.k8s.io", "validatingwebhookconfigurations", &["list"]),
        Rule::cluster("admissionregistration.k8s.io", "mutatingwebhookconfigurations", &["list"]),
    ];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let validating = cluster.list(
            Call::list::<admission::ValidatingWebhookConfiguration>(),
            |configuration: admission::ValidatingWebhookConfiguration| {
                let webhooks = configuration.webhooks.unwrap_or_default().into_iter().map(Both::from);
                trim_all(webhooks, "ValidatingWebhookConfiguration", configuration.metadata)
            },
        );
        let mutating = cluster.list(
            Call::list::<admission::MutatingWebhookConfiguration>(),
            |configuration: admission::MutatingWebhookConfiguration| {
                let webhooks = configuration.webhooks.unwrap_or_default().into_iter().map(Both::from);
                trim_all(webhooks, "MutatingWebhookConfiguration", configuration.metadata)
            },
        );
        let (validating, mutating): (Vec<Vec<Webhook>>, Vec<Vec<Webhook>>) = tokio::try_join!(validating, mutating)?;
        Ok(Self(validating.into_iter().chain(mutating).flatten().collect()))
    }
}

/// The fields that validating and mutating webhooks share.
struct Both {
    name: String,
    failure_policy: Option<String>,
    timeout_seconds: Option<i32>,
    client: admission::WebhookClientConfig,
    rules: Vec<admission::RuleWithOperations>,
    namespaces: Option<meta::LabelSelector>,
    objects: Option<meta::LabelSelector>,
    conditions: usize,
}

macro_rules! both {
    ($webhook:ty) => {
        impl From<$webhook> for Both {
            fn from(webhook: $webhook) -> Self {
                Self {
                    name: webhook.name,
                    failure_policy: webhook.failure_policy,
                    timeout_seconds: webhook.timeout_seconds,
                    client: webhook.client_config,
                    rules: webhook.rules.unwrap_or_default(),
                    namespaces: webhook.namespace_selector,
                    objects: webhook.object_selector,
                    conditions: webhook.match_conditions.map_or(0, |conditions| conditions.len()),
                }
            }
        }
    };
}

both!(admission::ValidatingWebhook);
both!(admission::MutatingWebhook);

fn trim_all(webhooks: impl Iterator<Item = Both>, kind: &str, metadata: meta::ObjectMeta) -> Vec<Webhook> {
    let manager = Manager::of(&metadata);
    let configuration = metadata.name.unwrap_or_default();
    let of_configuration = |webhook: Webhook| Webhook {
        kind: kind.into(),
        configuration: configuration.clone(),
        manager: manager.clone(),
        ..webhook
    };
    webhooks.map(trim).map(of_configuration).collect()
}

fn trim(webhook: Both) -> Webhook {
    let service = webhook.client.service;
    Webhook {
        name: webhook.name,
        // The server writes its defaults into each object.
        fails_closed: webhook.failure_policy.is_none_or(|policy| policy == "Fail"),
        timeout_seconds: webhook.timeout_seconds.unwrap_or(10),
        port: service.as_ref().and_then(|service| service.port).unwrap_or(USUAL_PORT),
        service: service.map(|service| NamespacedName::new(service.namespace, service.name)),
        authorities: webhook.client.ca_bundle.filter(|bundle| !bundle.0.is_empty()).map(|bundle| {
            let text = String::from_utf8(bundle.0).map_err(|_| "it is not text".to_owned())?;
            Certificate::from_pem_bundle(&text).map_err(|error| error.to_string())
        }),
        rules: webhook.rules.into_iter().map(trim_rule).collect(),
        namespaces: requirements(webhook.namespaces.unwrap_or_default()),
        objects: requirements(webhook.objects.unwrap_or_default()),
        conditions: webhook.conditions,
        ..Webhook::default()
    }
}

fn trim_rule(rule: admission::RuleWithOperations) -> WebhookRule {
    WebhookRule {
        groups: rule.api_groups.unwrap_or_default(),
        resources: rule.resources.unwrap_or_default(),
        operations: rule.operations.unwrap_or_default(),
        scope: rule.scope.unwrap_or_else(|| "*".into()),
    }
}

crate::observed!(AdmissionWebhooks);
