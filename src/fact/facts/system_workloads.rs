//! The Deployments and DaemonSets of kube-system.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::PodSpec;
use serde::{Deserialize, Serialize};

use crate::cluster::{Call, Cluster};
use crate::fact::{Access, Observe, Rule, Seen};

/// The Deployments and DaemonSets of kube-system, by `KIND/NAME`, whether they have pods or not.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SystemWorkloads(pub BTreeMap<String, SystemWorkload>);

/// What checks need of a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemWorkload {
    /// What it runs: the images and the programs that are named.
    pub runs: Vec<String>,
}

impl Observe for SystemWorkloads {
    type Needs<'a> = ();
    const NAME: &'static str = "system-workloads";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[
        Rule::namespaced("kube-system", "apps", "deployments", &["list"]),
        Rule::namespaced("kube-system", "apps", "daemonsets", &["list"]),
    ];

    async fn observe(cluster: &Cluster, (): Self::Needs<'_>) -> Seen<Self> {
        let deployments =
            cluster.list(Call::list::<Deployment>().in_namespace("kube-system"), |workload: Deployment| {
                let spec = workload.spec.template.spec;
                trim("Deployment", workload.metadata.name, spec)
            });
        let daemon_sets = cluster.list(Call::list::<DaemonSet>().in_namespace("kube-system"), |workload: DaemonSet| {
            let spec = workload.spec.template.spec;
            trim("DaemonSet", workload.metadata.name, spec)
        });
        let (deployments, daemon_sets) = tokio::try_join!(deployments, daemon_sets)?;
        Ok(Self(deployments.into_iter().chain(daemon_sets).collect()))
    }
}

fn trim(kind: &str, name: Option<String>, spec: Option<PodSpec>) -> (String, SystemWorkload) {
    let containers = spec.map(|spec| spec.containers).unwrap_or_default();
    let runs = containers.into_iter().flat_map(|container| {
        let program = container.command.unwrap_or_default().into_iter().next();
        [container.image, program].into_iter().flatten()
    });
    (format!("{kind}/{}", name.unwrap_or_default()), SystemWorkload { runs: runs.collect() })
}

crate::observed!(SystemWorkloads);
