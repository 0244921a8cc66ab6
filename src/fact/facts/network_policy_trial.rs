//! Whether NetworkPolicies stop traffic between pods, and let it return.

pub mod sights;

pub use crate::probe::sight::Sight;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::cluster_domain::ClusterDomain;
use super::dns_servers::DnsServers;
use super::expectations::{Expectations, NetworkPolicies};
use super::nodes::Nodes;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::milliseconds::milliseconds;
use crate::probe::PORT;
use crate::probe::ask::watch::{Try, WatchQuestions, WatchTarget};
use crate::probe::collect::running;
use crate::probe::deploy::Site;
use crate::probe::follow::follow;
use crate::probe::object::Level;
use crate::probe::policed::{Policy, Role};
use crate::probe::trial::TrialPod;
use crate::seen::{Access, Seen, Unobserved};
use sights::{Sights, Step, Way};

/// How long pods may take to start.
const START: Duration = Duration::from_secs(30);
/// How long ways may take to open before there is a policy.
const OPENING: Duration = Duration::from_secs(5);
/// How long policies may take to take effect.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same where nothing seems to enforce them and the profile does not require it.
const LITTLE_PATIENCE: Duration = Duration::from_secs(4);
/// The capacity of the queue of answers.
const WAITING: usize = 64;

/// Whether NetworkPolicies stop traffic between pods, and let it return.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPolicyTrial {
    /// The node of the serving pods.
    pub servers_on: String,
    /// The node of the asking pods.
    pub clients_on: String,
    /// The ways that were tried.
    pub ways: BTreeSet<Way>,
    /// The ways after each step; further steps are left out where they would show nothing.
    pub steps: BTreeMap<Step, Seen<Sights>>,
}

impl Observe for NetworkPolicyTrial {
    type Needs<'a> = (&'a Nodes, &'a ClusterDomain, Option<&'a DnsServers>, &'a Expectations);
    const NAME: &'static str = "network-policy-trial";
    const ACCESS: Access = Access::Create;
    const RULES: &'static [Rule] = &[
        Rule::own_namespace("", "namespaces", &["create", "delete", "get"]),
        Rule::probes("", "serviceaccounts", &["create", "delete"]),
        Rule::probes("", "pods", &["create", "deletecollection", "watch"]),
        Rule::probes("", "pods/log", &["get"]),
        Rule::probes("networking.k8s.io", "networkpolicies", &["create", "deletecollection"]),
    ];
    const DEADLINE: Duration = Duration::from_secs(90);

    async fn observe(live: &Live, (nodes, domain, dns, expectations): Self::Needs<'_>) -> Seen<Self> {
        let (servers_on, clients_on) = places(nodes)?;
        let site = Site::prepare(live, Level::Policed).await?;
        let serving = [Role::Guarded, Role::Open].map(|role| (role, pod(role, servers_on, None)));
        let addresses = start(live, &site, &serving).await?;
        let targets = targets(&addresses, dns.and_then(|dns| server(dns, nodes)), &domain.name);
        let run = &live.inputs.run;
        let questions = [Role::Granted, Role::Stranger, Role::Confined].map(|role| {
            let own = targets.iter().filter(|(way, _)| way.from() == role);
            let targets = own.map(|(way, target)| (way.name().to_owned(), target.clone())).collect();
            (role, WatchQuestions { run: run.clone(), targets })
        });
        let asking: Vec<_> =
            questions.iter().map(|(role, watch)| (*role, pod(*role, clients_on, Some(watch)))).collect();
        let clients = start(live, &site, &asking).await?;
        let ways: BTreeSet<Way> = targets.into_keys().collect();
        let (told, tries) = mpsc::channel(WAITING);
        let trial = Trial { ways: ways.iter().copied().collect(), tries };
        let logs =
            clients.iter().map(|(_, pod, _)| follow(&live.cluster, site.namespace(), pod, told.clone(), |tried| tried));
        tokio::select! {
            // The logs end only with the pods, and the tries then report that.
            steps = trial.go(&site, expectations.network_policy) => Ok(Self {
                servers_on: servers_on.to_owned(),
                clients_on: clients_on.to_owned(),
                ways,
                steps,
            }),
            never = async { join_all(logs).await; pending::<Infallible>().await } => match never {},
        }
    }
}

crate::observed!(NetworkPolicyTrial);

/// The reported tries, and the ways that are worth watching.
struct Trial {
    ways: Vec<Way>,
    tries: mpsc::Receiver<Seen<Try>>,
}

impl Trial {
    /// Goes through the steps, as far as there is something to see.
    async fn go(mut self, site: &Site<'_>, expected: NetworkPolicies) -> BTreeMap<Step, Seen<Sights>> {
        let mut steps = BTreeMap::new();
        let before = self.look(Step::Before, |_| OPENING).await;
        self.ways.retain(|way| before.as_ref().is_ok_and(|seen| seen.is_open(*way) == Some(true)));
        steps.insert(Step::Before, before);
        if !self.ways.iter().any(|way| !way.is_allowed(Step::Denied)) {
            return steps;
        }
        let denied = match tokio::try_join!(site.policy(Policy::DenyIngress), site.policy(Policy::DenyEgress)) {
            Ok(_) => {
                let patience = |seen: &Sights| match expected {
                    NetworkPolicies::Optional if !seen.any_may_be_stopping() => LITTLE_PATIENCE,
                    NetworkPolicies::Optional | NetworkPolicies::Required => PATIENCE,
                };
                self.look(Step::Denied, patience).await
            }
            Err(why) => Err(why),
        };
        let any_is_stopped = denied.as_ref().is_ok_and(Sights::any_is_stopped);
        steps.insert(Step::Denied, denied);
        if any_is_stopped {
            let allowed = match site.policy(Policy::AllowByLabel).await {
                Ok(()) => self.look(Step::Allowed, |_| PATIENCE).await,
                Err(why) => Err(why),
            };
            steps.insert(Step::Allowed, allowed);
        }
        // Where nothing was stopped nothing returns, and the rest is removed with the run.
        let lifted = site.lift_policies().await;
        if any_is_stopped {
            let lifted = match lifted {
                Ok(()) => self.look(Step::Lifted, |_| PATIENCE).await,
                Err(why) => Err(why),
            };
            steps.insert(Step::Lifted, lifted);
        }
        steps
    }

    /// Watches until all ways are as the policies of the step say, or until the time is over, which may depend on what
    /// is seen.
    async fn look(&mut self, step: Step, patience: impl Fn(&Sights) -> Duration) -> Seen<Sights> {
        let began = Instant::now();
        let mut sights = Sights::default();
        // Older tries do not belong to the step.
        while let Ok(old) = self.tries.try_recv() {
            old?;
        }
        while !sights.have_settled(&self.ways, step) {
            let left = patience(&sights).saturating_sub(began.elapsed());
            match tokio::time::timeout(left, self.tries.recv()).await {
                Ok(Some(done)) => {
                    let Try { target, fault, .. } = done?;
                    if let Some(way) = Way::named(&target) {
                        sights.take(way, fault, began.elapsed());
                    }
                }
                Ok(None) => return Err(Unobserved::invalid("the pods of the trial", "their logs ended")),
                Err(_) => break,
            }
        }
        sights.lasted_ms = milliseconds(began.elapsed());
        Ok(sights)
    }
}

/// The nodes of the serving and the asking pods: two if there are two, workers if there are any.
fn places(nodes: &Nodes) -> Seen<(&str, &str)> {
    let ready = nodes.ready_workers_first()?;
    let first = ready[0].0;
    Ok((first, ready.get(1).map_or(first, |(second, _)| second)))
}

/// A DNS server whose address is that of a pod: policies do not apply to a node's own address.
fn server(dns: &DnsServers, nodes: &Nodes) -> Option<SocketAddr> {
    let on_host = |address: &IpAddr| nodes.0.values().any(|node| node.internal_addresses().any(|own| own == *address));
    let pod = dns.pods.iter().find(|address| !on_host(address))?;
    Some(SocketAddr::new(*pod, dns.pod_port))
}

fn pod<'a>(role: Role, node: &'a str, watch: Option<&'a WatchQuestions>) -> TrialPod<'a> {
    TrialPod { role: role.name(), node, watch }
}

/// Creates pods, waits until they run, and returns their names and addresses.
async fn start(live: &Live, site: &Site<'_>, pods: &[(Role, TrialPod<'_>)]) -> Seen<Vec<(Role, String, IpAddr)>> {
    let made = join_all(pods.iter().map(|(_, pod)| site.trial_pod(pod))).await;
    let names = made.into_iter().collect::<Seen<Vec<String>>>()?;
    let addresses = running(&live.cluster, site.namespace(), &live.inputs.run, &names, START).await?;
    let known = |((role, _), name): (&(Role, TrialPod<'_>), String)| {
        let address = *addresses.get(&name)?;
        Some((*role, name, address))
    };
    Ok(pods.iter().zip(names).filter_map(known).collect())
}

fn targets(servers: &[(Role, String, IpAddr)], dns: Option<SocketAddr>, domain: &str) -> BTreeMap<Way, WatchTarget> {
    let address = |role: Role| servers.iter().find(|(of, ..)| *of == role).map(|(_, _, address)| *address);
    let target = |way: Way| match way.to() {
        Some(role) => Some(WatchTarget::Probe(SocketAddr::new(address(role)?, PORT))),
        None => Some(WatchTarget::Dns(dns?, format!("kubernetes.default.svc.{domain}."))),
    };
    Way::ALL.into_iter().filter_map(|way| Some((way, target(way)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::nodes::{Condition, Node};
    use crate::probe::fault::Fault;

    fn node(ready: bool, control_plane: bool) -> Node {
        let status = if ready { "True" } else { "False" };
        let condition = Condition { status: status.into(), reason: String::new(), message: String::new() };
        let mut node = Node { operating_system: "linux".into(), ..Node::default() };
        node.conditions.insert("Ready".into(), condition);
        node.addresses.push(("InternalIP".into(), "10.77.0.11".into()));
        if control_plane {
            node.labels.insert("node-role.kubernetes.io/control-plane".into(), String::new());
        }
        node
    }

    fn nodes(nodes: &[(&str, Node)]) -> Nodes {
        Nodes(nodes.iter().map(|(name, node)| ((*name).to_owned(), node.clone())).collect())
    }

    #[test]
    fn two_ready_workers_are_preferred() {
        let three = nodes(&[("n1", node(true, true)), ("n2", node(true, false)), ("n3", node(true, false))]);
        assert_eq!(places(&three), Ok(("n2", "n3")));
        let two = nodes(&[("n1", node(true, true)), ("n2", node(true, false)), ("n3", node(false, false))]);
        assert_eq!(places(&two), Ok(("n2", "n1")));
        assert_eq!(places(&nodes(&[("n1", node(true, true))])), Ok(("n1", "n1")));
        assert!(places(&nodes(&[("n1", node(false, true))])).is_err_and(|why| !why.is_skip()));
    }

    #[test]
    fn a_dns_server_on_a_node_is_not_asked() {
        let nodes = nodes(&[("n1", node(true, true))]);
        let dns = |pods: &[[u8; 4]]| DnsServers {
            service: [10, 96, 0, 10].into(),
            pods: pods.iter().map(|pod| IpAddr::from(*pod)).collect(),
            pod_port: 53,
        };
        assert_eq!(server(&dns(&[[10, 77, 0, 11], [10, 244, 0, 2]]), &nodes), Some(([10, 244, 0, 2], 53).into()));
        assert_eq!(server(&dns(&[[10, 77, 0, 11]]), &nodes), None);
    }

    #[tokio::test]
    async fn a_look_lasts_until_all_is_seen_and_ends_with_the_log() {
        let (told, tries) = mpsc::channel(WAITING);
        let mut trial = Trial { ways: vec![Way::GrantedToGuarded], tries };
        let tell = |fault| Ok(Try { target: Way::GrantedToGuarded.name().into(), at_ms: 0, fault });
        let told_later = async {
            tokio::task::yield_now().await;
            for fault in [None, Some(Fault::TimedOut), Some(Fault::TimedOut)] {
                told.send(tell(fault)).await.unwrap();
            }
        };
        let (seen, ()) = tokio::join!(trial.look(Step::Denied, |_| PATIENCE), told_later);
        assert!(seen.unwrap().any_is_stopped());
        told.send(Err(Unobserved::Interrupted)).await.unwrap();
        assert!(trial.look(Step::Lifted, |_| PATIENCE).await.is_err());
    }
}
