//! Secrets of Cluster API: a kubeconfig in the field `value`, in a Secret with the name of its Cluster and the end `-kubeconfig`.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;

use super::{field, malformed, of_bytes};
use crate::cluster::{Kubeconfig, KubeconfigError};

/// The label that holds the name of the Cluster.
pub(super) const LABEL: &str = "cluster.x-k8s.io/cluster-name";
/// The type of all Secrets of Cluster API.
pub(super) const TYPE: &str = "cluster.x-k8s.io/secret";

/// The name of the Cluster; none if the Secret is for something else, such as a CA.
pub(super) fn cluster(name: &str, of_type: Option<&str>, labels: &BTreeMap<String, String>) -> Option<String> {
    let cluster = labels.get(LABEL)?;
    let is_kubeconfig = of_type == Some(TYPE) && name.strip_suffix("-kubeconfig") == Some(cluster.as_str());
    is_kubeconfig.then(|| cluster.clone())
}

pub(super) fn kubeconfig(origin: &str, data: &BTreeMap<String, ByteString>) -> Result<Kubeconfig, KubeconfigError> {
    let value = field(data, "value").ok_or_else(|| malformed(origin, "it has no field value"))?;
    of_bytes(origin, value)
}
