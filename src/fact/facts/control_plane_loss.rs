//! The loss of a control-plane node, and its return.

mod candidate;

pub(crate) use crate::trial::control_plane_loss::{ControlPlaneLoss, RESTORED, Sign, course, watch};
use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::cluster_domain::ClusterDomain;
use super::dns_servers::DnsServers;
use super::host_reports::HostReports;
use super::kubernetes_service::KubernetesService;
use super::nodes::Nodes;
use crate::fact::{Observe, Rule, Stage};
use crate::live::Live;
use crate::ports;
use crate::seen::{Access, Seen};
use crate::trial::control_plane_loss;
use watch::Targets;

impl Observe for ControlPlaneLoss {
    type Needs<'a> = (&'a KubernetesService, &'a ClusterDomain, &'a DnsServers, &'a HostReports);
    const NAME: &'static str = "control-plane-loss";
    const ACCESS: Access = Access::Disrupt;
    const STAGE: Stage = Stage::Alone;
    const RULES: &'static [Rule] = control_plane_loss::RULES;

    async fn observe(live: &Live, (service, domain, dns, hosts): Self::Needs<'_>) -> Seen<Self> {
        let targets = Targets {
            api: service.address(),
            dns: SocketAddr::new(dns.service, ports::DNS),
            name: format!("kubernetes.default.svc.{domain}."),
        };
        control_plane_loss::run(live, candidate::find(live, hosts), targets, || ready(live)).await
    }
}

crate::observed!(ControlPlaneLoss);

/// The nodes that are Ready now.
async fn ready(live: &Live) -> Seen<BTreeSet<String>> {
    let Nodes(nodes) = Nodes::observe(live, ()).await?;
    Ok(nodes.into_iter().filter(|(_, node)| node.is_ready()).map(|(name, _)| name).collect())
}
