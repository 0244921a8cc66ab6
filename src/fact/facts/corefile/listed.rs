//! A pod as the API lists it: only the parts that show how CoreDNS runs.

use jiff::Timestamp;
use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct Listed {
    pub(super) spec: Option<Spec>,
    pub(super) status: Option<Status>,
}

#[derive(Deserialize)]
pub(super) struct Spec {
    pub(super) containers: Vec<Container>,
    pub(super) volumes: Option<Vec<Volume>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: Option<String>,
    pub(super) command: Option<Vec<String>>,
    pub(super) args: Option<Vec<String>>,
    pub(super) env: Option<Vec<Variable>>,
    pub(super) volume_mounts: Option<Vec<Mount>>,
}

#[derive(Deserialize)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mount {
    pub(super) name: String,
    #[serde(rename = "mountPath")]
    pub(super) at: String,
    pub(super) sub_path: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Volume {
    pub(super) name: String,
    pub(super) config_map: Option<ConfigMap>,
}

#[derive(Deserialize)]
pub(super) struct ConfigMap {
    #[serde(default)]
    pub(super) name: String,
    pub(super) items: Option<Vec<Item>>,
}

#[derive(Deserialize)]
pub(super) struct Item {
    pub(super) key: String,
    pub(super) path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    pub(super) container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Deserialize)]
pub(super) struct ContainerStatus {
    pub(super) name: String,
    pub(super) ready: bool,
    pub(super) state: Option<State>,
}

#[derive(Deserialize)]
pub(super) struct State {
    pub(super) running: Option<Running>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Running {
    pub(super) started_at: Option<Timestamp>,
}
