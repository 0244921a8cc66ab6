//! Whether nodes start to serve a Service when it gets a backend, and stop when it is deleted.

pub use crate::probe::sight::Sight;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::nodes::{Node, Nodes};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::milliseconds::milliseconds;
use crate::probe::PORT;
use crate::probe::ask::watch::{Try, WatchQuestions, WatchTarget};
use crate::probe::collect::running;
use crate::probe::deploy::Site;
use crate::probe::follow::follow;
use crate::probe::object::Level;
use crate::probe::trial::TrialPod;
use crate::seen::{Access, Seen, Unobserved};

/// The most watching nodes: each takes a pod.
const MOST: usize = 20;
/// How long pods may take to start.
const START: Duration = Duration::from_secs(30);
/// How long nodes may take to report.
const VOICE: Duration = Duration::from_secs(5);
/// How long nodes may take to learn of a change: longer than they should, to distinguish late from never.
const PATIENCE: Duration = Duration::from_secs(30);
/// The backend's role.
const SERVER: &str = "server";
/// The only target of the watching pods.
const TARGET: &str = "service";
/// The capacity of the queue of answers.
const WAITING: usize = 64;

/// Whether nodes start to serve a Service when it gets a backend, and stop when it is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceTrial {
    /// How long the nodes were watched after the backend ran, in milliseconds.
    pub opening_ms: u64,
    /// How long the nodes were watched after the Service was deleted, in milliseconds.
    pub closing_ms: u64,
    /// The results, by node.
    pub nodes: BTreeMap<String, Seen<ServiceSights>>,
    /// How many other nodes there are.
    pub others: usize,
}

/// The Service as a pod on one node saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSights {
    /// After the backend ran.
    pub opened: Sight,
    /// After the Service was deleted, if it had worked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Sight>,
}

impl Observe for ServiceTrial {
    type Needs<'a> = (&'a Nodes,);
    const NAME: &'static str = "service-trial";
    const ACCESS: Access = Access::Create;
    const RULES: &'static [Rule] = &[
        Rule::own_namespace("", "namespaces", &["create", "delete", "get"]),
        Rule::probes("", "serviceaccounts", &["create", "delete"]),
        Rule::probes("", "services", &["create", "deletecollection"]),
        Rule::probes("networking.k8s.io", "networkpolicies", &["create", "deletecollection"]),
        Rule::probes("", "pods", &["create", "deletecollection", "watch"]),
        Rule::probes("", "pods/log", &["get"]),
    ];
    const DEADLINE: Duration = Duration::from_secs(150);

    async fn observe(live: &Live, (nodes,): Self::Needs<'_>) -> Seen<Self> {
        let (backend_on, _) = nodes.ready_workers_first()?[0];
        let site = Site::prepare(live, Level::Served).await?;
        let at = SocketAddr::new(site.trial_service(SERVER).await?, PORT);
        let targets = [(TARGET.to_owned(), WatchTarget::Probe(at))].into();
        let watch = WatchQuestions { run: live.inputs.run.clone(), targets };
        let watching: Vec<(&String, &Node)> = nodes.sample(MOST).collect();
        let others = nodes.0.len() - watching.len();
        let linux =
            watching.into_iter().filter(|(_, node)| node.operating_system == "linux" && !node.is_virtual()).enumerate();
        let started = linux.map(async |(i, (name, node))| {
            (name.clone(), start_watching(live, &site, &i.to_string(), name, node, &watch).await)
        });
        let (pods, unwatched) = apart(join_all(started).await);
        let (told, tries) = mpsc::channel(WAITING);
        let logs = pods.iter().map(|(node, pod)| {
            follow(&live.cluster, site.namespace(), pod, told.clone(), move |tried| (node.clone(), tried))
        });
        let watchers = Watchers { nodes: pods.keys().cloned().collect(), lost: unwatched, tries };
        let backend = TrialPod { role: SERVER, node: backend_on, watch: None };
        tokio::select! {
            seen = watchers.go(live, &site, &backend) => {
                seen.map(|(opening_ms, closing_ms, nodes)| {
                    Self { opening_ms, closing_ms, nodes, others }
                })
            }
            // The logs end only with the pods, and the tries then report that.
            never = async { join_all(logs).await; pending::<Infallible>().await } => match never {},
        }
    }
}

crate::observed!(ServiceTrial);

/// Creates a watching pod, and waits until it runs.
async fn start_watching(
    live: &Live,
    site: &Site<'_>,
    role: &str,
    name: &str,
    node: &Node,
    watch: &WatchQuestions,
) -> Seen<String> {
    if !node.is_ready() {
        return Err(Unobserved::unreachable(format!("the kubelet of {name}"), "the node is not Ready"));
    }
    let pod = site.trial_pod(&TrialPod { role, node: name, watch: Some(watch) }).await?;
    started(live, site, &pod).await?;
    Ok(pod)
}

async fn started(live: &Live, site: &Site<'_>, pod: &String) -> Seen<()> {
    running(&live.cluster, site.namespace(), &live.inputs.run, std::slice::from_ref(pod), START).await.map(drop)
}

/// The nodes that were seen, and why the others were not.
fn apart<T>(all: impl IntoIterator<Item = (String, Seen<T>)>) -> (BTreeMap<String, T>, BTreeMap<String, Unobserved>) {
    let (mut seen, mut unseen) = (BTreeMap::new(), BTreeMap::new());
    for (key, one) in all {
        match one {
            Ok(one) => drop(seen.insert(key, one)),
            Err(why) => drop(unseen.insert(key, why)),
        }
    }
    (seen, unseen)
}

/// The watching nodes, the lost ones and why, and the reported tries.
struct Watchers {
    nodes: Vec<String>,
    lost: BTreeMap<String, Unobserved>,
    tries: mpsc::Receiver<(String, Seen<Try>)>,
}

impl Watchers {
    /// Gives the Service a backend, then deletes the Service. Returns how long each took to watch, and what was seen.
    async fn go(
        mut self,
        live: &Live,
        site: &Site<'_>,
        backend: &TrialPod<'_>,
    ) -> Seen<(u64, u64, BTreeMap<String, Seen<ServiceSights>>)> {
        // Without a backend there is no answer. A node that reports nothing now would report nothing later.
        let (_, silence) = self.look(VOICE, |_| true).await;
        self.keep(&silence);
        let pod = site.trial_pod(backend).await?;
        started(live, site, &pod).await?;
        let (opening_ms, mut opened) = self.look(PATIENCE, Sight::is_open).await;
        self.keep(&opened);
        self.nodes.retain(|node| opened.get(node).is_some_and(Sight::is_open));
        site.withdraw_services().await?;
        let (closing_ms, mut closed) = self.look(PATIENCE, |sight| !sight.is_open() && sight.is_steady()).await;
        self.keep(&closed);
        // A Service that does not answer because its backend ended shows nothing.
        started(live, site, &pod).await?;
        opened.retain(|node, _| !self.lost.contains_key(node));
        let seen = opened.into_iter().map(|(node, opened)| {
            let closed = closed.remove(&node);
            (node, Ok(ServiceSights { opened, closed }))
        });
        let seen = seen.chain(self.lost.into_iter().map(|(node, why)| (node, Err(why)))).collect();
        Ok((opening_ms, closing_ms, seen))
    }

    /// Watches until all see what they should, or the time is over. Returns how long that was, in milliseconds.
    async fn look(&mut self, patience: Duration, is_done: impl Fn(&Sight) -> bool) -> (u64, BTreeMap<String, Sight>) {
        let began = Instant::now();
        let mut sights: BTreeMap<String, Sight> = BTreeMap::new();
        // Older tries do not count.
        while let Ok((node, old)) = self.tries.try_recv() {
            self.lose(node, old);
        }
        while !self.nodes.iter().all(|node| sights.get(node).is_some_and(&is_done)) {
            let left = patience.saturating_sub(began.elapsed());
            let Ok(Some((node, told))) = tokio::time::timeout(left, self.tries.recv()).await else { break };
            let Some(Try { fault, .. }) = self.lose(node.clone(), told) else { continue };
            // A node that saw the change keeps the time of it.
            if !sights.get(&node).is_some_and(&is_done) {
                let sight = Sight::with(sights.remove(&node), fault, began.elapsed());
                sights.insert(node, sight);
            }
        }
        (milliseconds(began.elapsed()), sights)
    }

    /// Adds a try; a node whose log ended is lost.
    fn lose(&mut self, node: String, told: Seen<Try>) -> Option<Try> {
        told.map_err(|why| {
            self.nodes.retain(|other| *other != node);
            self.lost.insert(node, why);
        })
        .ok()
    }

    /// Continues with the nodes that have reported something.
    fn keep(&mut self, sights: &BTreeMap<String, Sight>) {
        for node in self.nodes.extract_if(.., |node| !sights.contains_key(node)) {
            let why = Unobserved::unreachable(format!("the log of the probe on {node}"), "it is empty");
            self.lost.insert(node, why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::fault::Fault;

    fn told(fault: Option<Fault>) -> Try {
        Try { target: TARGET.into(), fault, at_ms: 0 }
    }

    #[tokio::test]
    async fn a_look_lasts_until_every_node_has_seen_the_change() {
        let (tell, tries) = mpsc::channel(WAITING);
        let mut watchers = Watchers { nodes: vec!["n1".into(), "n2".into()], lost: BTreeMap::new(), tries };
        tell.send(("n1".to_owned(), Ok(told(None)))).await.unwrap();
        let later = async {
            tokio::task::yield_now().await;
            for (node, fault) in [
                ("n1", Some(Fault::Refused)),
                ("n1", None),
                ("n1", Some(Fault::TimedOut)),
                ("n2", Some(Fault::Refused)),
                ("n2", None),
            ] {
                tell.send((node.to_owned(), Ok(told(fault)))).await.unwrap();
            }
        };
        let ((_, opened), ()) = tokio::join!(watchers.look(PATIENCE, Sight::is_open), later);
        assert!(opened.values().all(Sight::is_open) && opened.len() == 2, "{opened:?}");
        let once = watchers.look(Duration::ZERO, |sight| !sight.is_open() && sight.is_steady()).await.1;
        assert!(once.is_empty(), "older tries do not count");
    }

    #[tokio::test]
    async fn a_node_that_falls_silent_is_lost_and_the_others_go_on() {
        let (tell, tries) = mpsc::channel(WAITING);
        let nodes = ["n1", "n2", "n3"].map(str::to_owned).into();
        let mut watchers = Watchers { nodes, lost: BTreeMap::new(), tries };
        let later = async {
            tokio::task::yield_now().await;
            tell.send(("n2".to_owned(), Err(Unobserved::Interrupted))).await.unwrap();
            tell.send(("n1".to_owned(), Ok(told(None)))).await.unwrap();
        };
        let ((_, seen), ()) = tokio::join!(watchers.look(Duration::from_millis(50), |_| true), later);
        watchers.keep(&seen);
        assert_eq!(watchers.nodes, ["n1"]);
        assert_eq!(watchers.lost.keys().collect::<Vec<_>>(), ["n2", "n3"]);
    }
}
