//! Finds what an installation consists of, and removes it.

use std::time::Duration;

use k8s_openapi::Resource;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::json;

use super::INSTALLATION;
use crate::cluster::{Call, Cluster, until};
use crate::seen::{Seen, Unobserved};

/// How long the removal of one object may take. A run that is stopped cleans up first.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often it is looked whether something is deleted.
const PAUSE: Duration = Duration::from_millis(200);
/// The label by which Helm marks what it manages.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// An object of an installation, as it was found.
pub(crate) struct Installed {
    kind: &'static str,
    namespace: Option<String>,
    name: String,
    /// What manages it, as its label states.
    managed_by: Option<String>,
    delete: Call,
}

/// The part of an object that is asked for.
#[derive(Deserialize)]
struct Listed {
    metadata: ObjectMeta,
}

impl Installed {
    fn new<K: Resource>(metadata: ObjectMeta) -> Self {
        let name = metadata.name.unwrap_or_default();
        let delete = Call::delete::<K>(&name);
        let delete = match &metadata.namespace {
            Some(namespace) => delete.in_namespace(namespace),
            None => delete,
        };
        // Dependents go first: the rights of a run are removed when it has ended.
        let delete = delete.body(json!({ "propagationPolicy": "Foreground" }));
        let managed_by = metadata.labels.and_then(|mut labels| labels.remove(MANAGED_BY));
        Self { kind: K::KIND, namespace: metadata.namespace, name, managed_by, delete }
    }

    /// Its kind and its name, with its namespace if it has one.
    pub(crate) fn title(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} {namespace}/{}", self.kind, self.name),
            None => format!("{} {}", self.kind, self.name),
        }
    }

    /// Whether Helm manages it, and would miss it.
    pub(crate) fn is_of_helm(&self) -> bool {
        self.managed_by.as_deref() == Some("Helm")
    }

    /// Whether it holds results of runs.
    pub(crate) fn holds_results(&self) -> bool {
        [PersistentVolumeClaim::KIND, Namespace::KIND].contains(&self.kind)
    }
}

/// What the installation of this name consists of, in the order in which it is removed: first what starts runs, then what
/// they use, at last the namespace.
pub(crate) async fn find(cluster: &Cluster, name: &str) -> Seen<Vec<Installed>> {
    let mut found = of::<CronJob>(cluster, name).await?;
    found.extend(of::<PersistentVolumeClaim>(cluster, name).await?);
    found.extend(of::<ConfigMap>(cluster, name).await?);
    found.extend(of::<RoleBinding>(cluster, name).await?);
    found.extend(of::<ClusterRoleBinding>(cluster, name).await?);
    found.extend(of::<Role>(cluster, name).await?);
    found.extend(of::<ClusterRole>(cluster, name).await?);
    found.extend(of::<ServiceAccount>(cluster, name).await?);
    found.extend(of::<Namespace>(cluster, name).await?);
    Ok(found)
}

async fn of<K: Resource>(cluster: &Cluster, name: &str) -> Seen<Vec<Installed>> {
    let call = Call::list::<K>().with("labelSelector", format!("{INSTALLATION}={name}")).metadata_only();
    cluster.list(call, |Listed { metadata }| Installed::new::<K>(metadata)).await
}

/// Removes an object, and waits until it is deleted. When what starts runs is deleted, so are the pods of all runs.
pub(crate) async fn remove(cluster: &Cluster, installed: &Installed, name: &str) -> Seen<()> {
    cluster.delete_within(&installed.delete, PATIENCE).await?;
    match installed.kind {
        CronJob::KIND => without_pods(cluster, name).await,
        Namespace::KIND => finalized(cluster, &installed.name).await,
        _ => Ok(()),
    }
}

/// Waits until no run has a pod any more.
async fn without_pods(cluster: &Cluster, name: &str) -> Seen<()> {
    let call = Call::list::<Pod>().with("labelSelector", format!("{INSTALLATION}={name}")).metadata_only();
    let look = async || cluster.list(call.clone(), |Listed { metadata }| metadata.name).await;
    let left = until(PATIENCE, PAUSE, look, |seen| seen.as_ref().is_ok_and(Vec::is_empty)).await?;
    match left.first() {
        None => Ok(()),
        Some(pod) => {
            let pod = pod.clone().unwrap_or_default();
            let cause = format!("pod {pod} is still there after {} s", PATIENCE.as_secs());
            Err(Unobserved::invalid(call.to_string(), cause))
        }
    }
}

/// Waits until a namespace is deleted with all that is in it.
async fn finalized(cluster: &Cluster, namespace: &str) -> Seen<()> {
    let call = Call::get::<Namespace>(namespace);
    let look = async || cluster.send(&call).await?.accepted(&call);
    match until(PATIENCE, PAUSE, look, Result::is_err).await {
        Err(Unobserved::Absent { .. }) => Ok(()),
        Err(why) => Err(why),
        Ok(()) => {
            let cause = format!("it is still being deleted after {} s", PATIENCE.as_secs());
            Err(Unobserved::invalid(call.to_string(), cause))
        }
    }
}
