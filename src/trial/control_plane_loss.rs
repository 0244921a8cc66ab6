//! The loss of a control-plane node, and its return.

pub(crate) mod course;
pub(crate) mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use serde::{Deserialize, Serialize};

use super::runner;
use crate::cluster::{Call, Cluster, until};
use crate::control_plane::{leases, published};
use crate::drill::Guarded;
use crate::drill::guard::STOP;
use crate::drill::guarded::START;
use crate::live::Live;
use crate::milliseconds::milliseconds;
use crate::probe::object::Level;
use crate::rule::Rule;
use crate::seen::{Seen, Unobserved};
use course::Course;
use watch::{Candidate, Scene, Targets, Watched};

const SITE: &[Rule] = Level::Watching.rules();
const LOOKS: &[Rule] = &[
    Rule::cluster("", "nodes", &["list"]),
    Rule::cluster("", "pods", &["list"]),
    published::RULE,
    Rule::namespaced("default", "", "endpoints", &["get"]).named(&["kubernetes"]),
    leases::RULE,
    Rule::namespaced("kube-node-lease", "coordination.k8s.io", "leases", &["get"]),
    Rule::urls(&["/livez", "/readyz"]),
];
/// The permissions that it takes, with those for the choice of the node.
pub(crate) const RULES: &[Rule] = &Rule::joined::<{ SITE.len() + LOOKS.len() }>(SITE, LOOKS);

/// How long everything may take to work before anything is stopped.
const BEFORE: Duration = Duration::from_secs(30);
/// How long a node may run on after the stop command has ended.
const GONE: Duration = Duration::from_secs(60);
/// How long the cluster is watched without the node.
const LOSS: Duration = Duration::from_secs(60);
/// How long the node may take to return after the start command has ended.
pub(crate) const RESTORED: Duration = Duration::from_secs(300);
/// The pause between two looks at whether it has returned.
const PAUSE: Duration = Duration::from_millis(500);

/// The course of the cluster while a control-plane node was stopped and started again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ControlPlaneLoss {
    /// The node.
    pub node: String,
    /// The address of its API server.
    pub address: SocketAddr,
    /// The components whose lease it held.
    pub leads: Vec<String>,
    /// The course of everything that was watched while it was down, or why that was not seen.
    pub loss: Seen<Vec<(Watched, Course)>>,
    /// The start command.
    pub start: String,
    /// How the start command failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_failed: Option<String>,
    /// After how many milliseconds each sign of its return was seen; none for a sign that was not.
    pub restored: Seen<BTreeMap<Sign, Option<u64>>>,
    /// The signs that could not be checked, and why not.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unseen: BTreeMap<Sign, Unobserved>,
}

/// A sign that a node is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sign {
    /// Its API server is ready, for which it needs the node's member of etcd.
    ApiServer,
    /// The EndpointSlice of Service default/kubernetes contains its API server.
    Published,
    /// The node is Ready, and its kubelet has renewed its lease since.
    Node,
}

/// Stops a node and starts it again, while everything that matters is watched.
///
/// The candidate is chosen only when the drill may begin. `ready` looks which nodes are Ready.
pub(crate) async fn run<R: Future<Output = Seen<BTreeSet<String>>>>(
    live: &Live,
    candidate: impl Future<Output = Seen<Candidate>>,
    targets: Targets,
    ready: impl Fn() -> R,
) -> Seen<ControlPlaneLoss> {
    let Live { cluster, inputs, .. } = live;
    let power = inputs.power.as_ref();
    let power = power.ok_or_else(|| Unobserved::absent("--stop-node is not given, so that no node can be stopped"))?;
    let needed = runner::START + BEFORE + STOP + GONE + LOSS + START + RESTORED;
    if cluster.deadline(needed) < needed {
        let cause = format!("the drill may take {} s, and less is left", needed.as_secs());
        return Err(Unobserved::invalid("the run's --timeout", cause));
    }
    let begun = async {
        let scene = Scene::prepare(live, candidate.await?, targets).await?;
        Ok((power.stop.of(&scene.candidate.node)?, power.start.of(&scene.candidate.node)?, scene))
    };
    let (stop, start, scene) = unless_stopped(cluster, Box::pin(begun)).await?;
    tokio::select! {
        drill = drill(live, &scene, &stop, start, ready) => drill,
        never = scene.watch() => match never {},
    }
}

/// Stops the node and starts it again.
async fn drill<R: Future<Output = Seen<BTreeSet<String>>>>(
    live: &Live,
    scene: &Scene<'_>,
    stop: &str,
    start: String,
    ready: impl Fn() -> R,
) -> Seen<ControlPlaneLoss> {
    let cluster = &live.cluster;
    let Candidate { node, address, leads, .. } = &scene.candidate;
    let renewed = unless_stopped(cluster, async {
        scene.works(BEFORE).await?;
        renewed(cluster, node).await
    })
    .await?;
    let unable = |e| Unobserved::invalid("the watchdog process that starts the node again", e);
    let program = std::env::current_exe().map_err(unable)?;
    let mut guarded = Guarded::stop(&program, stop, &start).map_err(unable)?;
    // From here on the node is or will be stopped. It is started in any case: at the latest when `guarded` is dropped.
    let loss = unless_stopped(cluster, lose(scene, &mut guarded)).await;
    let start_failed = guarded.start().await.err();
    let restored = match &start_failed {
        None => {
            let signs = async { Ok(restored(cluster, &scene.candidate, renewed, &ready).await) };
            unless_stopped(cluster, signs).await
        }
        Some(why) => Err(Unobserved::invalid("the command of --start-node", why)),
    };
    let (restored, unseen) = match restored {
        Ok(signs) => {
            let (looked_for, unseen) = told_apart(signs);
            (Ok(looked_for), unseen)
        }
        Err(why) => (Err(why), BTreeMap::new()),
    };
    Ok(ControlPlaneLoss {
        node: node.clone(),
        address: *address,
        leads: leads.clone(),
        loss,
        start,
        start_failed,
        restored,
        unseen,
    })
}

/// Waits for it, unless the run is stopped.
async fn unless_stopped<T>(cluster: &Cluster, doing: impl Future<Output = Seen<T>>) -> Seen<T> {
    tokio::select! {
        biased;
        () = cluster.cancelled() => Err(Unobserved::Interrupted),
        done = doing => done,
    }
}

/// Watches the cluster without the node.
async fn lose(scene: &Scene<'_>, guarded: &mut Guarded) -> Seen<Vec<(Watched, Course)>> {
    let command = |why: String| Unobserved::invalid("the command of --stop-node", why);
    guarded.stopped().await.map_err(command)?;
    let lost = scene.lost(GONE).await.ok_or_else(|| {
        let node = &scene.candidate.node;
        command(format!("the API server of {node} still answers {} s after it", GONE.as_secs()))
    })?;
    Ok(scene.courses(lost, LOSS).await)
}

/// The time of the last renewal of the node's lease.
async fn renewed(cluster: &Cluster, node: &str) -> Seen<Option<Timestamp>> {
    let lease: Lease = cluster.fetch(&Call::get_in::<Lease>("kube-node-lease", node)).await?;
    Ok(lease.spec.and_then(|spec| spec.renew_time).map(|at| at.0))
}

/// Waits for each sign, and returns after how many milliseconds it was seen, or why it could not be checked at the end.
async fn restored<R: Future<Output = Seen<BTreeSet<String>>>>(
    cluster: &Cluster,
    stopped: &Candidate,
    before: Option<Timestamp>,
    ready: &impl Fn() -> R,
) -> Vec<(Sign, Seen<Option<u64>>)> {
    let began = Instant::now();
    let signs = [Sign::ApiServer, Sign::Published, Sign::Node].map(async |sign| {
        // What fails while the control plane recovers may work the next time, and an API server that has just started
        // refuses all requests until it has read its rules: also a refusal counts only as the last answer.
        let look = async || Ok(shows(cluster, stopped, sign, before, ready).await);
        let shown = until(RESTORED, PAUSE, look, |seen| matches!(seen, Ok(Ok(true)))).await.flatten();
        (sign, shown.map(|shown| shown.then(|| milliseconds(began.elapsed()))))
    });
    join_all(signs).await
}

/// The signs that were checked, and those that could not be.
fn told_apart(signs: Vec<(Sign, Seen<Option<u64>>)>) -> (BTreeMap<Sign, Option<u64>>, BTreeMap<Sign, Unobserved>) {
    let (mut looked_for, mut unseen) = (BTreeMap::new(), BTreeMap::new());
    for (sign, seen) in signs {
        match seen {
            Ok(after) => drop(looked_for.insert(sign, after)),
            Err(why) => drop(unseen.insert(sign, why)),
        }
    }
    (looked_for, unseen)
}

async fn shows<R: Future<Output = Seen<BTreeSet<String>>>>(
    cluster: &Cluster,
    stopped: &Candidate,
    sign: Sign,
    before: Option<Timestamp>,
    ready: &impl Fn() -> R,
) -> Seen<bool> {
    match sign {
        Sign::ApiServer => {
            let call = Call::url("/readyz").at_instance(stopped.address).on_new_connection();
            is_ready(cluster.send(&call).await.and_then(|reply| reply.accepted(&call)))
        }
        Sign::Published => Ok(published::slices(cluster, published::request()).await?.contains(&stopped.address)),
        Sign::Node => Ok(ready().await?.contains(&stopped.node) && renewed(cluster, &stopped.node).await? > before),
    }
}

/// Whether an API server that was asked for its readiness is ready. One that does not answer is not.
fn is_ready(asked: Seen<()>) -> Seen<bool> {
    match asked {
        Ok(()) => Ok(true),
        Err(Unobserved::Unreachable { .. } | Unobserved::TimedOut { .. } | Unobserved::Invalid { .. }) => Ok(false),
        Err(why) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_down_differs_from_one_that_we_may_not_ask() {
        assert_eq!(is_ready(Ok(())), Ok(true));
        assert_eq!(is_ready(Err(Unobserved::unreachable("n3", "connection refused"))), Ok(false));
        assert_eq!(is_ready(Err(Unobserved::invalid("n3", "HTTP 500"))), Ok(false));
        let refused = Unobserved::Refused { missing: "get on /readyz".into(), message: "no".into() };
        assert_eq!(is_ready(Err(refused.clone())), Err(refused.clone()));
        let (looked_for, unseen) = told_apart(vec![(Sign::ApiServer, Err(refused)), (Sign::Node, Ok(None))]);
        assert_eq!((looked_for.len(), unseen.len()), (1, 1));
    }
}
