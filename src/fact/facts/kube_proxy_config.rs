//! The configuration of kube-proxy.

use serde::{Deserialize, Serialize};

use super::authorship::Authorship;
use super::config_map::ConfigMap;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::manager::Manager;
use crate::seen::{Access, Seen, Unobserved};

/// The configuration of kube-proxy: ConfigMap kube-system/kube-proxy, as kubeadm writes it. Absent elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KubeProxyConfig {
    /// The URL of the API server in its kubeconfig.
    pub server: String,
    /// Whether its kubeconfig skips the verification of the API server.
    pub skips_verification: bool,
    /// How it writes its rules: `iptables`, `nftables` or `ipvs`; empty for its default.
    pub mode: String,
    /// Who wrote it last.
    pub authorship: Authorship,
    /// What manages the ConfigMap, if something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<Manager>,
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    mode: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(default)]
    current_context: String,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Target,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Target {
    server: String,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
}

impl Observe for KubeProxyConfig {
    type Needs<'a> = ();
    const NAME: &'static str = "kube-proxy-config";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] =
        &[Rule::namespaced("kube-system", "", "configmaps", &["get"]).named(&["kube-proxy"])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let map = ConfigMap::fetch(cluster, "kube-system", "kube-proxy").await?;
        if !map.keys().any(|key| ["kubeconfig.conf", "config.conf"].contains(&key.as_str())) {
            return Err(Unobserved::absent("ConfigMap kube-system/kube-proxy is not as kubeadm writes it"));
        }
        let target = current(map.yaml("kubeconfig.conf")?).map_err(|cause| map.unusable(cause))?;
        let Configuration { mode } = map.yaml("config.conf")?;
        Ok(Self {
            server: target.server,
            skips_verification: target.insecure_skip_tls_verify,
            mode,
            authorship: Authorship::of(&map.whole),
            manager: Manager::of(&map.whole.metadata),
        })
    }
}

/// The API server of the current context.
fn current(kubeconfig: Kubeconfig) -> Result<Target, String> {
    let current = kubeconfig.current_context;
    let context = kubeconfig.contexts.into_iter().find(|context| context.name == current);
    let cluster = context.ok_or_else(|| format!("kubeconfig.conf has no context {current:?}"))?.context.cluster;
    let target = kubeconfig.clusters.into_iter().find(|target| target.name == cluster);
    Ok(target.ok_or_else(|| format!("kubeconfig.conf has no cluster {cluster:?}"))?.cluster)
}

crate::observed!(KubeProxyConfig);

#[cfg(test)]
mod tests {
    use super::*;

    const KUBEADM: &str = "\
apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
    server: https://api.bed.test:6443
  name: default
contexts:
- context:
    cluster: default
    namespace: default
    user: default
  name: default
current-context: default
users:
- name: default
  user:
    tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token
";

    #[test]
    fn the_current_context_decides() {
        let read = |text: &str| current(serde_saphyr::from_str(text).unwrap());
        let target = read(KUBEADM).unwrap();
        assert_eq!((target.server.as_str(), target.insecure_skip_tls_verify), ("https://api.bed.test:6443", false));
        let other = KUBEADM.replace("current-context: default", "current-context: other");
        assert_eq!(read(&other).err().unwrap(), "kubeconfig.conf has no context \"other\"");
    }
}
