//! The configuration that kubeadm gives every kubelet.

use std::collections::BTreeMap;
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
    /// The fields of those two that are not what they should be, each with what is wrong.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unread: BTreeMap<String, String>,
    /// Who wrote it last.
    pub authorship: Authorship,
    /// What manages the ConfigMap, if something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<Manager>,
}

impl Observe for KubeletDefaults {
    type Needs<'a> = ();
    const NAME: &'static str = "kubelet-defaults";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] =
        &[Rule::namespaced("kube-system", "", "configmaps", &["get"]).named(&["kubelet-config"])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        read(&ConfigMap::fetch(cluster, "kube-system", "kubelet-config").await?)
    }
}

fn read(map: &ConfigMap) -> Seen<KubeletDefaults> {
    let fields = map.fields("kubelet")?;
    let address = |text: String| {
        let read = text.parse::<IpAddr>();
        read.map_err(|_| fields.cannot_read("clusterDNS", format!("{text:?} is not an IP address"))).ok()
    };
    Ok(KubeletDefaults {
        cluster_dns: fields.texts("clusterDNS").into_iter().filter_map(address).collect(),
        cluster_domain: fields.text("clusterDomain"),
        configuration: KubeletConfiguration::new(fields.root().clone()),
        unread: fields.unread(),
        authorship: Authorship::of(&map.whole),
        manager: Manager::of(&map.whole.metadata),
    })
}

crate::observed!(KubeletDefaults);

#[cfg(test)]
mod tests {
    use super::super::config_map::testing::config_map;
    use super::*;

    fn of(text: &str) -> KubeletDefaults {
        read(&config_map(&[("kubelet", text)])).unwrap()
    }

    #[test]
    fn null_is_unset_and_a_bad_address_costs_itself() {
        let read = of("clusterDNS:\nclusterDomain: cluster.local\nmaxPods: 110\nmaxPods: 120\n---\n");
        assert_eq!((read.cluster_dns.len(), read.cluster_domain.as_deref()), (0, Some("cluster.local")));
        assert_eq!(read.configuration.get("maxPods"), Some(&120.into()));
        assert!(read.unread.is_empty());
        let read = of("clusterDNS: [10.96.0.10, 10.96.0]\nclusterDomain: [a]\n");
        assert_eq!(read.cluster_dns, [IpAddr::from([10, 96, 0, 10])]);
        assert_eq!(read.unread["clusterDNS"], "\"10.96.0\" is not an IP address");
        assert_eq!(read.unread["clusterDomain"], "it is a list instead of text");
    }
}
