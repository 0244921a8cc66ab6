//! Definitions of custom resources as the API lists them: only the parts that are kept. Their schemas, which are most of an
//! answer, are skipped.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct Definition {
    pub(super) metadata: ObjectMeta,
    pub(super) spec: Spec,
    pub(super) status: Option<Status>,
}

#[derive(Deserialize)]
pub(super) struct Spec {
    pub(super) conversion: Option<Conversion>,
    pub(super) versions: Vec<Version>,
}

#[derive(Deserialize)]
pub(super) struct Conversion {
    pub(super) strategy: String,
    pub(super) webhook: Option<Webhook>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Webhook {
    pub(super) client_config: Option<Client>,
}

#[derive(Deserialize)]
pub(super) struct Client {
    pub(super) service: Option<Service>,
}

#[derive(Deserialize)]
pub(super) struct Service {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) port: Option<i32>,
}

#[derive(Deserialize)]
pub(super) struct Version {
    pub(super) name: String,
    pub(super) served: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    pub(super) stored_versions: Option<Vec<String>>,
}
