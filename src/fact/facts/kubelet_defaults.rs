//! The configuration that kubeadm gives every kubelet.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::authorship::Authorship;
use super::config_map::ConfigMap;
use super::kubelet_configuration::KubeletConfiguration;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::manager::Manager;
use crate::seen::{Access, Seen};

/// The configuration that kubeadm gives the kubelets of new and upgraded nodes: ConfigMap kube-system/kubelet-config.
/// Absent elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct KubeletDefaults {
    /// The DNS servers of pods.
    pub cluster_dns: Vec<IpAddr>,
    /// The domain that pods search.
    pub cluster_domain: Option<String>,
    /// The whole configuration.
    pub configuration: KubeletConfiguration,
    /// Who wrote it last.
    pub authorship: Authorship,
    /// What manages the ConfigMap, if something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<Manager>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dns {
    #[serde(default, rename = "clusterDNS")]
    cluster_dns: Vec<IpAddr>,
    cluster_domain: Option<String>,
}

impl Observe for KubeletDefaults {
    type Needs<'a> = ();
    const NAME: &'static str = "kubelet-defaults";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] =
        &[Rule::namespaced("kube-system", "", "configmaps", &["get"]).named(&["kubelet-config"])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let map = ConfigMap::fetch(cluster, "kube-system", "kubelet-config").await?;
        let read: Dns = map.yaml("kubelet")?;
        Ok(Self {
            cluster_dns: read.cluster_dns,
            cluster_domain: read.cluster_domain.filter(|domain| !domain.is_empty()),
            configuration: KubeletConfiguration::new(map.yaml("kubelet")?),
            authorship: Authorship::of(&map.whole),
            manager: Manager::of(&map.whole.metadata),
        })
    }
}

crate::observed!(KubeletDefaults);
