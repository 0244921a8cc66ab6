//! The answers of kubelets to an account with the rights of monitoring only.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::nodes::Nodes;
use super::probe_reports::{ProbeReport, ProbeReports};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::probe::batch::Batch;
use crate::probe::collect::Patience;
use crate::probe::deploy::Site;
use crate::probe::endpoint::Endpoint;
use crate::probe::fault::{Fault, Got};
use crate::probe::object::Level;
use crate::probe::reached::Met;
use crate::probe::{Answers, Questions};
use crate::seen::{Access, Seen, Unobserved};

/// The paths of a kubelet that the account may read, and the right for each.
pub const OPEN: [(&str, &str); 3] =
    [("/configz", "nodes/configz"), ("/healthz", "nodes/healthz"), ("/metrics", "nodes/metrics")];
/// The path that it may not read: `nodes/pods`, or `nodes/proxy` with kubelets that do not support finer rights.
pub const CLOSED: &str = "/pods";
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(4);
/// The time after which a probe sends what it has.
const DEADLINE: Duration = Duration::from_secs(10);

/// The status of requests to each Linux node's kubelet, by node and path, with the token of a service account that may
/// get `nodes/configz`, `nodes/healthz` and `nodes/metrics`.
///
/// Each kubelet is asked by a pod on its own node, whose kubelet has given the pod its token anyway.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KubeletMonitoring(pub BTreeMap<String, Seen<BTreeMap<String, Got<u16>>>>);

impl Observe for KubeletMonitoring {
    type Needs<'a> = (&'a Nodes, &'a ProbeReports);
    const NAME: &'static str = "kubelet-monitoring";
    const ACCESS: Access = Access::Grant;
    const RULES: &'static [Rule] = &[
        Rule::own_namespace("", "namespaces", &["create", "delete", "get"]),
        Rule::own_namespace("", "serviceaccounts", &["create", "delete"]),
        Rule::own_namespace("networking.k8s.io", "networkpolicies", &["create", "deletecollection"]),
        Rule::own_namespace("", "pods", &["create", "deletecollection", "watch"]),
        Rule::own_namespace("rbac.authorization.k8s.io", "clusterroles", &["create"]),
        Rule::own_namespace("rbac.authorization.k8s.io", "clusterrolebindings", &["create"]),
        // RBAC lets us grant only rights that we have.
        Rule::own_namespace("", "nodes/configz", &["get"]),
        Rule::own_namespace("", "nodes/healthz", &["get"]),
        Rule::own_namespace("", "nodes/metrics", &["get"]),
    ];
    const DEADLINE: Duration = Duration::from_secs(60);

    async fn observe(live: &Live, (nodes, probes): Self::Needs<'_>) -> Seen<Self> {
        let run = &live.inputs.run;
        if let Some(namespace) = &live.inputs.namespace {
            let why = "a right on nodes needs a ClusterRole, and a run in an existing namespace creates nothing outside of it";
            return Err(Unobserved::absent(format!("{why}: {namespace}")));
        }
        let site = Site::prepare(live, Level::Monitoring).await?;
        site.grant(&OPEN.map(|(_, right)| right)).await?;
        let name = Level::Monitoring.name(run);
        let (mut questions, mut statuses) = (BTreeMap::new(), BTreeMap::new());
        for (i, (node, probe)) in probes.0.iter().enumerate() {
            match kubelet(nodes, node, probe) {
                Ok(kubelet) => {
                    let endpoints = paths().map(|path| Endpoint::get_with_token(kubelet, path)).collect();
                    let none = Questions::none(Batch::of(run.clone(), ANSWER, DEADLINE));
                    let asked = Questions { reached: endpoints, ..none };
                    questions.insert(node.clone(), (format!("{name}-{i}"), asked));
                }
                Err(why) => drop(statuses.insert(node.clone(), Err(why))),
            }
        }
        let collected = site.answers(&questions, &[], Patience::with(DEADLINE)).await;
        statuses.extend(collected.into_iter().map(|(node, collected)| {
            let statuses = collected.answers(&node).map(|answers| statuses_of(&questions[&node].1.reached, &answers));
            (node, statuses)
        }));
        Ok(Self(statuses))
    }
}

/// The address of a node's kubelet. Nodes on which no probe started are left out.
fn kubelet(nodes: &Nodes, name: &str, probe: &ProbeReport) -> Seen<SocketAddr> {
    probe.answers.as_ref().map_err(Clone::clone)?;
    let node = nodes.0.get(name).ok_or_else(|| Unobserved::absent(format!("there is no Node {name}")))?;
    node.kubelet(name)
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

crate::observed!(KubeletMonitoring);
