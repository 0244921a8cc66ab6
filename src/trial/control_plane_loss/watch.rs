//! The tries before, while and after a node is down.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::AsyncBufReadExt;
use tokio::time::timeout;

use super::course::{Course, Tried, is_steady};
use crate::cluster::Call;
use crate::control_plane::leases::{self, COMPONENTS, is_held_on};
use crate::control_plane::published;
use crate::live::Live;
use crate::probe::ask::watch::{Try, WatchQuestions, WatchTarget};
use crate::probe::object::Level;
use crate::probe::trial::TrialPod;
use crate::seen::{Seen, Unobserved};
use crate::trial::runner::Runner;

/// How long one try may take.
const TRY: Duration = Duration::from_secs(2);
/// The pause between two tries of a thing.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest time between two renewals of a leader that are seen: it renews every two seconds.
const RENEWAL: Duration = Duration::from_secs(5);
/// How many tries in a row must fail until an API server counts as stopped.
const GONE: usize = 3;
/// The number of nodes with a watching probe.
const WATCHERS: usize = 3;
/// How long a watching probe may be silent: it reports a try at least every second.
const SILENCE: Duration = Duration::from_secs(3);
/// The names that watching pods use for the API at its ClusterIP, and for the cluster's DNS.
const API: &str = "api";
const NAMES: &str = "dns";
/// The written annotation.
const WRITTEN: &str = "seaworthy.dev/written";

/// A thing that is tried.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Watched {
    /// The API server of the node that is stopped.
    Stopped,
    /// The API at the kubeconfig's server, over a new connection each time.
    Endpoint,
    /// A write through the other API servers, which works while etcd has its quorum.
    Write,
    /// The EndpointSlice of Service default/kubernetes, which should not contain the stopped node.
    Published,
    /// The lease of this component, which another node should renew.
    Lease(String),
    /// The API at its ClusterIP, from a pod of this node, over a new connection each time.
    Api(String),
    /// The cluster's DNS, from a pod of this node.
    Dns(String),
}

impl Watched {
    /// Whether it must work before anything is stopped.
    fn works_before(&self) -> bool {
        !matches!(self, Self::Published | Self::Lease(_))
    }

    /// Whether it must recover completely. DNS may lose questions to a server on the lost node for longer.
    fn recovers(&self) -> bool {
        !matches!(self, Self::Stopped | Self::Dns(_))
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("the API server of the node that is stopped"),
            Self::Endpoint => f.write_str("the API at the kubeconfig's server"),
            Self::Write => f.write_str("writes through the other API servers"),
            Self::Published => f.write_str("EndpointSlice default/kubernetes"),
            Self::Lease(component) => write!(f, "Lease kube-system/{component}"),
            Self::Api(node) => write!(f, "the API at its ClusterIP, from a pod on {node}"),
            Self::Dns(node) => write!(f, "the cluster's DNS, from a pod on {node}"),
        }
    }
}

type Tries = BTreeMap<Watched, Vec<Tried>>;

/// The node that is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Its name.
    pub node: String,
    /// The address of its API server.
    pub address: SocketAddr,
    /// The components whose lease it holds.
    pub leads: Vec<String>,
    /// The addresses of the other API servers.
    pub survivors: Vec<SocketAddr>,
    /// The nodes for probes, workers first.
    pub watchers: Vec<String>,
}

/// What the watching pods ask.
pub(crate) struct Targets {
    /// The API at its ClusterIP.
    pub api: SocketAddr,
    /// The cluster's DNS.
    pub dns: SocketAddr,
    /// The name that it is asked for.
    pub name: String,
}

/// A cluster that will lose a node, and the watching pods.
pub(crate) struct Scene<'a> {
    live: &'a Live,
    /// The node.
    pub candidate: Candidate,
    runner: Runner<'a>,
    /// The watching pods, by node.
    pods: BTreeMap<String, String>,
    tries: Mutex<Tries>,
}

impl<'a> Scene<'a> {
    /// Starts watching pods on other nodes, and waits until they run.
    pub(crate) async fn prepare(live: &'a Live, candidate: Candidate, targets: Targets) -> Seen<Self> {
        let Targets { api, dns, name } = targets;
        let targets = [(API.to_owned(), WatchTarget::Api(api)), (NAMES.to_owned(), WatchTarget::Dns(dns, name))].into();
        let watch = WatchQuestions { run: live.inputs.run.clone(), targets };
        let runner = Runner::prepare(live, Level::Watching).await?;
        let nodes: Vec<(String, &String)> =
            candidate.watchers.iter().take(WATCHERS).enumerate().map(|(i, node)| (i.to_string(), node)).collect();
        let pods: Vec<TrialPod<'_>> =
            nodes.iter().map(|(role, node)| TrialPod { role, node, watch: Some(&watch) }).collect();
        let started = runner.start(&pods).await?;
        let pods: BTreeMap<String, String> =
            nodes.iter().zip(started).map(|((_, node), (pod, _))| ((*node).clone(), pod)).collect();
        let tries = watched(&pods).map(|what| (what, Vec::new())).collect();
        Ok(Self { live, candidate, runner, pods, tries: Mutex::new(tries) })
    }

    /// Tries everything while it is polled.
    pub(crate) async fn watch(&self) -> Infallible {
        let ours = self.look(|tries| tries.keys().cloned().collect::<Vec<_>>());
        let ours = ours.into_iter().filter(|what| !matches!(what, Watched::Api(_) | Watched::Dns(_)));
        let ours = join_all(ours.map(|what| self.try_for_ever(what)));
        let pods = join_all(self.pods.iter().map(|(node, pod)| self.read_for_ever(node, pod)));
        join(ours, pods).await;
        pending().await
    }

    /// Waits until everything works that must before anything is stopped. An error names what does not.
    pub(crate) async fn works(&self, patience: Duration) -> Seen<()> {
        let ill = |tries: &Tries| {
            let mut ill = tries.iter().filter(|(what, tries)| what.works_before() && !is_steady(tries));
            ill.next().map(|(what, tries)| (what.clone(), tries.iter().rev().find_map(|tried| tried.fault.clone())))
        };
        if self.until(patience, |tries| ill(tries).is_none().then_some(())).await.is_some() {
            return Ok(());
        }
        match self.look(ill) {
            None => Ok(()),
            Some((what, fault)) => Err(Unobserved::invalid(
                what.to_string(),
                format!("{}, before anything was stopped", fault.unwrap_or_else(|| "too few tries".into())),
            )),
        }
    }

    /// Waits until the API server of the stopped node does not answer, and returns since when.
    pub(crate) async fn lost(&self, patience: Duration) -> Option<Instant> {
        self.until(patience, |tries| gone_since(&tries[&Watched::Stopped])).await
    }

    /// Waits until everything has recovered from a loss, or patience is over, and returns the courses.
    pub(crate) async fn courses(&self, lost: Instant, patience: Duration) -> Vec<(Watched, Course)> {
        let courses = |tries: &Tries| -> Vec<(Watched, Course)> {
            let watched = tries.iter().filter(|(what, _)| **what != Watched::Stopped);
            watched.map(|(what, tries)| (what.clone(), Course::of(tries, lost))).collect()
        };
        let recovered = |all: &[(Watched, Course)]| {
            all.iter().all(|(what, course)| !what.recovers() || course.recovered_ms.is_some())
        };
        self.until(patience.saturating_sub(lost.elapsed()), |tries| Some(courses(tries)).filter(|all| recovered(all)))
            .await
            .unwrap_or_else(|| self.look(courses))
    }

    async fn until<T>(&self, patience: Duration, look: impl Fn(&Tries) -> Option<T>) -> Option<T> {
        let seen = async {
            loop {
                match self.look(&look) {
                    Some(seen) => return seen,
                    None => tokio::time::sleep(PAUSE).await,
                }
            }
        };
        timeout(patience, seen).await.ok()
    }

    fn look<T>(&self, look: impl FnOnce(&Tries) -> T) -> T {
        look(&self.tries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, what: Watched, began: Instant, fault: Option<String>) {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        tries.entry(what).or_default().push(Tried { began, fault });
    }

    async fn try_for_ever(&self, what: Watched) {
        let mut renewal = None;
        // The other API servers take turns.
        for survivor in self.candidate.survivors.iter().cycle() {
            let began = Instant::now();
            let tried = timeout(TRY, self.try_once(&what, *survivor, &mut renewal)).await;
            let fault = match tried {
                Ok(done) => done.err(),
                Err(_) => Some(format!("no answer within {} s", TRY.as_secs())),
            };
            self.note(what.clone(), began, fault);
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn try_once(
        &self,
        what: &Watched,
        survivor: SocketAddr,
        renewal: &mut Option<(Timestamp, Instant)>,
    ) -> Result<(), String> {
        let stopped = &self.candidate;
        match what {
            Watched::Stopped => self.send(Call::url("/readyz").at_instance(stopped.address).on_new_connection()).await,
            Watched::Endpoint => self.send(Call::url("/readyz").on_new_connection()).await,
            Watched::Write => {
                let written = json!({ "metadata": { "annotations": { WRITTEN: Timestamp::now().to_string() } } });
                let account = Level::Watching.name(&self.live.inputs.run);
                let call = Call::patch::<ServiceAccount>(account, written).in_namespace(self.runner.site.namespace());
                self.send(call.at_instance(survivor)).await
            }
            Watched::Published => {
                let call = published::request().at_instance(survivor);
                let named = published::slices(&self.live.cluster, call).await.map_err(|e| e.to_string())?;
                if named.contains(&stopped.address) { Err(format!("it contains {}", stopped.address)) } else { Ok(()) }
            }
            Watched::Lease(component) => {
                let call = leases::request(component).at_instance(survivor);
                let (lease, _) = leases::read(&self.live.cluster, &call).await.map_err(|e| e.to_string())?;
                let now = Instant::now();
                let (_, seen) = *renewal.insert(match *renewal {
                    Some((renewed, seen)) if renewed == lease.renewed => (renewed, seen),
                    _ => (lease.renewed, now),
                });
                if is_held_on(&lease.holder, &stopped.node) {
                    Err(format!("{} holds it", lease.holder))
                } else if now - seen > RENEWAL {
                    Err(format!("{} does not renew it", lease.holder))
                } else {
                    Ok(())
                }
            }
            // Pods try these.
            Watched::Api(_) | Watched::Dns(_) => Ok(()),
        }
    }

    async fn send(&self, call: Call) -> Result<(), String> {
        let reply = self.live.cluster.send(&call).await;
        reply.and_then(|reply| reply.accepted(&call)).map_err(|why| why.to_string())
    }

    /// Reads the tries of a pod from its log, through an API server: the loss of one may break the stream, or leave it
    /// hanging.
    async fn read_for_ever(&self, node: &str, pod: &str) {
        let mut log = Log { known: 0, began: None };
        loop {
            // The next stream contains what is missing.
            let _ = self.read(node, pod, &mut log).await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn read(&self, node: &str, pod: &str, log: &mut Log) -> std::io::Result<()> {
        let call = Call::get_in::<Pod>(self.runner.site.namespace(), pod);
        let call = call.subresource("log").with("follow", "true").on_new_connection();
        let stream = timeout(TRY, self.live.cluster.stream(&call)).await?;
        let mut lines = stream.map_err(std::io::Error::other)?.lines();
        let mut number = 0;
        while let Some(line) = timeout(SILENCE, lines.next_line()).await?? {
            number += 1;
            if number <= log.known {
                continue;
            }
            let Try { target, at_ms, fault } = serde_json::from_str(&line)?;
            log.known = number;
            let what =
                tried_in(node, &target).ok_or_else(|| std::io::Error::other(format!("unknown target {target}")))?;
            self.note(what, log.moment(at_ms), fault.map(|fault| fault.to_string()));
        }
        Ok(())
    }
}

/// The part of a pod's log that is known.
struct Log {
    known: usize,
    /// When the pod began by our clock: the earliest moment that its lines allow, which may arrive late.
    began: Option<Instant>,
}

impl Log {
    fn moment(&mut self, at_ms: u64) -> Instant {
        let at = Duration::from_millis(at_ms);
        let now = Instant::now();
        let latest = now.checked_sub(at).unwrap_or(now);
        let began = self.began.map_or(latest, |began| began.min(latest));
        self.began = Some(began);
        began + at
    }
}

fn watched(pods: &BTreeMap<String, String>) -> impl Iterator<Item = Watched> {
    let leases = COMPONENTS.map(|component| Watched::Lease(component.into()));
    let pods = pods.keys().flat_map(|node| [Watched::Api(node.clone()), Watched::Dns(node.clone())]);
    [Watched::Stopped, Watched::Endpoint, Watched::Write, Watched::Published].into_iter().chain(leases).chain(pods)
}

/// The thing that a pod of this node tries under this name.
fn tried_in(node: &str, target: &str) -> Option<Watched> {
    match target {
        API => Some(Watched::Api(node.to_owned())),
        NAMES => Some(Watched::Dns(node.to_owned())),
        _ => None,
    }
}

/// When the failures at the end began, if there are enough of them.
fn gone_since(tries: &[Tried]) -> Option<Instant> {
    let alive = tries.iter().rposition(|tried| tried.fault.is_none()).map_or(0, |last| last + 1);
    let dead = &tries[alive..];
    dead.first().filter(|_| dead.len() >= GONE).map(|first| first.began)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_asked_for_counts_for_nothing() {
        assert_eq!(tried_in("n1", "api"), Some(Watched::Api("n1".into())));
        assert_eq!(tried_in("n1", "dns"), Some(Watched::Dns("n1".into())));
        assert_eq!(tried_in("n1", "names"), None);
    }
}
