//! What kubeadm tells every kubelet.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::ConfigMap;
use serde::{Deserialize, Serialize};

use crate::cluster::{Call, Cluster};
use crate::fact::{Access, Observe, Rule, Seen, Unobserved};

/// What kubeadm tells the kubelets of new and upgraded nodes: ConfigMap kube-system/kubelet-config. Absent elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubeletDefaults {
    /// The DNS servers that pods are told.
    pub cluster_dns: Vec<IpAddr>,
    /// The domain that pods search.
    pub cluster_domain: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KubeletConfiguration {
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
        let text = map.data.unwrap_or_default().remove("kubelet");
        let text = text.ok_or_else(|| Unobserved::invalid(call.to_string(), "it has no key kubelet"))?;
        let read: KubeletConfiguration =
            serde_saphyr::from_str(&text).map_err(|e| Unobserved::invalid(call.to_string(), e.without_snippet()))?;
        Ok(Self {
            cluster_dns: read.cluster_dns,
            cluster_domain: read.cluster_domain.filter(|domain| !domain.is_empty()),
        })
    }
}

crate::observed!(KubeletDefaults);
