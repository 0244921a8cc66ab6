//! Whether the network plugin replaces kube-proxy.

use k8s_openapi::api::core::v1::ConfigMap;
use serde::{Deserialize, Serialize};

use super::pods::Pods;
use crate::cluster::{Call, Cluster};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// Whether the network plugins that can replace kube-proxy are configured to; only where their agents run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProxyReplacements {
    /// Cilium's `kube-proxy-replacement`; absent without Cilium.
    pub cilium: Seen<Option<String>>,
    /// Calico's `bpfEnabled`; absent without Calico.
    pub calico: Seen<Option<bool>>,
}

impl Observe for ProxyReplacements {
    type Needs<'a> = (&'a Pods,);
    const NAME: &'static str = "proxy-replacements";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[
        Rule::namespaced("kube-system", "", "configmaps", &["get"]).named(&["cilium-config"]),
        Rule::cluster("crd.projectcalico.org", "felixconfigurations", &["get"]).named(&["default"]),
    ];

    async fn observe(Live { cluster, .. }: &Live, (pods,): Self::Needs<'_>) -> Seen<Self> {
        let (cilium, calico) = tokio::join!(cilium(cluster, pods), calico(cluster, pods));
        Ok(Self { cilium, calico })
    }
}

async fn cilium(cluster: &Cluster, pods: &Pods) -> Seen<Option<String>> {
    let agent = pods.0.values().find(|pod| pod.labels.get("k8s-app").is_some_and(|app| app == "cilium"));
    let agent = agent.ok_or_else(|| Unobserved::absent("no pod has the label k8s-app=cilium"))?;
    let map: ConfigMap = cluster.fetch(&Call::get_in::<ConfigMap>(&agent.namespace, "cilium-config")).await?;
    Ok(map.data.unwrap_or_default().remove("kube-proxy-replacement"))
}

#[derive(Deserialize)]
struct FelixConfiguration {
    #[serde(default)]
    spec: FelixConfigurationSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FelixConfigurationSpec {
    bpf_enabled: Option<bool>,
}

async fn calico(cluster: &Cluster, pods: &Pods) -> Seen<Option<bool>> {
    let runs = pods.0.values().any(|pod| pod.labels.get("k8s-app").is_some_and(|app| app == "calico-node"));
    if !runs {
        return Err(Unobserved::absent("no pod has the label k8s-app=calico-node"));
    }
    let call = Call::url("/apis/crd.projectcalico.org/v1/felixconfigurations/default")
        .of_kind("crd.projectcalico.org/v1", "FelixConfiguration");
    let felix: FelixConfiguration = cluster.fetch(&call).await?;
    Ok(felix.spec.bpf_enabled)
}

crate::observed!(ProxyReplacements);
