//! The identity leases of API servers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use serde::{Deserialize, Serialize};

use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen};

/// The identity leases of API servers in kube-system, by name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ApiServerIdentities(pub BTreeMap<String, ApiServerIdentity>);

/// An API server, as its identity lease describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ApiServerIdentity {
    /// The hostname of its host.
    pub host: Option<String>,
    /// The address at which other API servers reach it; older versions do not publish one.
    pub address: Option<String>,
    /// When it was last renewed.
    pub renewed: Option<Timestamp>,
}

impl Observe for ApiServerIdentities {
    type Needs<'a> = ();
    const NAME: &'static str = "api-server-identities";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::namespaced("kube-system", "coordination.k8s.io", "leases", &["list"])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let call = Call::list::<Lease>()
            .in_namespace("kube-system")
            .with("labelSelector", "apiserver.kubernetes.io/identity=kube-apiserver");
        Ok(Self(cluster.list(call, trim).await?.into_iter().collect()))
    }
}

fn trim(lease: Lease) -> (String, ApiServerIdentity) {
    let metadata = lease.metadata;
    let identity = ApiServerIdentity {
        host: metadata.labels.unwrap_or_default().remove("kubernetes.io/hostname"),
        address: metadata.annotations.unwrap_or_default().remove("kubernetes.io/peer-advertise-address"),
        renewed: lease.spec.and_then(|spec| spec.renew_time).map(|at| at.0),
    };
    (metadata.name.unwrap_or_default(), identity)
}

crate::observed!(ApiServerIdentities);
