//! What kubeadm tells every kubelet.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::ConfigMap;
use serde::{Deserialize, Serialize};

use super::authorship::Authorship;
use super::kubelet_configuration::KubeletConfiguration;
use crate::cluster::{Call, Cluster};
use crate::fact::{Access, Observe, Rule, Seen, Unobserved};

/// What kubeadm tells the kubelets of new and upgraded nodes: ConfigMap kube-system/kubelet-config. Absent elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KubeletDefaults {
    /// The DNS servers that pods are told.
    pub cluster_dns: Vec<IpAddr>,
    /// The domain that pods search.
    pub cluster_domain: Option<String>,
    /// All that kubelets are told. Old recordings do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<KubeletConfiguration>,
    /// Who wrote it last. Old recordings do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorship: Option<Authorship>,
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

    async fn observe(cluster: &Cluster, (): Self::Needs<'_>) -> Seen<Self> {
        let call = Call::get_in::<ConfigMap>("kube-system", "kubelet-config");
        let map: ConfigMap = cluster.fetch(&call).await?;
        let authorship = Authorship::of(&map);
        let text = map.data.unwrap_or_default().remove("kubelet");
        let text = text.ok_or_else(|| Unobserved::invalid(call.to_string(), "it has no key kubelet"))?;
        let unusable = |e: serde_saphyr::Error| Unobserved::invalid(call.to_string(), e.without_snippet());
        let read: Dns = serde_saphyr::from_str(&text).map_err(unusable)?;
        let all = serde_saphyr::from_str(&text).map_err(unusable)?;
        Ok(Self {
            cluster_dns: read.cluster_dns,
            cluster_domain: read.cluster_domain.filter(|domain| !domain.is_empty()),
            configuration: Some(KubeletConfiguration::new(all)),
            authorship: Some(authorship),
        })
    }
}

crate::observed!(KubeletDefaults);
