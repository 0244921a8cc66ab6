//! How Services are exposed outside of the cluster.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use serde::{Deserialize, Serialize};

use crate::cluster::{Call, Cluster};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::manager::Manager;
use crate::object_ref::NamespacedName;
use crate::seen::{Access, Seen};

/// All Services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceExposure(pub BTreeMap<NamespacedName, Exposure>);

/// How one Service is exposed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exposure {
    /// Its ClusterIPs; a headless Service has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster_ips: Vec<IpAddr>,
    /// The external addresses that it claims.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external_ips: Vec<String>,
    /// When it was created, if it is of type LoadBalancer and has no address yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_since: Option<Timestamp>,
    /// What manages it, if something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<Manager>,
}

impl Observe for ServiceExposure {
    type Needs<'a> = ();
    const NAME: &'static str = "service-exposure";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::cluster("", "services", &["list"])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        Self::list(cluster).await
    }
}

impl ServiceExposure {
    /// Lists all Services.
    pub(super) async fn list(cluster: &Cluster) -> Seen<Self> {
        Ok(Self(cluster.list(Call::list::<Service>(), trim).await?.into_iter().collect()))
    }
}

fn trim(service: Service) -> (NamespacedName, Exposure) {
    let metadata = service.metadata;
    let manager = Manager::of(&metadata);
    let spec = service.spec.unwrap_or_default();
    let ingress = service.status.and_then(|status| status.load_balancer).and_then(|balancer| balancer.ingress);
    let pending = spec.type_.as_deref() == Some("LoadBalancer") && ingress.unwrap_or_default().is_empty();
    let [namespace, name] = [metadata.namespace, metadata.name].map(Option::unwrap_or_default);
    let exposure = Exposure {
        // A headless Service has the value None.
        cluster_ips: spec.cluster_ips.iter().flatten().filter_map(|address| address.parse().ok()).collect(),
        external_ips: spec.external_ips.unwrap_or_default(),
        pending_since: metadata.creation_timestamp.map(|at| at.0).filter(|_| pending),
        manager,
    };
    (NamespacedName::new(namespace, name), exposure)
}

crate::observed!(ServiceExposure);
