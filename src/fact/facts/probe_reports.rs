//! What probe pods on all nodes saw.

pub mod endpoints;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cluster_domain::ClusterDomain;
use super::dns_servers::DnsServers;
use super::kubernetes_service::KubernetesService;
use super::nodes::Nodes;
use crate::cluster::Cluster;
use crate::fact::{Access, Observe, Rule, Seen, Unobserved};
use crate::probe::answer::PeerAnswer;
use crate::probe::collect::{Collected, collect};
use crate::probe::deploy::{Fronts, Site};
use crate::probe::object::Level;
use crate::probe::question::{ApiQuestion, DnsQuestion, Peer, ServiceQuestion};
use crate::probe::{Answers, Questions, mesh, message, object};

/// How long names and addresses may take to become known to all nodes.
const SETTLE: Duration = Duration::from_secs(8);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(2);
/// How long all probes of a wave have, from their creation to their answers.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often each probe connects to the API server.
const API_CONNECTIONS: u32 = 20;
/// How often each probe asks each DNS server by UDP and by TCP.
const LOOKUPS: (u32, u32) = (20, 5);
/// The port of DNS.
const DNS: u16 = 53;

/// What the probe pods on all Linux nodes saw, by node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProbeReports(pub BTreeMap<String, ProbeReport>);

/// What the probe on one node saw.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProbeReport {
    /// The pod's name.
    pub pod: String,
    /// The pod's address, once it had one.
    pub address: Option<IpAddr>,
    /// The address of the pod that asked again by address, where names had failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_again: Option<IpAddr>,
    /// What it saw, or why there is nothing.
    pub answers: Seen<Answers>,
}

impl ProbeReport {
    /// The address that a peer should see this answer's question come from.
    pub fn asked_from(&self, answer: &PeerAnswer) -> Option<IpAddr> {
        if answer.by_address { self.address_again } else { self.address }
    }
}

impl ProbeReports {
    /// The node on which a probe runs.
    pub fn node_of(&self, pod: &str) -> Option<&str> {
        self.0.iter().find(|(_, report)| report.pod == pod).map(|(node, _)| node.as_str())
    }
}

impl Observe for ProbeReports {
    type Needs<'a> = (&'a Nodes, &'a ClusterDomain, Option<&'a KubernetesService>, Option<&'a DnsServers>);
    const NAME: &'static str = "probe-reports";
    const ACCESS: Access = Access::Create;
    const RULES: &'static [Rule] = &[
        Rule::own_namespace("", "namespaces", &["create", "delete", "get"]),
        Rule::probes("", "serviceaccounts", &["create", "delete"]),
        Rule::probes("", "services", &["create", "deletecollection"]),
        Rule::probes("", "configmaps", &["get"]).named(&["kube-root-ca.crt"]),
        Rule::probes("", "pods", &["create", "deletecollection", "watch"]),
    ];
    const DEADLINE: Duration = Duration::from_secs(90);

    async fn observe(cluster: &Cluster, (nodes, domain, api, dns): Self::Needs<'_>) -> Seen<Self> {
        if nodes.linux().next().is_none() {
            return Err(Unobserved::absent("no node runs Linux, which probes need"));
        }
        let site = Site::prepare(cluster, Level::Restricted).await?;
        let fronts = site.fronts().await?;
        let wave = Wave::new(cluster, &site, nodes, domain, api, dns, &fronts);
        let mut reports = wave.run(cluster, &site).await;
        by_address(cluster, &site, &wave, &mut reports).await;
        Ok(Self(reports))
    }
}

crate::observed!(ProbeReports);

/// The probes that are started together, by node.
struct Wave {
    questions: BTreeMap<String, Questions>,
    /// The pods on nodes that are not ready: nobody waits for them, and nobody asks them.
    doubtful: Vec<String>,
}

impl Wave {
    fn new(
        cluster: &Cluster,
        site: &Site<'_>,
        nodes: &Nodes,
        domain: &ClusterDomain,
        api: Option<&KubernetesService>,
        dns: Option<&DnsServers>,
        fronts: &Fronts,
    ) -> Self {
        let run = &cluster.settings().probe.run;
        let service = object::name(run);
        let pods: Vec<_> =
            nodes.linux().enumerate().map(|(i, (name, node))| (name, node, format!("{service}-{i}"))).collect();
        let ready: Vec<&String> = pods.iter().filter(|(_, node, _)| node.is_ready()).map(|(_, _, pod)| pod).collect();
        let turn = run.to_string().bytes().fold(0, |turn: u64, byte| turn.wrapping_mul(31).wrapping_add(byte.into()));
        let api = api.map(|api| ApiQuestion {
            address: SocketAddr::new(
                api.cluster_ip,
                api.ports.first().and_then(|port| u16::try_from(port.1).ok()).unwrap_or(443),
            ),
            names: vec!["kubernetes.default.svc".into(), format!("kubernetes.default.svc.{}", domain.0)],
            connections: API_CONNECTIONS,
        });
        let dns = dns.map(|dns| DnsQuestion {
            servers: [dns.service].iter().chain(&dns.pods).map(|address| SocketAddr::new(*address, DNS)).collect(),
            name: format!("kubernetes.default.svc.{}.", domain.0),
            udp: LOOKUPS.0,
            tcp: LOOKUPS.1,
        });
        let peer = |pod: &String| Peer {
            pod: pod.clone(),
            host: format!("{pod}.{service}.{}.svc.{}.", site.namespace(), domain.0),
            address: None,
        };
        let questions = pods
            .iter()
            .map(|(name, node, pod)| {
                let peers = match ready.iter().position(|ready| *ready == pod) {
                    Some(at) => mesh::peers(at, ready.len(), turn),
                    None => (0..ready.len().min(1)).collect(),
                };
                let questions = Questions {
                    run: run.clone(),
                    pod: pod.clone(),
                    settle_ms: milliseconds(SETTLE),
                    answer_ms: milliseconds(ANSWER),
                    api: api.clone(),
                    dns: dns.clone(),
                    peers: peers.into_iter().map(|i| peer(ready[i])).collect(),
                    service: Some(ServiceQuestion {
                        cluster_ip: fronts.spread,
                        node_port: fronts.node_port,
                        affinity_ip: fronts.affinity,
                        backends: ready.iter().map(|pod| (*pod).clone()).collect(),
                    }),
                    node_addresses: node.internal_addresses().collect(),
                    endpoints: endpoints::of(name, nodes, turn),
                };
                ((*name).clone(), questions)
            })
            .collect();
        let doubtful = pods.iter().filter(|(_, node, _)| !node.is_ready()).map(|(_, _, pod)| pod.clone()).collect();
        Self { questions, doubtful }
    }

    async fn run(&self, cluster: &Cluster, site: &Site<'_>) -> BTreeMap<String, ProbeReport> {
        let made = site.pods(&self.questions).await;
        let refused: BTreeMap<&String, Unobserved> =
            self.questions.keys().zip(made).filter_map(|(node, made)| Some((node, made.err()?))).collect();
        let pods: Vec<String> = self
            .questions
            .iter()
            .filter(|(node, _)| !refused.contains_key(node))
            .map(|(_, questions)| questions.pod.clone())
            .collect();
        let run = &cluster.settings().probe.run;
        let mut collected = if pods.is_empty() {
            BTreeMap::new()
        } else {
            collect(cluster, site.namespace(), run, &pods, &self.doubtful, PATIENCE).await
        };
        self.questions
            .iter()
            .map(|(node, questions)| {
                let collected = match refused.get(node) {
                    Some(why) => Collected::nothing(why.clone()),
                    None => {
                        collected.remove(&questions.pod).unwrap_or_else(|| Collected::nothing(Unobserved::Interrupted))
                    }
                };
                let answers = collected.message("ask").and_then(|text| {
                    message::unpack(text).map_err(|e| Unobserved::invalid(format!("the probe on {node}"), e))
                });
                let address = collected.address;
                (node.clone(), ProbeReport { pod: questions.pod.clone(), address, address_again: None, answers })
            })
            .collect()
    }
}

/// Where names failed, asks the peers again by their addresses: a broken DNS must not hide a working network.
async fn by_address(cluster: &Cluster, site: &Site<'_>, first: &Wave, reports: &mut BTreeMap<String, ProbeReport>) {
    let addresses: BTreeMap<String, IpAddr> =
        reports.values().filter_map(|report| Some((report.pod.clone(), report.address?))).collect();
    let nameless = |node: &String, questions: &Questions| {
        let answers = reports.get(node)?.answers.as_ref().ok()?;
        let peers: Vec<Peer> = questions
            .peers
            .iter()
            .filter(|peer| answers.peers.get(&peer.pod).is_some_and(|answer| answer.address.is_err()))
            .filter_map(|peer| Some(Peer { address: Some(*addresses.get(&peer.pod)?), ..peer.clone() }))
            .collect();
        let again = Questions {
            pod: format!("{}-again", questions.pod),
            settle_ms: 0,
            api: None,
            dns: None,
            service: None,
            node_addresses: Vec::new(),
            endpoints: Vec::new(),
            peers,
            ..questions.clone()
        };
        (!again.peers.is_empty()).then_some((node.clone(), again))
    };
    let questions: BTreeMap<_, _> =
        first.questions.iter().filter_map(|(node, questions)| nameless(node, questions)).collect();
    if questions.is_empty() {
        return;
    }
    let second = Wave { questions, doubtful: Vec::new() };
    for (node, again) in second.run(cluster, site).await {
        let Some(report) = reports.get_mut(&node) else { continue };
        if let (Ok(answers), Ok(answers_again)) = (&mut report.answers, again.answers) {
            answers.peers.extend(answers_again.peers);
            report.address_again = again.address;
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
