//! Deployments and DaemonSets as the API lists them: only the parts that are kept.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

#[derive(Deserialize)]
pub(in super::super) struct Deployment {
    pub(in super::super) metadata: ObjectMeta,
    pub(in super::super) spec: DeploymentSpec,
    #[serde(default)]
    pub(in super::super) status: DeploymentStatus,
}

#[derive(Deserialize)]
pub(in super::super) struct DeploymentSpec {
    /// One if there is none.
    pub(in super::super) replicas: Option<i32>,
    pub(super) template: Template,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct DeploymentStatus {
    pub(in super::super) available_replicas: Option<i32>,
    pub(in super::super) updated_replicas: Option<i32>,
}

#[derive(Deserialize)]
pub(super) struct DaemonSet {
    pub(super) metadata: ObjectMeta,
    pub(super) spec: DaemonSetSpec,
    #[serde(default)]
    pub(super) status: DaemonSetStatus,
}

#[derive(Deserialize)]
pub(super) struct DaemonSetSpec {
    pub(super) template: Template,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DaemonSetStatus {
    #[serde(default)]
    pub(super) desired_number_scheduled: i32,
    pub(super) number_available: Option<i32>,
    pub(super) updated_number_scheduled: Option<i32>,
}

#[derive(Deserialize)]
pub(super) struct Template {
    pub(super) spec: PodSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodSpec {
    pub(super) service_account_name: Option<String>,
    pub(super) priority_class_name: Option<String>,
    pub(super) containers: Vec<Container>,
}

#[derive(Deserialize)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: Option<String>,
    pub(super) command: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_absent_is_none() {
        let template = json!({ "metadata": {}, "spec": { "containers": [{ "name": "a", "ports": [] }] } });
        let deployment = json!({ "metadata": { "name": "a" }, "spec": { "selector": {}, "template": template } });
        let deployment: Deployment = serde_json::from_value(deployment).unwrap();
        assert_eq!((deployment.spec.replicas, deployment.status.available_replicas), (None, None));
        let status = json!({ "desiredNumberScheduled": 3, "numberAvailable": 2, "updatedNumberScheduled": 1 });
        let daemon_set = json!({ "metadata": {}, "spec": { "template": template }, "status": status });
        let DaemonSetStatus { desired_number_scheduled, number_available, updated_number_scheduled } =
            serde_json::from_value::<DaemonSet>(daemon_set).unwrap().status;
        assert_eq!((desired_number_scheduled, number_available, updated_number_scheduled), (3, Some(2), Some(1)));
    }
}
