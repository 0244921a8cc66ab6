//! The Services of admission webhooks.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::{Deserialize, Serialize};

use super::admission_webhooks::AdmissionWebhooks;
use crate::cluster::{Call, Cluster};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::object_ref::NamespacedName;
use crate::seen::{Access, Seen};

/// The Services of admission webhooks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct WebhookBackends(pub BTreeMap<NamespacedName, Seen<WebhookBackend>>);

/// A Service of a webhook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WebhookBackend {
    /// The ports; none when there is no such Service.
    pub ports: Option<BTreeSet<i32>>,
    /// The external name that it stands for, which has no endpoints here.
    pub external_name: Option<String>,
    /// How many endpoints are ready.
    pub ready: usize,
    /// How many are not.
    pub not_ready: usize,
}

impl Observe for WebhookBackends {
    type Needs<'a> = (&'a AdmissionWebhooks,);
    const NAME: &'static str = "webhook-backends";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] =
        &[Rule::cluster("", "services", &["list"]), Rule::cluster("discovery.k8s.io", "endpointslices", &["list"])];

    async fn observe(Live { cluster, .. }: &Live, (webhooks,): Self::Needs<'_>) -> Seen<Self> {
        let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for service in webhooks.0.iter().filter_map(|webhook| webhook.service.as_ref()) {
            wanted.entry(&service.namespace).or_default().insert(&service.name);
        }
        // Webhooks are in few namespaces: each is listed once.
        let each = wanted.iter().map(async |(namespace, names)| of_namespace(cluster, namespace, names).await);
        Ok(Self(join_all(each).await.into_iter().flatten().collect()))
    }
}

/// Some Services of a namespace.
pub(super) async fn of_namespace(
    cluster: &Cluster,
    namespace: &str,
    names: &BTreeSet<&str>,
) -> Vec<(NamespacedName, Seen<WebhookBackend>)> {
    let services = cluster.list(Call::list::<Service>().in_namespace(namespace), |service: Service| {
        let spec = service.spec.unwrap_or_default();
        let ports: BTreeSet<i32> = spec.ports.unwrap_or_default().iter().map(|port| port.port).collect();
        (service.metadata.name.unwrap_or_default(), (ports, spec.external_name.filter(|name| !name.is_empty())))
    });
    let slices = cluster.list(Call::list::<EndpointSlice>().in_namespace(namespace), |slice: EndpointSlice| {
        let service = slice.metadata.labels.unwrap_or_default().remove("kubernetes.io/service-name");
        let endpoints = slice.endpoints.unwrap_or_default();
        let ready = |endpoint: &&k8s_openapi::api::discovery::v1::Endpoint| {
            endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
        };
        (service, endpoints.iter().filter(ready).count(), endpoints.len())
    });
    let listed = tokio::try_join!(services, slices);
    let backend = |name: &str| {
        let (services, slices) = listed.as_ref().map_err(Clone::clone)?;
        let service = services.iter().find(|(service, _)| service == name).map(|(_, service)| service);
        let own = slices.iter().filter(|(service, ..)| service.as_deref() == Some(name));
        let (ready, all) = own.fold((0, 0), |(ready, all), (_, more_ready, more)| (ready + more_ready, all + more));
        Ok(WebhookBackend {
            ports: service.map(|(ports, _)| ports.clone()),
            external_name: service.and_then(|(_, external)| external.clone()),
            ready,
            not_ready: all - ready,
        })
    };
    let key = |name: &str| NamespacedName::new(namespace.to_owned(), name.to_owned());
    names.iter().map(|name| (key(name), backend(name))).collect()
}

crate::observed!(WebhookBackends);
