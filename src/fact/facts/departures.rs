//! What was deleted while the run looked at it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::cluster_dns::{ClusterDns, NAMESPACE};
use super::nodes::Nodes;
use crate::cluster::Call;
use crate::fact::{Observe, Rule, Stage};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// What was there when the run began and is not there at its end: autoscalers remove nodes of healthy clusters, and rollouts
/// the pods of CoreDNS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Departures {
    /// Nodes, by name.
    pub nodes: BTreeSet<String>,
    /// The addresses of the DNS Service's pods.
    pub dns_servers: BTreeSet<IpAddr>,
}

/// The metadata of an object.
#[derive(Deserialize)]
struct Metadata {
    metadata: ObjectMeta,
}

impl Observe for Departures {
    type Needs<'a> = (&'a Nodes, Result<&'a ClusterDns, &'a Unobserved>);
    const NAME: &'static str = "departures";
    const ACCESS: Access = Access::Read;
    const STAGE: Stage = Stage::Last;
    const RULES: &'static [Rule] =
        &[Rule::cluster("", "nodes", &["list"]), Rule::namespaced(NAMESPACE, "", "pods", &["list"])];

    async fn observe(Live { cluster, .. }: &Live, (nodes, dns): Self::Needs<'_>) -> Seen<Self> {
        let name = |object: Metadata| object.metadata.name.unwrap_or_default();
        let (left, pods) = tokio::join!(
            cluster.list(Call::list::<core::Node>().metadata_only(), name),
            // Those that are being deleted still answer, but not for long.
            cluster.list(Call::list::<core::Pod>().in_namespace(NAMESPACE).metadata_only(), |object: Metadata| {
                Some(object.metadata).filter(|pod| pod.deletion_timestamp.is_none()).and_then(|pod| pod.name)
            }),
        );
        let (left, pods): (BTreeSet<_>, BTreeSet<_>) =
            (left?.into_iter().collect(), pods?.into_iter().flatten().collect());
        let servers = dns.ok().and_then(|dns| dns.servers.as_ref().ok()).into_iter().flatten();
        let is_gone = |pod: &Option<String>| pod.as_ref().is_some_and(|pod| !pods.contains(pod));
        Ok(Self {
            nodes: nodes.0.keys().filter(|node| !left.contains(*node)).cloned().collect(),
            dns_servers: servers.filter(|server| is_gone(&server.pod)).map(|server| server.address).collect(),
        })
    }
}

crate::observed!(Departures);
