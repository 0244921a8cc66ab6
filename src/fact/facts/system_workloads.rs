//! The Deployments and DaemonSets of the cluster's own add-ons.

pub(super) mod listed;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1 as apps;
use serde::{Deserialize, Serialize};

use self::listed::{DaemonSet, Deployment, Template};
use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::manager::Manager;
use crate::object_ref::ObjectRef;
use crate::seen::{Access, Seen};

/// Their namespace.
const NAMESPACE: &str = "kube-system";

/// The Deployments and DaemonSets of kube-system.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SystemWorkloads(pub BTreeMap<ObjectRef, Workload>);

/// The parts of a workload that checks use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Workload {
    /// How many pods there should be.
    pub desired: i32,
    /// How many are available.
    pub available: i32,
    /// How many are up to date.
    pub updated: i32,
    /// The service account of its pods.
    pub service_account: String,
    /// The priority class of its pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class: Option<String>,
    /// The images of its containers, by the container's name.
    pub images: BTreeMap<String, String>,
    /// The commands of its containers.
    pub programs: Vec<String>,
    /// What manages it, if something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<Manager>,
}

impl Observe for SystemWorkloads {
    type Needs<'a> = ();
    const NAME: &'static str = "system-workloads";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[
        Rule::namespaced(NAMESPACE, "apps", "deployments", &["list"]),
        Rule::namespaced(NAMESPACE, "apps", "daemonsets", &["list"]),
    ];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let (deployments, daemon_sets) = tokio::join!(
            cluster.list(Call::list::<apps::Deployment>().in_namespace(NAMESPACE), of_deployment),
            cluster.list(Call::list::<apps::DaemonSet>().in_namespace(NAMESPACE), of_daemon_set),
        );
        Ok(Self(deployments?.into_iter().chain(daemon_sets?).collect()))
    }
}

fn of_deployment(deployment: Deployment) -> (ObjectRef, Workload) {
    let status = deployment.status;
    let workload = Workload {
        desired: deployment.spec.replicas.unwrap_or(1),
        available: status.available_replicas.unwrap_or_default(),
        updated: status.updated_replicas.unwrap_or_default(),
        manager: Manager::of(&deployment.metadata),
        ..of_template(deployment.spec.template)
    };
    (ObjectRef::namespaced("Deployment", NAMESPACE, deployment.metadata.name.unwrap_or_default()), workload)
}

fn of_daemon_set(daemon_set: DaemonSet) -> (ObjectRef, Workload) {
    let status = daemon_set.status;
    let workload = Workload {
        desired: status.desired_number_scheduled,
        available: status.number_available.unwrap_or_default(),
        updated: status.updated_number_scheduled.unwrap_or_default(),
        manager: Manager::of(&daemon_set.metadata),
        ..of_template(daemon_set.spec.template)
    };
    (ObjectRef::namespaced("DaemonSet", NAMESPACE, daemon_set.metadata.name.unwrap_or_default()), workload)
}

fn of_template(Template { spec }: Template) -> Workload {
    let programs = spec.containers.iter().filter_map(|container| container.command.as_ref()?.first().cloned());
    Workload {
        programs: programs.collect(),
        service_account: spec.service_account_name.unwrap_or_default(),
        priority_class: spec.priority_class_name,
        images: spec
            .containers
            .into_iter()
            .map(|container| (container.name, container.image.unwrap_or_default()))
            .collect(),
        ..Workload::default()
    }
}

crate::observed!(SystemWorkloads);
