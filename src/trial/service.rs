//! A Service that gets a backend and is deleted, watched from many nodes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::runner::Runner;
use super::tries::Tries;
use crate::live::Live;
use crate::milliseconds::milliseconds;
use crate::probe::PORT;
use crate::probe::ask::watch::{Try, WatchQuestions, WatchTarget};
use crate::probe::object::Level;
use crate::probe::sight::Sight;
use crate::probe::trial::TrialPod;
use crate::rule::Rule;
use crate::seen::{Seen, Unobserved};

/// The permissions that it takes.
pub(crate) const RULES: &[Rule] = Level::Served.rules();

/// How long nodes may take to report.
const VOICE: Duration = Duration::from_secs(5);
/// How long nodes may take to learn of a change: longer than they should, to distinguish late from never.
const PATIENCE: Duration = Duration::from_secs(30);
/// The backend's role.
const SERVER: &str = "server";
/// The only target of the watching pods.
const TARGET: &str = "service";

/// What the nodes saw of the changes.
pub(crate) struct Changes {
    /// How long the nodes were watched after the backend ran, in milliseconds.
    pub opening_ms: u64,
    /// How long the nodes were watched after the Service was deleted, in milliseconds.
    pub closing_ms: u64,
    /// What each saw.
    pub nodes: BTreeMap<String, Seen<ServiceSights>>,
}

/// The Service as a pod on one node saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceSights {
    /// After the backend ran.
    pub opened: Sight,
    /// After the Service was deleted, if it had worked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Sight>,
}

/// Creates a Service, gives it a backend on one node, and deletes it, while these nodes watch. A node that cannot
/// watch keeps the reason.
pub(crate) async fn run(live: &Live, backend_on: &str, watching: &[(&str, Seen<()>)]) -> Seen<Changes> {
    let runner = Runner::prepare(live, Level::Served).await?;
    let at = SocketAddr::new(runner.site.trial_service(SERVER).await?, PORT);
    let targets = [(TARGET.to_owned(), WatchTarget::Probe(at))].into();
    let watch = WatchQuestions { run: live.inputs.run.clone(), targets };
    let started = watching.iter().enumerate().map(async |(i, (node, able))| {
        let started = match able {
            Ok(()) => runner.start(&[TrialPod { role: &i.to_string(), node, watch: Some(&watch) }]).await,
            Err(why) => Err(why.clone()),
        };
        ((*node).to_owned(), started)
    });
    let (mut pods, mut lost) = (Vec::new(), BTreeMap::new());
    for (node, started) in join_all(started).await {
        match started {
            Ok(started) => pods.extend(started.into_iter().map(|(pod, _)| (node.clone(), pod))),
            Err(why) => drop(lost.insert(node, why)),
        }
    }
    let nodes: Vec<String> = pods.iter().map(|(node, _)| node.clone()).collect();
    let backend = TrialPod { role: SERVER, node: backend_on, watch: None };
    runner.beside(&pods, async |tries| Watchers { nodes, lost, tries }.go(&runner, backend).await).await
}

/// The watching nodes, the lost ones and why, and the reported tries.
struct Watchers {
    nodes: Vec<String>,
    lost: BTreeMap<String, Unobserved>,
    tries: Tries<String>,
}

impl Watchers {
    /// Gives the Service a backend, then deletes the Service.
    async fn go(mut self, runner: &Runner<'_>, backend: TrialPod<'_>) -> Seen<Changes> {
        // Without a backend there is no answer. A node that reports nothing now would report nothing later.
        let (_, silence) = self.look(VOICE, |_| true).await;
        self.keep(&silence);
        let (pod, _) = runner.start(&[backend]).await?.remove(0);
        let (opening_ms, mut opened) = self.look(PATIENCE, Sight::is_open).await;
        self.keep(&opened);
        self.nodes.retain(|node| opened.get(node).is_some_and(Sight::is_open));
        runner.site.withdraw_services().await?;
        let (closing_ms, mut closed) = self.look(PATIENCE, |sight| !sight.is_open() && sight.is_steady()).await;
        self.keep(&closed);
        // A Service that does not answer because its backend ended shows nothing.
        runner.until_running(&[pod]).await?;
        opened.retain(|node, _| !self.lost.contains_key(node));
        let seen = opened.into_iter().map(|(node, opened)| {
            let closed = closed.remove(&node);
            (node, Ok(ServiceSights { opened, closed }))
        });
        let nodes = seen.chain(self.lost.into_iter().map(|(node, why)| (node, Err(why)))).collect();
        Ok(Changes { opening_ms, closing_ms, nodes })
    }

    /// Watches until all see what they should, or the time is over. Returns how long that was, in milliseconds.
    async fn look(&mut self, patience: Duration, is_done: impl Fn(&Sight) -> bool) -> (u64, BTreeMap<String, Sight>) {
        let began = Instant::now();
        let mut sights: BTreeMap<String, Sight> = BTreeMap::new();
        // Older tries do not count.
        while let Some((node, old)) = self.tries.arrived() {
            self.lose(node, old);
        }
        while !self.nodes.iter().all(|node| sights.get(node).is_some_and(&is_done)) {
            let left = patience.saturating_sub(began.elapsed());
            let Some((node, reported)) = self.tries.next(left).await else { break };
            let Some(Try { fault, .. }) = self.lose(node.clone(), reported) else { continue };
            // A node that saw the change keeps the time of it.
            if !sights.get(&node).is_some_and(&is_done) {
                let sight = Sight::with(sights.remove(&node), fault, began.elapsed());
                sights.insert(node, sight);
            }
        }
        (milliseconds(began.elapsed()), sights)
    }

    /// Adds a try; a node whose log ended is lost.
    fn lose(&mut self, node: String, reported: Seen<Try>) -> Option<Try> {
        reported
            .map_err(|why| {
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

    fn reported(fault: Option<Fault>) -> Try {
        Try { target: TARGET.into(), fault, at_ms: 0 }
    }

    #[tokio::test]
    async fn a_look_lasts_until_every_node_has_seen_the_change() {
        let tries = Tries::queue();
        let sender = tries.sender();
        let mut watchers = Watchers { nodes: vec!["n1".into(), "n2".into()], lost: BTreeMap::new(), tries };
        sender.send(("n1".to_owned(), Ok(reported(None)))).await.unwrap();
        let later = async {
            tokio::task::yield_now().await;
            for (node, fault) in [
                ("n1", Some(Fault::Refused)),
                ("n1", None),
                ("n1", Some(Fault::TimedOut)),
                ("n2", Some(Fault::Refused)),
                ("n2", None),
            ] {
                sender.send((node.to_owned(), Ok(reported(fault)))).await.unwrap();
            }
        };
        let ((_, opened), ()) = tokio::join!(watchers.look(PATIENCE, Sight::is_open), later);
        assert!(opened.values().all(Sight::is_open) && opened.len() == 2, "{opened:?}");
        let once = watchers.look(Duration::ZERO, |sight| !sight.is_open() && sight.is_steady()).await.1;
        assert!(once.is_empty(), "older tries do not count");
    }

    #[tokio::test]
    async fn a_node_that_falls_silent_is_lost_and_the_others_go_on() {
        let tries = Tries::queue();
        let sender = tries.sender();
        let nodes = ["n1", "n2", "n3"].map(str::to_owned).into();
        let mut watchers = Watchers { nodes, lost: BTreeMap::new(), tries };
        let later = async {
            tokio::task::yield_now().await;
            sender.send(("n2".to_owned(), Err(Unobserved::Interrupted))).await.unwrap();
            sender.send(("n1".to_owned(), Ok(reported(None)))).await.unwrap();
        };
        let ((_, seen), ()) = tokio::join!(watchers.look(Duration::from_millis(50), |_| true), later);
        watchers.keep(&seen);
        assert_eq!(watchers.nodes, ["n1"]);
        assert_eq!(watchers.lost.keys().collect::<Vec<_>>(), ["n2", "n3"]);
    }
}
