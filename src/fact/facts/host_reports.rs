//! What probes on the nodes' own network and disks saw.

pub(crate) use crate::probe::host::answer::{
    CertificateOnDisk, Content, Definition, DiskFile, HttpAnswer, Manifests, Services, UnitFiles,
};
#[cfg(test)]
pub(crate) use crate::probe::host::answer::{Manifest, Text, Unit};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::nodes::{Node, Nodes};
use super::pods::Pods;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::milliseconds::milliseconds;
use crate::probe::collect::{Collected, Patience};
use crate::probe::deploy::Site;
use crate::probe::fault::Got;
use crate::probe::host::question::{self, CERTIFICATES, Directory, Excerpt, KUBERNETES, RUNNING};
use crate::probe::host::{HostAnswers, HostQuestions};
use crate::probe::message;
use crate::probe::object::Level;
use crate::seen::{Access, Seen, Unobserved};

/// How long one HTTP answer may take.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a probe may take to answer, since it began to ask.
const PATIENCE: Duration = Duration::from_secs(10);

/// Directories that hold certificates, keys and kubeconfigs, and whether to look into what is in them.
const DIRECTORIES: [(&str, bool); 3] =
    [("/etc/kubernetes", false), ("/etc/kubernetes/pki", true), ("/var/lib/kubelet/pki", false)];
/// Where kubelets of kubeadm read the manifests of static pods.
const MANIFESTS: &str = "/etc/kubernetes/manifests";
/// The flag of API servers with the file that states how they encrypt.
pub(crate) const ENCRYPTION: &str = "encryption-provider-config";
/// Where kube-proxy serves the mode in which it runs.
pub(crate) const PROXY_MODE: &str = "http://127.0.0.1:10249/proxyMode";
/// Where a member of etcd serves its metrics, as kubeadm sets it up.
pub(crate) const ETCD_METRICS: &str = "http://127.0.0.1:2381/metrics";

/// What is asked by HTTP on each node: the URL, and what the wanted lines begin with.
const GETS: [(&str, &[&str]); 1] = [(PROXY_MODE, &[])];
/// What is also asked by HTTP on control-plane nodes.
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
/// Parts of the names of services that are looked for among the running ones: kubelets, runtimes and the components of
/// control planes, of kubeadm and of other distributions.
const SERVICES: [&str; 8] = ["kube", "containerd", "crio", "cri-", "docker", "etcd", "k3s", "rke2"];
/// The units that a boot may start.
const UNITS: [&str; 11] = [
    "kubelet.service",
    "containerd.service",
    "crio.service",
    "cri-o.service",
    "docker.service",
    "cri-docker.service",
    "kube-apiserver.service",
    "kube-controller-manager.service",
    "kube-scheduler.service",
    "kube-proxy.service",
    "etcd.service",
];

/// What the probes on all Linux nodes saw, by node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HostReports(pub BTreeMap<String, HostReport>);

/// What the probes on one node saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct HostReport {
    /// The certificates, kubeconfigs and keys on disk.
    pub disk: Seen<Disk>,
    /// What HTTP servers answered, by URL.
    pub gets: Seen<BTreeMap<String, Got<HttpAnswer>>>,
    /// The manifests of static pods, and digests of files that must be the same everywhere. None in a recording that was made
    /// before they were looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifests: Option<Seen<Manifests>>,
    /// The services of systemd that run.
    pub services: Seen<Services>,
    /// The units that systemd starts at boot, where it is the init.
    pub units: Seen<UnitFiles>,
}

/// The certificates, kubeconfigs and keys on one node's disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Disk {
    /// What could not be read, by path, and why.
    pub unlisted: BTreeMap<String, String>,
    /// The files, by path.
    pub files: BTreeMap<String, DiskFile>,
}

impl Observe for HostReports {
    type Needs<'a> = (&'a Nodes, Result<&'a Pods, &'a Unobserved>);
    const NAME: &'static str = "host-reports";
    const ACCESS: Access = Access::Privileged;
    const RULES: &'static [Rule] = Level::Privileged.rules();
    const DEADLINE: Duration = Duration::from_secs(75);

    async fn observe(live: &Live, (nodes, pods): Self::Needs<'_>) -> Seen<Self> {
        // Where flags are not known, the files that they name are not either.
        let digests = pods.map(encryption_files).unwrap_or_default();
        let linux: Vec<_> = nodes.linux().collect();
        if linux.is_empty() {
            return Err(Unobserved::absent("no node runs Linux, which probes need"));
        }
        let site = Site::prepare(live, Level::Privileged).await?;
        let name = Level::Privileged.name(&live.inputs.run);
        let probes = linux
            .iter()
            .enumerate()
            .map(|(i, (node, about))| ((*node).clone(), (format!("{name}-{i}"), questions(about, &digests))));
        let mut reports: BTreeMap<String, HostReport> = asked(&site, nodes, probes.collect())
            .await
            .into_iter()
            .map(|(node, collected)| (node.clone(), HostReport::read(&node, &collected)))
            .collect();
        // These mount directories that only nodes with systemd have: without them a pod does not start.
        let has_systemd = |report: &HostReport| report.services.as_ref().is_ok_and(|services| services.systemd);
        let probes = reports.iter().enumerate().filter(|(_, (_, report))| has_systemd(report)).map(|(i, (node, _))| {
            let units = UNITS.map(Into::into).into();
            (node.clone(), (format!("{name}-units-{i}"), HostQuestions { units, ..HostQuestions::default() }))
        });
        for (node, collected) in asked(&site, nodes, probes.collect()).await {
            if let Some(report) = reports.get_mut(&node) {
                report.units = part(&node, &collected, question::UNITS).and_then(|answers| {
                    answers
                        .units
                        .ok_or_else(|| Unobserved::invalid(format!("the probe on {node}"), "its answer holds no units"))
                });
            }
        }
        Ok(Self(reports))
    }
}

crate::observed!(HostReports);

/// Makes these probes, given by node with their names and questions, and waits for their answers.
async fn asked(
    site: &Site<'_>,
    nodes: &Nodes,
    probes: BTreeMap<String, (String, HostQuestions)>,
) -> BTreeMap<String, Collected> {
    let is_doubtful = |node: &String| !nodes.0.get(node).is_some_and(Node::is_ready);
    let doubtful: Vec<String> =
        probes.iter().filter(|(node, _)| is_doubtful(node)).map(|(_, (pod, _))| pod.clone()).collect();
    site.answers(&probes, &doubtful, Patience::with(PATIENCE)).await
}

/// The files of API servers with the keys and the order in which they encrypt, as far as a probe sees them.
fn encryption_files(pods: &Pods) -> Vec<String> {
    let given = pods.static_pods("kube-apiserver").filter_map(|pod| pod.flag(ENCRYPTION).last().copied());
    let below = given.filter(|path| path.starts_with(KUBERNETES));
    below.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
}

fn questions(node: &Node, digests: &[String]) -> HostQuestions {
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
        manifests: Some(MANIFESTS.into()),
        digests: if node.is_control_plane() { digests.to_vec() } else { Vec::new() },
        services: SERVICES.map(Into::into).into(),
        ..HostQuestions::default()
    }
}

impl HostReports {
    /// The wanted lines of what a server on a node's own network answered.
    pub(crate) fn lines(&self, node: &str, url: &str) -> Seen<&[String]> {
        let report =
            self.0.get(node).ok_or_else(|| Unobserved::absent(format!("no privileged probe ran on {node}")))?;
        let answer = report.gets.as_ref().map_err(Clone::clone)?;
        let target = format!("{url} on {node}");
        match answer.get(url) {
            None => Err(Unobserved::invalid(target, "it was not asked")),
            Some(Err(fault)) => Err(Unobserved::unreachable(target, fault)),
            Some(Ok(answer)) if answer.status != 200 => Err(Unobserved::invalid(target, answer.status)),
            Some(Ok(answer)) if answer.body.cut => {
                Err(Unobserved::invalid(target, "the answer is longer than a probe can report"))
            }
            Some(Ok(answer)) => Ok(&answer.body.lines),
        }
    }
}

impl HostReport {
    /// A probe that saw nothing.
    #[cfg(test)]
    pub(crate) fn unseen() -> Self {
        let why = Unobserved::Interrupted;
        let manifests = Some(Err(why.clone()));
        Self { disk: Err(why.clone()), gets: Err(why.clone()), manifests, services: Err(why.clone()), units: Err(why) }
    }

    fn read(node: &str, collected: &Collected) -> Self {
        let running = part(node, collected, RUNNING);
        let services = running.clone().and_then(|answers| {
            answers
                .services
                .ok_or_else(|| Unobserved::invalid(format!("the probe on {node}"), "its answer holds no services"))
        });
        let units = match &services {
            Ok(services) if services.systemd => {
                Err(Unobserved::invalid(format!("the probe on {node}"), "it was not asked about units"))
            }
            Ok(_) => Err(Unobserved::absent(format!("systemd is not the init of {node}"))),
            Err(why) => Err(why.clone()),
        };
        Self {
            disk: part(node, collected, CERTIFICATES)
                .map(|HostAnswers { unlisted, files, .. }| Disk { unlisted, files }),
            manifests: Some(running.clone().and_then(|answers| {
                answers
                    .manifests
                    .ok_or_else(|| Unobserved::invalid(format!("the probe on {node}"), "its answer holds no manifests"))
            })),
            gets: running.map(|answers| answers.gets),
            services,
            units,
        }
    }
}

/// What one container of a probe answered.
fn part(node: &str, collected: &Collected, container: &str) -> Seen<HostAnswers> {
    message::unpack(collected.message(container)?).map_err(|e| Unobserved::invalid(format!("the probe on {node}"), e))
}
