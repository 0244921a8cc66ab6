//! Whether exec and port-forward work on all nodes, with our own probe on each.

pub(crate) use crate::trial::streams::StreamAnswers;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::nodes::Nodes;
use super::probe_reports::{ProbeReport, ProbeReports};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen};
use crate::trial::streams;

/// The most nodes that are tried: each takes two streams.
const MOST: usize = 20;

/// The outcome of a command and of a forwarded port in a pod on each node, by node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct PodStreams {
    /// The nodes that were tried.
    pub asked: BTreeMap<String, Seen<StreamAnswers>>,
    /// How many other nodes there are.
    pub others: usize,
}

impl Observe for PodStreams {
    type Needs<'a> = (&'a Nodes, &'a ProbeReports);
    const NAME: &'static str = "pod-streams";
    const ACCESS: Access = Access::Create;
    const RULES: &'static [Rule] = streams::RULES;

    async fn observe(live: &Live, (nodes, probes): Self::Needs<'_>) -> Seen<Self> {
        let asked = streams::run(live, pods(nodes, probes)).await;
        Ok(Self { others: probes.0.len() - asked.len(), asked })
    }
}

crate::observed!(PodStreams);

/// The probes to try. Nodes without one are reported by all checks that use probes.
fn pods(nodes: &Nodes, probes: &ProbeReports) -> BTreeMap<String, Seen<String>> {
    let sampled = nodes.sample(MOST).filter_map(|(name, _)| Some((name, probes.0.get(name)?)));
    let pod = |(name, probe): (&String, &ProbeReport)| {
        let pod = probe.answers.as_ref().map(|_| probe.pod.clone()).map_err(Clone::clone);
        (name.clone(), pod)
    };
    sampled.map(pod).collect()
}
