//! What probes on the nodes' own network and disks saw.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::nodes::{Node, Nodes};
use crate::cluster::Cluster;
use crate::fact::{Access, Observe, Rule, Seen, Unobserved};
use crate::milliseconds::milliseconds;
use crate::probe::answer::Got;
use crate::probe::collect::{Collected, collect};
use crate::probe::deploy::Site;
use crate::probe::host::answer::{DiskFile, HttpAnswer, Text};
use crate::probe::host::question::{Directory, Excerpt};
use crate::probe::host::{HostAnswers, HostQuestions};
use crate::probe::message;
use crate::probe::object::Level;

/// How long one HTTP answer may take.
const ANSWER: Duration = Duration::from_secs(2);
/// How long all probes have, from their creation to their answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// Directories that hold certificates, keys and kubeconfigs, and whether to look into what is in them.
const DIRECTORIES: [(&str, bool); 3] =
    [("/etc/kubernetes", false), ("/etc/kubernetes/pki", true), ("/var/lib/kubelet/pki", false)];
/// Where kube-proxy tells the mode in which it runs.
pub const PROXY_MODE: &str = "http://127.0.0.1:10249/proxyMode";
/// Where a member of etcd tells how it is, as kubeadm sets it up.
pub const ETCD_METRICS: &str = "http://127.0.0.1:2381/metrics";

/// What is asked by HTTP on each node: the URL, and what the wanted lines begin with.
const GETS: [(&str, &[&str]); 1] = [(PROXY_MODE, &[])];
/// What is asked by HTTP on control-plane nodes besides.
const CONTROL_PLANE_GETS: [(&str, &[&str]); 1] = [(
    ETCD_METRICS,
    &[
        "etcd_server_has_leader ",
        "etcd_server_is_learner ",
        "etcd_server_leader_changes_seen_total ",
        "etcd_mvcc_db_total_size_in_bytes ",
        "etcd_server_quota_backend_bytes ",
        "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.016\"}",
        "etcd_disk_wal_fsync_duration_seconds_count ",
        "etcd_disk_backend_commit_duration_seconds_bucket{le=\"0.032\"}",
        "etcd_disk_backend_commit_duration_seconds_count ",
        "process_start_time_seconds ",
    ],
)];
/// Files that are read on each node: the path, and what the wanted lines begin with. None may hold a secret.
const TEXTS: [(&str, &[&str]); 0] = [];

/// What the probes on all Linux nodes saw, by node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostReports(pub BTreeMap<String, HostReport>);

/// What the probe on one node saw, each part by a container of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostReport {
    /// The certificates, kubeconfigs and keys on disk.
    pub disk: Seen<Disk>,
    /// What HTTP servers answered, by URL.
    pub gets: Seen<BTreeMap<String, Got<HttpAnswer>>>,
    /// What text files hold, by path.
    pub texts: Seen<BTreeMap<String, Got<Text>>>,
}

/// The certificates, kubeconfigs and keys on one node's disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// What could not be looked at, by path, and why.
    pub unlisted: BTreeMap<String, String>,
    /// The files, by path.
    pub files: BTreeMap<String, DiskFile>,
}

impl Observe for HostReports {
    type Needs<'a> = (&'a Nodes,);
    const NAME: &'static str = "host-reports";
    const ACCESS: Access = Access::Privileged;
    const RULES: &'static [Rule] = &[
        Rule::own_namespace("", "namespaces", &["create", "delete", "get"]),
        Rule::probes("", "serviceaccounts", &["create", "delete"]),
        Rule::probes("", "pods", &["create", "deletecollection", "watch"]),
    ];
    const DEADLINE: Duration = Duration::from_secs(60);

    async fn observe(cluster: &Cluster, (nodes,): Self::Needs<'_>) -> Seen<Self> {
        let linux: Vec<_> = nodes.linux().collect();
        if linux.is_empty() {
            return Err(Unobserved::absent("no node runs Linux, which probes need"));
        }
        let site = Site::prepare(cluster, Level::Privileged).await?;
        let run = &cluster.settings().probe.run;
        let probes: BTreeMap<String, (String, HostQuestions)> = linux
            .iter()
            .enumerate()
            .map(|(i, (name, node))| {
                ((*name).clone(), (format!("{}-{i}", Level::Privileged.name(run)), questions(node)))
            })
            .collect();
        let made = site.host_pods(&probes).await;
        let refused: BTreeMap<&String, Unobserved> =
            probes.keys().zip(made).filter_map(|(node, made)| Some((node, made.err()?))).collect();
        let pod = |node: &String| probes.get(node).map(|(pod, _)| pod.clone());
        let pods: Vec<String> = probes.keys().filter(|node| !refused.contains_key(node)).filter_map(pod).collect();
        let doubtful: Vec<String> =
            linux.iter().filter(|(_, node)| !node.is_ready()).filter_map(|(name, _)| pod(name)).collect();
        let mut collected = if pods.is_empty() {
            BTreeMap::new()
        } else {
            collect(cluster, site.namespace(), run, &pods, &doubtful, PATIENCE).await
        };
        let report = |(node, (pod, _)): (&String, &(String, HostQuestions))| {
            let collected = match refused.get(node) {
                Some(why) => Collected::nothing(why.clone()),
                None => collected.remove(pod).unwrap_or_else(|| Collected::nothing(Unobserved::Interrupted)),
            };
            (node.clone(), HostReport::read(node, &collected))
        };
        Ok(Self(probes.iter().map(report).collect()))
    }
}

crate::observed!(HostReports);

fn questions(node: &Node) -> HostQuestions {
    let excerpts = |of: &[(&str, &[&str])]| of.iter().map(|(of, lines)| Excerpt::new(of, lines)).collect::<Vec<_>>();
    let mut gets = excerpts(&GETS);
    if node.is_control_plane() {
        gets.extend(excerpts(&CONTROL_PLANE_GETS));
    }
    HostQuestions {
        answer_ms: milliseconds(ANSWER),
        directories: DIRECTORIES
            .iter()
            .map(|(path, recursive)| Directory { path: (*path).to_owned(), recursive: *recursive })
            .collect(),
        gets,
        texts: excerpts(&TEXTS),
    }
}

impl HostReports {
    /// The wanted lines of what a server on a node's own network answered.
    pub fn lines(&self, node: &str, url: &str) -> Seen<&[String]> {
        let report =
            self.0.get(node).ok_or_else(|| Unobserved::absent(format!("no privileged probe ran on {node}")))?;
        let answer = report.gets.as_ref().map_err(Clone::clone)?;
        let target = format!("{url} on {node}");
        match answer.get(url) {
            None => Err(Unobserved::invalid(target, "it was not asked")),
            Some(Err(fault)) => Err(Unobserved::unreachable(target, fault)),
            Some(Ok(answer)) if answer.status != 200 => Err(Unobserved::invalid(target, answer.status)),
            Some(Ok(answer)) if answer.body.cut => Err(Unobserved::invalid(target, "more than a probe can tell")),
            Some(Ok(answer)) => Ok(&answer.body.lines),
        }
    }
}

impl HostReport {
    fn read(node: &str, collected: &Collected) -> Self {
        let part = |container: &str| -> Seen<HostAnswers> {
            message::unpack(collected.message(container)?)
                .map_err(|e| Unobserved::invalid(format!("the probe on {node}"), e))
        };
        Self {
            disk: part("certificates").map(|HostAnswers { unlisted, files, .. }| Disk { unlisted, files }),
            gets: part("http").map(|answers| answers.gets),
            texts: part("files").map(|answers| answers.texts),
        }
    }
}
