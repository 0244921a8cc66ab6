//! What probe pods on all nodes saw.

pub(crate) use crate::probe::collect::CANNOT_START;

pub(crate) mod answers;
mod departed;
pub(crate) mod dns_questions;
pub(crate) mod endpoints;
pub(crate) mod metadata_questions;
mod second_wave;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::api_server_endpoints::ApiServerEndpoints;
use super::cluster_dns::ClusterDns;
use super::cluster_domain::ClusterDomain;
use super::control_plane_listeners::ControlPlaneListeners;
use super::dns_servers::DnsServers;
use super::expectations::Expectations;
use super::kubernetes_service::KubernetesService;
use super::nodes::{Node, Nodes};
use super::service_exposure::ServiceExposure;
use crate::fact::{Observe, Rule, Stage};
use crate::live::{Live, RunId};
use crate::milliseconds::milliseconds;
use crate::object_ref::NamespacedName;
use crate::probe::answer::PeerAnswer;
use crate::probe::batch::Batch;
use crate::probe::collect::{self, Patience, Times};
use crate::probe::deploy::{Fronts, Site};
use crate::probe::fault::Fault;
use crate::probe::object::{Level, OnlyAsks};
use crate::probe::question::{ApiQuestion, Peer, ServiceQuestion};
use crate::probe::{Answers, Questions, happened, mesh};
use crate::seen::{Access, Seen, Unobserved};

/// How long names and addresses may take to become known to all nodes: a second or two, and many more where a node's CPUs are
/// busy.
const SETTLE: Duration = Duration::from_secs(12);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(4);
/// By when a probe answers with what it has, since it began to ask.
const DEADLINE: Duration = Duration::from_secs(18);
/// How often each probe connects to the API server.
const API_CONNECTIONS: u32 = 20;
/// Of how many pods that did not start the reasons are requested.
const EXPLAINED: usize = 10;
/// Up to this many endpoints of a Service, every probe is to meet them all.
pub(crate) const MEETABLE: usize = 16;
/// How long nodes have to learn of a probe that serves, in milliseconds: its endpoint and their rules follow later.
const LEARNING_MS: u64 = 5000;

/// What the probe pods on all Linux nodes saw, by node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ProbeReports(pub BTreeMap<String, ProbeReport>);

/// What the probe on one node saw.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ProbeReport {
    /// The pod's name.
    pub pod: String,
    /// The pod's address, once it had one.
    pub address: Option<IpAddr>,
    /// The address of the pod that asked again by address, where names had failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_again: Option<IpAddr>,
    /// When it was seen to serve, and to have answered the last time; none for a probe that did not do both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<Times>,
    /// The DNS pods that were deleted while it asked them. Their answers are not kept.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub departed: BTreeSet<IpAddr>,
    /// How long the API server took to accept the pod or to refuse it, in milliseconds, with the wait for its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_ms: Option<u64>,
    /// What the cluster reports about the pod, if it did not start: the last first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Seen<Vec<String>>>,
    /// What it saw, or why there is nothing.
    pub answers: Seen<Answers>,
}

impl ProbeReport {
    /// How the pod did not start, if that is why there are no answers.
    pub(crate) fn not_started(&self) -> Option<&str> {
        collect::not_started(self.answers.as_ref().err()?)
    }

    /// The address that a peer should see this answer's question come from.
    pub(crate) fn asked_from(&self, answer: &PeerAnswer) -> Option<IpAddr> {
        if answer.by_address { self.address_again } else { self.address }
    }
}

impl ProbeReports {
    /// The node on which a probe runs.
    pub(crate) fn node_of(&self, pod: &str) -> Option<&str> {
        self.0.iter().find(|(_, report)| report.pod == pod).map(|(node, _)| node.as_str())
    }

    /// Whether a probe began to serve when the one on this node had nearly ended, so that the two need not have met: its
    /// image was pulled first, or its node is slow.
    pub(crate) fn came_too_late(&self, pod: &str, node: &str) -> bool {
        let served = self.0.values().find(|report| report.pod == pod).and_then(|report| report.times);
        let asked = self.0.get(node).and_then(|report| report.times);
        served.zip(asked).is_some_and(|(served, asked)| served.served_ms + LEARNING_MS > asked.answered_ms)
    }
}

impl Observe for ProbeReports {
    type Needs<'a> = (
        &'a Nodes,
        &'a ClusterDomain,
        Option<&'a KubernetesService>,
        Result<&'a ApiServerEndpoints, &'a Unobserved>,
        Option<&'a DnsServers>,
        &'a Expectations,
        Result<&'a ControlPlaneListeners, &'a Unobserved>,
        Result<&'a ServiceExposure, &'a Unobserved>,
    );
    const NAME: &'static str = "probe-reports";
    const ACCESS: Access = Access::Create;
    const STAGE: Stage = Stage::First;
    const RULES: &'static [Rule] = Level::Restricted.rules();
    const DEADLINE: Duration = Duration::from_secs(90);

    async fn observe(live: &Live, needs: Self::Needs<'_>) -> Seen<Self> {
        let (nodes, domain, api, instances, dns, expectations, listeners, services) = needs;
        if nodes.linux().next().is_none() {
            return Err(Unobserved::absent("no node runs Linux, which probes need"));
        }
        let site = Site::prepare(live, Level::Restricted).await?;
        let fronts = site.fronts(&format!("kubernetes.default.svc.{domain}")).await?;
        // Where the instances are not known, none is asked by its own address.
        let instances = instances.map(|published| published.slices.clone()).unwrap_or_default();
        // Where flags are not known, only the usual ports are tried.
        let listeners = listeners.cloned().unwrap_or_default();
        // Where Services are not known, none but those of the run is asked for.
        let services = services.map(|services| resolvable(services, site.namespace())).unwrap_or_default();
        let surroundings = Surroundings { nodes, domain, api, instances, dns, expectations, listeners, services };
        let wave = Wave::new(&live.inputs.run, site.namespace(), &surroundings, &fronts);
        let began = Instant::now();
        let mut reports = Self(wave.run(&site).await);
        ask_again(&site, &wave, &mut reports, began).await;
        leave_out_departed(live, dns, &mut reports).await;
        for report in reports.0.values_mut().filter(|report| report.not_started().is_some()).take(EXPLAINED) {
            report.events = Some(happened::events(&live.cluster, site.namespace(), &report.pod).await);
        }
        Ok(reports)
    }
}

crate::observed!(ProbeReports);

/// The probes that are started together.
struct Wave {
    /// By node, the names of their pods and their questions.
    questions: BTreeMap<String, (String, Questions)>,
    /// The pods on nodes that are not ready: the run does not wait for them, and no probe asks them.
    doubtful: Vec<String>,
}

/// What is known of the cluster before the probes are made.
struct Surroundings<'a> {
    nodes: &'a Nodes,
    domain: &'a ClusterDomain,
    api: Option<&'a KubernetesService>,
    instances: BTreeSet<SocketAddr>,
    dns: Option<&'a DnsServers>,
    expectations: &'a Expectations,
    listeners: ControlPlaneListeners,
    services: Vec<&'a NamespacedName>,
}

/// The Services whose names have addresses, without those of the run.
fn resolvable<'a>(services: &'a ServiceExposure, namespace: &str) -> Vec<&'a NamespacedName> {
    let others =
        services.0.iter().filter(|(name, service)| !service.cluster_ips.is_empty() && *name.namespace != *namespace);
    others.map(|(name, _)| name).collect()
}

impl Wave {
    fn new(run: &RunId, namespace: &str, known: &Surroundings<'_>, fronts: &Fronts) -> Self {
        let service = run.name();
        let Surroundings { nodes, domain, .. } = *known;
        let pods: Vec<_> =
            nodes.linux().enumerate().map(|(i, (name, node))| (name, node, format!("{service}-{i}"))).collect();
        let ready: Vec<(&String, &Node)> =
            pods.iter().filter(|(_, node, _)| node.is_ready()).map(|(_, node, pod)| (pod, *node)).collect();
        let turn = run.to_string().bytes().fold(0, |turn: u64, byte| turn.wrapping_mul(31).wrapping_add(byte.into()));
        let api = known.api.map(|api| ApiQuestion {
            address: api.address(),
            authority: fronts.authority.as_ref().map_err(|why| Fault::Other(why.to_string())).cloned(),
            names: vec!["kubernetes.default.svc".into(), format!("kubernetes.default.svc.{domain}")],
            connections: API_CONNECTIONS,
            instances: known.instances.clone(),
        });
        let names = dns_questions::Names {
            domain: &domain.name,
            namespace,
            service: &service,
            probes: ready.len(),
            existing: &known.services,
            turn,
        };
        let peer = |pod: &String| Peer {
            pod: pod.clone(),
            host: format!("{pod}.{service}.{namespace}.svc.{domain}."),
            address: None,
        };
        let questions = pods
            .iter()
            .map(|(name, node, pod)| {
                let place = ready.iter().position(|(ready, _)| *ready == pod);
                let peers = match place {
                    Some(at) => mesh::peers(at, ready.len(), turn),
                    None => (0..ready.len().min(1)).collect(),
                };
                let dns = known.dns.map(|dns| {
                    dns_questions::of(place, &names, dns, known.api.map(|api| api.cluster_ip), known.expectations)
                });
                let questions = Questions {
                    resolver: true,
                    environment: true,
                    mtu: true,
                    token: true,
                    kubelet: true,
                    kube_proxy: true,
                    short_name: dns.is_some(),
                    dns_metrics: known
                        .dns
                        .map(|dns| dns_questions::metrics(place, ready.len(), dns))
                        .unwrap_or_default(),
                    dns,
                    service: Some(ServiceQuestion {
                        cluster_ip: fronts.spread,
                        node_port: fronts.node_port,
                        old: api.as_ref().map(|api| api.address),
                        affinity_ip: fronts.affinity,
                        other_family_ip: fronts.other_family,
                        backends: if ready.len() <= MEETABLE { ready.len() } else { 0 },
                        other_nodes: peers.iter().filter_map(|i| ready[*i].1.internal_addresses().next()).collect(),
                    }),
                    peers: peers.into_iter().map(|i| peer(ready[i].0)).collect(),
                    api: api.clone(),
                    reached: endpoints::of(name, nodes, &known.listeners, turn),
                    metadata: metadata_questions::of(node),
                    ..Questions::none(Batch {
                        node_addresses: node.internal_addresses().collect(),
                        settle_ms: milliseconds(SETTLE),
                        ..Batch::of(run.clone(), ANSWER, DEADLINE)
                    })
                };
                ((*name).clone(), (pod.clone(), questions))
            })
            .collect();
        let doubtful = pods.iter().filter(|(_, node, _)| !node.is_ready()).map(|(_, _, pod)| pod.clone()).collect();
        Self { questions, doubtful }
    }

    async fn run(&self, site: &Site<'_>) -> BTreeMap<String, ProbeReport> {
        let collected = site.answers(&self.questions, &self.doubtful, Patience::with(DEADLINE)).await;
        collected
            .into_iter()
            .map(|(node, collected)| {
                let pod = self.questions[&node].0.clone();
                let (created_ms, address, times) = (collected.created_ms, collected.address, collected.times);
                let answers = collected.answers(&node);
                let report = ProbeReport {
                    pod,
                    address,
                    address_again: None,
                    times,
                    departed: BTreeSet::new(),
                    created_ms,
                    events: None,
                    answers,
                };
                (node, report)
            })
            .collect()
    }
}

/// Leaves out what came of DNS pods that were deleted meanwhile. Where their Service cannot be read again, all stay.
async fn leave_out_departed(live: &Live, dns: Option<&DnsServers>, reports: &mut ProbeReports) {
    let Some(doubtful) = dns.map(|dns| departed::doubtful(reports, &dns.pods)).filter(|pods| !pods.is_empty()) else {
        return;
    };
    if let Ok(ClusterDns { servers: Ok(servers), .. }) = ClusterDns::observe(live, ()).await {
        let left: BTreeSet<IpAddr> = servers.iter().map(|server| server.address).collect();
        departed::leave_out(reports, &doubtful.difference(&left).copied().collect());
    }
}

/// Asks again what [`second_wave`] names, now that all probes serve.
async fn ask_again(site: &Site<'_>, first: &Wave, reports: &mut ProbeReports, began: Instant) {
    let asked = |node: &String, (pod, questions): &(String, Questions)| {
        let again = second_wave::questions(node, questions, reports)?;
        Some((node.clone(), (format!("{pod}-again"), OnlyAsks(again))))
    };
    let questions: BTreeMap<_, _> =
        first.questions.iter().filter_map(|(node, questions)| asked(node, questions)).collect();
    if questions.is_empty() {
        return;
    }
    let collected = site.answers(&questions, &[], Patience::with(second_wave::DEADLINE)).await;
    for (node, again) in collected {
        let address = again.address;
        if let Ok(answers) = again.answers(&node) {
            second_wave::add(reports, &node, address, answers, milliseconds(began.elapsed()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::cluster_domain::testing::cluster_local;
    use crate::fact::facts::nodes::Condition;
    use crate::probe::object::{Mark, Placed, Work};

    /// What a cluster of this many nodes, three of them control plane, costs.
    struct Cost {
        pods: usize,
        most_questions: usize,
        most_bytes: usize,
        most_containers: usize,
    }

    fn cost(count: usize) -> Cost {
        let node = |i: usize| {
            let ready = Condition { status: "True".into(), reason: String::new(), message: String::new() };
            let address = std::net::Ipv4Addr::from_bits(0x0a4d_0000 + u32::try_from(i).unwrap());
            let mut node = Node {
                addresses: vec![("InternalIP".into(), address.to_string())],
                conditions: BTreeMap::from([("Ready".into(), ready)]),
                operating_system: "linux".into(),
                ..Node::default()
            };
            if i < 3 {
                node.labels.insert("node-role.kubernetes.io/control-plane".into(), String::new());
            }
            (format!("node-{i:05}.example.org"), node)
        };
        let nodes = Nodes((0..count).map(node).collect());
        let domain = cluster_local();
        let dns = DnsServers {
            service: [10, 96, 0, 10].into(),
            pods: (0..2 + count / 16)
                .map(|i| IpAddr::from([10, 244, u8::try_from(i % 250).unwrap(), 2]))
                .collect::<BTreeSet<_>>(),
            pod_port: 53,
        };
        let run: RunId = "x7f4k".parse().unwrap();
        let known = Surroundings {
            nodes: &nodes,
            domain: &domain,
            api: None,
            instances: BTreeSet::new(),
            dns: Some(&dns),
            expectations: &Expectations::default(),
            listeners: ControlPlaneListeners::default(),
            services: Vec::new(),
        };
        let fronts = Fronts {
            spread: [10, 96, 7, 1].into(),
            other_family: None,
            node_port: Some(31000),
            affinity: [10, 96, 7, 2].into(),
            authority: Err(Unobserved::Interrupted),
        };
        let wave = Wave::new(&run, "seaworthy-x7f4k", &known, &fronts);
        let mark = Mark { run: &run, level: Level::Restricted, expires: jiff::Timestamp::UNIX_EPOCH, owner: None };
        let object = |(node, (name, questions)): (&String, &(String, Questions))| {
            questions.pod(&Placed { name, node, image: "i", lifetime_seconds: 60 }, &mark).unwrap()
        };
        let asked = |questions: &Questions| {
            questions.peers.len() + questions.reached.len() + questions.dns.as_ref().map_or(0, |dns| dns.servers.len())
        };
        let objects: Vec<_> = wave.questions.iter().map(object).collect();
        Cost {
            pods: wave.questions.len(),
            most_questions: wave.questions.values().map(|(_, questions)| asked(questions)).max().unwrap(),
            most_bytes: objects.iter().map(|pod| pod.to_string().len()).max().unwrap(),
            most_containers: objects
                .iter()
                .map(|pod| pod["spec"]["containers"].as_array().unwrap().len())
                .max()
                .unwrap(),
        }
    }

    #[test]
    fn from_sixteen_nodes_on_a_node_costs_no_more() {
        let sixteen = cost(16);
        for count in [17, 100, 1000] {
            let large = cost(count);
            assert_eq!(large.pods, count);
            assert!(
                large.most_questions <= sixteen.most_questions,
                "{count} nodes: {} questions",
                large.most_questions
            );
            assert!(large.most_bytes <= sixteen.most_bytes, "{count} nodes: {} bytes", large.most_bytes);
            assert!(large.most_containers <= sixteen.most_containers, "{count} nodes: {}", large.most_containers);
        }
    }
}
