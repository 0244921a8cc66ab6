//! The configuration from which kubeadm built the cluster.

use serde::{Deserialize, Serialize};

use super::config_map::ConfigMap;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen};

/// The configuration from which kubeadm built the cluster: the ClusterConfiguration in ConfigMap
/// kube-system/kubeadm-config. Absent elsewhere.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct KubeadmConfig {
    /// The version of the configuration's API.
    pub api_version: String,
    /// The version of the control plane.
    pub kubernetes_version: String,
    /// The range of service addresses.
    pub service_subnet: Option<String>,
    /// The range of pod addresses.
    pub pod_subnet: Option<String>,
    /// The domain of cluster names.
    pub dns_domain: Option<String>,
    /// The address by which clients reach the control plane, where one was given.
    pub control_plane_endpoint: Option<String>,
    /// The names and addresses that the API server's certificate should have in addition to the usual ones.
    pub cert_sans: Vec<String>,
    /// Whether etcd runs outside of the cluster.
    pub external_etcd: bool,
    /// The directory of the certificates on control-plane nodes.
    pub certificates_dir: Option<String>,
    /// The keys of the ConfigMap.
    pub keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClusterConfiguration {
    api_version: String,
    #[serde(default)]
    kubernetes_version: String,
    control_plane_endpoint: Option<String>,
    certificates_dir: Option<String>,
    #[serde(default)]
    networking: Networking,
    #[serde(default)]
    api_server: ApiServer,
    #[serde(default)]
    etcd: Etcd,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Networking {
    service_subnet: Option<String>,
    pod_subnet: Option<String>,
    dns_domain: Option<String>,
}

#[derive(Default, Deserialize)]
struct ApiServer {
    #[serde(default, rename = "certSANs")]
    cert_sans: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Etcd {
    external: Option<serde_json::Value>,
}

impl Observe for KubeadmConfig {
    type Needs<'a> = ();
    const NAME: &'static str = "kubeadm-config";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] =
        &[Rule::namespaced("kube-system", "", "configmaps", &["get"]).named(&["kubeadm-config"])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let map = ConfigMap::fetch(cluster, "kube-system", "kubeadm-config").await?;
        let read: ClusterConfiguration = map.yaml("ClusterConfiguration")?;
        Ok(Self {
            api_version: read.api_version,
            kubernetes_version: read.kubernetes_version,
            service_subnet: read.networking.service_subnet,
            pod_subnet: read.networking.pod_subnet,
            dns_domain: read.networking.dns_domain,
            control_plane_endpoint: read.control_plane_endpoint.filter(|endpoint| !endpoint.is_empty()),
            cert_sans: read.api_server.cert_sans,
            external_etcd: read.etcd.external.is_some(),
            certificates_dir: read.certificates_dir,
            keys: map.keys().cloned().collect(),
        })
    }
}

crate::observed!(KubeadmConfig);
