//! The ranges of service addresses.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::api::networking::v1 as networking;
use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;
use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// The name of the ServiceCIDR that API servers create from their flag.
pub(crate) const DEFAULT: &str = "kubernetes";

/// All ServiceCIDRs, by name. Absent before Kubernetes 1.33.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ServiceCidrs {
    /// The ranges.
    pub ranges: BTreeMap<String, ServiceCidr>,
    /// The warnings of API servers about ServiceCIDRs that differ from their flags.
    pub complaints: Seen<Vec<Complaint>>,
}

/// A ServiceCIDR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceCidr {
    /// The ranges, of one or two address families, the primary one first.
    pub cidrs: Vec<Cidr>,
    /// Whether its condition Ready is true.
    pub ready: bool,
    /// The message of the condition Ready, which may be empty.
    pub message: String,
    /// Whether it is being deleted, which waits until no Service uses it.
    pub deleting: bool,
}

/// A warning about a ServiceCIDR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Complaint {
    /// The ServiceCIDR.
    pub about: String,
    /// The reason, in one word.
    pub reason: String,
    /// The message.
    pub message: String,
    /// When it was last reported.
    pub last: Option<Timestamp>,
}

impl Observe for ServiceCidrs {
    type Needs<'a> = ();
    const NAME: &'static str = "service-cidrs";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[
        Rule::cluster("networking.k8s.io", "servicecidrs", &["list"]),
        Rule::namespaced("default", "", "events", &["list"]),
    ];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let call = Call::list::<networking::ServiceCIDR>();
        let events = Call::list::<Event>()
            .in_namespace("default")
            .with("fieldSelector", "involvedObject.kind=ServiceCIDR,type=Warning");
        let (ranges, complaints) = futures_util::future::join(
            cluster.list(call.clone(), |cidr| trim(&call, cidr)),
            cluster.list(events, complaint),
        )
        .await;
        Ok(Self { ranges: ranges?.into_iter().collect::<Seen<_>>()?, complaints })
    }
}

fn trim(call: &Call, cidr: networking::ServiceCIDR) -> Seen<(String, ServiceCidr)> {
    let cidrs = cidr.spec.and_then(|spec| spec.cidrs).unwrap_or_default();
    let cidrs = cidrs.iter().map(|text| text.parse()).collect::<Result<_, _>>();
    let conditions = cidr.status.and_then(|status| status.conditions).unwrap_or_default();
    let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
    let trimmed = ServiceCidr {
        cidrs: cidrs.map_err(|cause| Unobserved::invalid(call.to_string(), cause))?,
        ready: ready.as_ref().is_some_and(|ready| ready.status == "True"),
        message: ready.map(|ready| ready.message).unwrap_or_default(),
        deleting: cidr.metadata.deletion_timestamp.is_some(),
    };
    Ok((cidr.metadata.name.unwrap_or_default(), trimmed))
}

fn complaint(event: Event) -> Complaint {
    let series = event.series.and_then(|series| series.last_observed_time).map(|at| at.0);
    Complaint {
        about: event.involved_object.name.unwrap_or_default(),
        reason: event.reason.unwrap_or_default(),
        message: event.message.unwrap_or_default(),
        last: series.or(event.last_timestamp.map(|at| at.0)).or(event.event_time.map(|at| at.0)),
    }
}

crate::observed!(ServiceCidrs);
