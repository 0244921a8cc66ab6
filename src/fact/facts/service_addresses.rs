//! The addresses of all Services, and the objects that reserve them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::networking::v1 as networking;
use serde::{Deserialize, Serialize};

use super::service_exposure::{Exposure, ServiceExposure};
use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::object_ref::{NamespacedName, ObjectRef};
use crate::seen::{Access, Seen};

/// The addresses of all Services, and the IPAddress objects that reserve them, since Kubernetes 1.33.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ServiceAddresses {
    /// Each Service's ClusterIPs; Services without one are left out.
    pub services: BTreeMap<NamespacedName, Vec<IpAddr>>,
    /// The IPAddress objects.
    pub reserved: BTreeMap<IpAddr, Reservation>,
}

/// The reservation of an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reservation {
    /// The object that uses it, by its resource instead of its kind: `services default/kubernetes`.
    pub parent: ObjectRef,
    /// The controller that manages the reservation.
    pub managed_by: String,
}

impl Observe for ServiceAddresses {
    type Needs<'a> = (&'a ServiceExposure,);
    const NAME: &'static str = "service-addresses";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] =
        &[Rule::cluster("", "services", &["list"]), Rule::cluster("networking.k8s.io", "ipaddresses", &["list"])];

    async fn observe(Live { cluster, .. }: &Live, (services,): Self::Needs<'_>) -> Seen<Self> {
        // An address is reserved before its Service exists: in this order, only a deletion in between can confuse.
        let mut services = addresses(services);
        let reserved = cluster.list(Call::list::<networking::IPAddress>(), trim).await?;
        let reserved: BTreeMap<_, _> = reserved.into_iter().flatten().collect();
        if services.values().flatten().any(|address| !reserved.contains_key(address)) {
            let still = addresses(&ServiceExposure::list(cluster).await?);
            services.retain(|name, addresses| still.get(name) == Some(addresses));
        }
        Ok(Self { services, reserved })
    }
}

fn addresses(services: &ServiceExposure) -> BTreeMap<NamespacedName, Vec<IpAddr>> {
    let of = |(name, service): (&NamespacedName, &Exposure)| (name.clone(), service.cluster_ips.clone());
    services.0.iter().map(of).filter(|(_, addresses)| !addresses.is_empty()).collect()
}

fn trim(object: networking::IPAddress) -> Option<(IpAddr, Reservation)> {
    let address = object.metadata.name.as_deref()?.parse().ok()?;
    let parent = object.spec.parent_ref;
    let mut labels = object.metadata.labels.unwrap_or_default();
    let reservation = Reservation {
        parent: ObjectRef {
            kind: parent.resource.into(),
            namespace: parent.namespace.map(Into::into),
            name: parent.name.into(),
        },
        managed_by: labels.remove("ipaddress.kubernetes.io/managed-by").unwrap_or_default(),
    };
    Some((address, reservation))
}

crate::observed!(ServiceAddresses);
