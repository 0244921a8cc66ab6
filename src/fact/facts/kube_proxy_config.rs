//! The configuration of kube-proxy.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::authorship::Authorship;
use super::config_map::ConfigMap;
use super::fields::Fields;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::manager::Manager;
use crate::seen::{Access, Seen, Unobserved};

/// The configuration of kube-proxy: ConfigMap kube-system/kube-proxy, as kubeadm writes it. Absent elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KubeProxyConfig {
    /// The URL of the API server in its kubeconfig, if that can be read.
    pub server: Option<String>,
    /// Whether its kubeconfig skips the verification of the API server.
    pub skips_verification: bool,
    /// How it writes its rules: `iptables`, `nftables` or `ipvs`; empty for its default; none if it cannot be read.
    pub mode: Option<String>,
    /// The fields that cannot be read, each with what is wrong.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unread: BTreeMap<String, String>,
    /// Who wrote it last.
    pub authorship: Authorship,
    /// What manages the ConfigMap, if something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<Manager>,
}

impl KubeProxyConfig {
    /// How it writes its rules, or why that cannot be read.
    pub(crate) fn mode(&self) -> Seen<&str> {
        self.mode.as_deref().ok_or_else(|| {
            let unread = self.unread.iter().find(|(field, _)| field.starts_with("config.conf"));
            let (field, cause) = unread.map_or(("config.conf", "it was not read"), |(field, cause)| (field, cause));
            Unobserved::invalid(format!("{field} of ConfigMap kube-system/kube-proxy"), cause)
        })
    }
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
        Ok(read(&map))
    }
}

fn read(map: &ConfigMap) -> KubeProxyConfig {
    let mut unread = BTreeMap::new();
    let mut file = |key: &str| match map.fields(key) {
        Ok(fields) => Some(fields),
        Err(why) => {
            unread.insert(key.to_owned(), why.to_string());
            None
        }
    };
    let (kubeconfig, configuration) = (file("kubeconfig.conf"), file("config.conf"));
    let mut noted = |key: &str, of: BTreeMap<String, String>| {
        unread.extend(of.into_iter().map(|(path, why)| (format!("{key}: {path}"), why)));
    };
    let cluster = kubeconfig.and_then(|kubeconfig| {
        let cluster = current(&kubeconfig);
        noted("kubeconfig.conf", kubeconfig.unread());
        cluster
    });
    let (server, skips_verification) = cluster.map_or((None, None), |cluster| {
        let read = (cluster.text("server"), cluster.flag("insecure-skip-tls-verify"));
        noted("kubeconfig.conf: clusters.cluster", cluster.unread());
        read
    });
    let mode = configuration.and_then(|configuration| {
        let mode = configuration.text("mode").unwrap_or_default();
        let read = configuration.unread();
        let is_read = read.is_empty();
        noted("config.conf", read);
        is_read.then_some(mode)
    });
    KubeProxyConfig {
        server,
        skips_verification: skips_verification.unwrap_or_default(),
        mode,
        unread,
        authorship: Authorship::of(&map.whole),
        manager: Manager::of(&map.whole.metadata),
    }
}

/// The cluster of the current context. What no context uses is not read.
fn current(kubeconfig: &Fields) -> Option<Fields> {
    let named = |path: &str, name: &str| {
        let items = kubeconfig.items(path).into_iter().filter_map(|item| Fields::new(item).ok());
        let mut items = items.filter(|item| item.text("name").unwrap_or_default() == name);
        let item = items.next();
        if item.is_none() {
            kubeconfig.cannot_read(path, format!("there is no entry {name:?}"));
        }
        item
    };
    let context = named("contexts", &kubeconfig.text("current-context").unwrap_or_default())?;
    let cluster = named("clusters", &context.text("context.cluster").unwrap_or_default())?;
    let found = Fields::new(cluster.root().get("cluster").cloned().unwrap_or_default());
    found.map_err(|cause| kubeconfig.cannot_read("clusters.cluster", cause)).ok()
}

crate::observed!(KubeProxyConfig);

#[cfg(test)]
pub(crate) mod testing {
    use super::KubeProxyConfig;

    /// A configuration with this mode.
    pub(crate) fn in_mode(mode: &str) -> KubeProxyConfig {
        KubeProxyConfig { mode: Some(mode.into()), ..KubeProxyConfig::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::config_map::testing::config_map;
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

    fn of(kubeconfig: &str, configuration: &str) -> KubeProxyConfig {
        read(&config_map(&[("kubeconfig.conf", kubeconfig), ("config.conf", configuration)]))
    }

    #[test]
    fn the_current_context_decides() {
        let read = of(KUBEADM, "mode: nftables\n");
        assert_eq!((read.server.as_deref(), read.skips_verification), (Some("https://api.bed.test:6443"), false));
        assert_eq!((read.mode.as_deref(), read.unread.len()), (Some("nftables"), 0));
        let other = of(&KUBEADM.replace("current-context: default", "current-context: other"), "");
        assert_eq!(other.unread["kubeconfig.conf: contexts"], "there is no entry \"other\"");
        assert_eq!((other.server, other.mode.as_deref()), (None, Some("")));
    }

    #[test]
    fn null_is_unset_and_what_no_context_uses_is_not_read() {
        let text =
            KUBEADM.replace("contexts:\n", "contexts:\n- name: unused\n  context:\n- \n") + "extensions: 7\n---\n";
        let read = of(&text, "mode:\nclusterCIDR: 5\n");
        assert_eq!((read.server.as_deref(), read.mode.as_deref()), (Some("https://api.bed.test:6443"), Some("")));
        assert!(read.unread.is_empty());
    }

    #[test]
    fn a_field_of_another_type_leaves_the_rest() {
        let read = of(KUBEADM, "mode: [ipvs]\n");
        assert_eq!((read.server.is_some(), read.mode), (true, None));
        assert_eq!(read.unread["config.conf: mode"], "it is a list instead of text");
        let read = of("clusters: [", "mode: ipvs\n");
        assert_eq!((read.server, read.mode.as_deref(), read.unread.len()), (None, Some("ipvs"), 1));
    }
}
