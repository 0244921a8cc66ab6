//! Requests to kubelets with the token of an account that may read what monitoring reads, and nothing else.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::live::Live;
use crate::probe::batch::Batch;
use crate::probe::collect::Patience;
use crate::probe::deploy::Site;
use crate::probe::endpoint::Endpoint;
use crate::probe::fault::{Fault, Got};
use crate::probe::object::{Level, OnlyAsks};
use crate::probe::reached::Met;
use crate::probe::{Answers, Questions};
use crate::rule::Rule;
use crate::seen::{Seen, Unobserved};

/// The paths of a kubelet that the account may read, and the right for each.
pub(crate) const OPEN: [(&str, &str); 3] =
    [("/configz", "nodes/configz"), ("/healthz", "nodes/healthz"), ("/metrics", "nodes/metrics")];
/// The path that it may not read: `nodes/pods`, or `nodes/proxy` with kubelets that do not support finer rights.
pub(crate) const CLOSED: &str = "/pods";
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(4);
/// The time after which a probe sends what it has.
const DEADLINE: Duration = Duration::from_secs(10);

const SITE: &[Rule] = Level::Monitoring.rules();
/// RBAC lets us grant only rights that we have.
const GRANTED: &[Rule] = &[
    Rule::own_namespace("", OPEN[0].1, &["get"]),
    Rule::own_namespace("", OPEN[1].1, &["get"]),
    Rule::own_namespace("", OPEN[2].1, &["get"]),
];
/// The permissions that it takes.
pub(crate) const RULES: &[Rule] = &Rule::joined::<{ SITE.len() + GRANTED.len() }>(SITE, GRANTED);

/// Asks these kubelets, given by node, each by a pod on its own node. Returns the statuses by path.
pub(crate) async fn run(
    live: &Live,
    kubelets: BTreeMap<String, Seen<SocketAddr>>,
) -> Seen<BTreeMap<String, Seen<BTreeMap<String, Got<u16>>>>> {
    let run = &live.inputs.run;
    if let Some(namespace) = &live.inputs.namespace {
        let why =
            "a right on nodes needs a ClusterRole, and a run in an existing namespace creates nothing outside of it";
        return Err(Unobserved::absent(format!("{why}: {namespace}")));
    }
    let site = Site::prepare(live, Level::Monitoring).await?;
    site.grant(&OPEN.map(|(_, right)| right)).await?;
    let name = Level::Monitoring.name(run);
    let (mut questions, mut statuses) = (BTreeMap::new(), BTreeMap::new());
    for (i, (node, kubelet)) in kubelets.into_iter().enumerate() {
        match kubelet {
            Ok(kubelet) => {
                let endpoints = paths().map(|path| Endpoint::get_with_token(kubelet, path)).collect();
                let none = Questions::none(Batch::of(run.clone(), ANSWER, DEADLINE));
                let asked = Questions { reached: endpoints, ..none };
                questions.insert(node, (format!("{name}-{i}"), OnlyAsks(asked)));
            }
            Err(why) => drop(statuses.insert(node, Err(why))),
        }
    }
    let collected = site.answers(&questions, &[], Patience::with(DEADLINE)).await;
    statuses.extend(collected.into_iter().map(|(node, collected)| {
        let statuses = collected.answers(&node).map(|answers| statuses_of(&questions[&node].1.0.reached, &answers));
        (node, statuses)
    }));
    Ok(statuses)
}

/// All questions.
fn paths() -> impl Iterator<Item = &'static str> {
    OPEN.into_iter().map(|(path, _)| path).chain([CLOSED])
}

/// The statuses of the answers, by path.
fn statuses_of(asked: &[Endpoint], answers: &Answers) -> BTreeMap<String, Got<u16>> {
    paths()
        .zip(asked)
        .map(|(path, endpoint)| {
            let status = match answers.reached.at(endpoint) {
                Some(Ok(Met::Status(status))) => Ok(*status),
                Some(Err(fault)) => Err(fault.clone()),
                Some(Ok(_)) | None => Err(Fault::Other("it was not asked".into())),
            };
            (path.to_owned(), status)
        })
        .collect()
}
