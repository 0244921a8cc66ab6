//! The answers of kubelets to an account with the rights of monitoring only.

pub(crate) use crate::trial::monitoring::{CLOSED, OPEN};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::nodes::Nodes;
use super::probe_reports::{ProbeReport, ProbeReports};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::probe::fault::Got;
use crate::seen::{Access, Seen, Unobserved};
use crate::trial::monitoring;

/// The status of requests to each Linux node's kubelet, by node and path, with the token of a service account that may
/// get `nodes/configz`, `nodes/healthz` and `nodes/metrics`.
///
/// Each kubelet is asked by a pod on its own node, whose kubelet has given the pod its token anyway.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KubeletMonitoring(pub BTreeMap<String, Seen<BTreeMap<String, Got<u16>>>>);

impl Observe for KubeletMonitoring {
    type Needs<'a> = (&'a Nodes, &'a ProbeReports);
    const NAME: &'static str = "kubelet-monitoring";
    const ACCESS: Access = Access::Grant;
    const RULES: &'static [Rule] = monitoring::RULES;
    const DEADLINE: Duration = Duration::from_secs(60);

    async fn observe(live: &Live, (nodes, probes): Self::Needs<'_>) -> Seen<Self> {
        let kubelets = probes.0.iter().map(|(node, probe)| (node.clone(), kubelet(nodes, node, probe)));
        monitoring::run(live, kubelets.collect()).await.map(Self)
    }
}

/// The address of a node's kubelet. Nodes on which no probe started are left out.
fn kubelet(nodes: &Nodes, name: &str, probe: &ProbeReport) -> Seen<SocketAddr> {
    probe.answers.as_ref().map_err(Clone::clone)?;
    let node = nodes.0.get(name).ok_or_else(|| Unobserved::absent(format!("there is no Node {name}")))?;
    node.kubelet(name)
}

crate::observed!(KubeletMonitoring);
