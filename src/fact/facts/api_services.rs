//! The aggregated APIs.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use serde::{Deserialize, Serialize};

use super::nodes::Condition;
use crate::cluster::{Call, Cluster};
use crate::fact::answered::Answered;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::manager::Manager;
use crate::object_ref::NamespacedName;
use crate::seen::{Access, Seen};

/// The APIServices.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ApiServices {
    /// How many the API server serves itself.
    pub local: usize,
    /// The APIs that a Service of the cluster serves, by name.
    pub aggregated: BTreeMap<String, AggregatedApi>,
}

/// An API that a Service of the cluster serves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AggregatedApi {
    /// The Service.
    pub service: NamespacedName,
    /// The condition Available.
    pub available: Option<Condition>,
    /// The answer to a request for its list of resources.
    pub answer: Seen<Answered>,
    /// What manages it, if something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<Manager>,
}

impl Observe for ApiServices {
    type Needs<'a> = ();
    const NAME: &'static str = "api-services";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] =
        &[Rule::cluster("apiregistration.k8s.io", "apiservices", &["list"]), Rule::urls(&["/apis/*"])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let all = cluster.list(Call::list::<APIService>(), trim).await?;
        let local = all.iter().filter(|(_, _, api)| api.is_none()).count();
        let aggregated = all.into_iter().filter_map(|(name, path, api)| Some((name, path, api?)));
        let asked = aggregated.map(async |(name, path, Listed { service, available, manager })| {
            let answer = answer(cluster, &Call::url(path)).await;
            (name, AggregatedApi { service, available, answer, manager })
        });
        Ok(Self { local, aggregated: join_all(asked).await.into_iter().collect() })
    }
}

async fn answer(cluster: &Cluster, call: &Call) -> Seen<Answered> {
    let reply = cluster.send(call).await?;
    if matches!(reply.status, 401 | 403) {
        // Our own credential is refused, by the API server or by the aggregated one: that does not show whether the API
        // works.
        reply.accepted(call)?;
    }
    if reply.status < 300 {
        reply.is_answer(&call.clone().of_kind("", "APIResourceList"))?;
    }
    Ok(Answered::from(&reply))
}

/// What the APIService shows about an aggregated API.
struct Listed {
    service: NamespacedName,
    available: Option<Condition>,
    manager: Option<Manager>,
}

/// The name, the path of the version, and what is listed about an aggregated API.
fn trim(api: APIService) -> (String, String, Option<Listed>) {
    let manager = Manager::of(&api.metadata);
    let spec = api.spec.unwrap_or_default();
    let path = format!("/apis/{}/{}", spec.group.unwrap_or_default(), spec.version.unwrap_or_default());
    let conditions = api.status.and_then(|status| status.conditions).unwrap_or_default();
    let available =
        conditions.into_iter().find(|condition| condition.type_ == "Available").map(|condition| Condition {
            status: condition.status,
            reason: condition.reason.unwrap_or_default(),
            message: condition.message.unwrap_or_default(),
        });
    let served = spec.service.map(|service| {
        let [namespace, name] = [service.namespace, service.name].map(Option::unwrap_or_default);
        Listed { service: NamespacedName::new(namespace, name), available, manager }
    });
    (api.metadata.name.unwrap_or_default(), path, served)
}

crate::observed!(ApiServices);
