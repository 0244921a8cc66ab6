//! The configuration from which kubeadm built the cluster.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::config_map::ConfigMap;
use super::fields::Fields;
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
    /// The flags that were given to components, by the component's place (`apiServer`, `etcd.local`) and their names. None in
    /// a recording that was made before they were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_args: Option<BTreeMap<String, ExtraArgs>>,
    /// The keys of the ConfigMap.
    pub keys: Vec<String>,
    /// The fields of another type than they should have, each with what is wrong; they are unset above.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unread: BTreeMap<String, String>,
}

/// The values of flags, by name.
pub(crate) type ExtraArgs = BTreeMap<String, Vec<String>>;

/// Where the flags of components are given.
const PLACES: [&str; 4] = ["apiServer", "controllerManager", "scheduler", "etcd.local"];

impl Observe for KubeadmConfig {
    type Needs<'a> = ();
    const NAME: &'static str = "kubeadm-config";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] =
        &[Rule::namespaced("kube-system", "", "configmaps", &["get"]).named(&["kubeadm-config"])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        read(&ConfigMap::fetch(cluster, "kube-system", "kubeadm-config").await?)
    }
}

fn read(map: &ConfigMap) -> Seen<KubeadmConfig> {
    let fields = map.fields("ClusterConfiguration")?;
    Ok(KubeadmConfig {
        api_version: fields.text("apiVersion").unwrap_or_default(),
        kubernetes_version: fields.text("kubernetesVersion").unwrap_or_default(),
        service_subnet: fields.text("networking.serviceSubnet"),
        pod_subnet: fields.text("networking.podSubnet"),
        dns_domain: fields.text("networking.dnsDomain"),
        control_plane_endpoint: fields.text("controlPlaneEndpoint"),
        cert_sans: fields.texts("apiServer.certSANs"),
        external_etcd: fields.has("etcd.external"),
        certificates_dir: fields.text("certificatesDir"),
        extra_args: Some(PLACES.map(|place| (place.to_owned(), extra_args(&fields, place))).into()),
        keys: map.keys().cloned().collect(),
        unread: fields.unread(),
    })
}

/// Since v1beta4 a flag may be given several times.
fn extra_args(fields: &Fields, place: &str) -> ExtraArgs {
    let mut args = ExtraArgs::new();
    for (name, value) in fields.pairs(&format!("{place}.extraArgs")) {
        args.entry(name).or_default().push(value);
    }
    args
}

crate::observed!(KubeadmConfig);

#[cfg(test)]
mod tests {
    use super::super::config_map::testing::config_map;
    use super::*;

    fn of(text: &str) -> KubeadmConfig {
        read(&config_map(&[("ClusterConfiguration", text)])).unwrap()
    }

    #[test]
    fn null_is_unset_and_of_two_keys_the_last_one_counts() {
        let read = of("apiVersion: kubeadm.k8s.io/v1beta4\nkubernetesVersion:\napiServer:\netcd: {external: }\n\
                       networking: {dnsDomain: a.local, podSubnet: null}\nclusterName: a\nnetworking:\n  \
                       dnsDomain: b.local\n  serviceSubnet: 10.96.0.0/12\nunknown: [1]\n---\nkind: Other\n");
        assert_eq!((read.kubernetes_version.as_str(), read.cert_sans.len(), read.external_etcd), ("", 0, false));
        assert_eq!((read.dns_domain.as_deref(), read.pod_subnet), (Some("b.local"), None));
        assert!(read.unread.is_empty());
        let read = of("apiVersion: kubeadm.k8s.io/v1beta4\nnetworking:\napiServer:\n  certSANs:\n");
        assert_eq!((read.service_subnet, read.cert_sans.len()), (None, 0));
    }

    #[test]
    fn flags_are_read_in_the_forms_of_both_versions() {
        let read = of(
            "apiVersion: kubeadm.k8s.io/v1beta4\napiServer:\n  extraArgs:\n  - {name: a, value: \"1\"}\n  - \
                       {name: a, value: \"2\"}\netcd: {local: {extraArgs: [{name: quota-backend-bytes, value: \"8\"}]}}\n",
        );
        let args = read.extra_args.unwrap();
        assert_eq!((&args["apiServer"]["a"][..], args["scheduler"].len()), (&["1".to_owned(), "2".to_owned()][..], 0));
        assert_eq!(args["etcd.local"]["quota-backend-bytes"], ["8"]);
        let read = of("apiVersion: kubeadm.k8s.io/v1beta3\ncontrollerManager: {extraArgs: {profiling: \"false\"}}\n");
        assert_eq!(read.extra_args.unwrap()["controllerManager"]["profiling"], ["false"]);
    }

    #[test]
    fn a_field_of_another_type_leaves_the_rest() {
        let read =
            of("apiVersion: v1\nkubernetesVersion: 1.37\napiServer: {certSANs: lb}\nnetworking: {dnsDomain: a}\n");
        assert_eq!(read.unread.keys().collect::<Vec<_>>(), ["apiServer.certSANs", "kubernetesVersion"]);
        assert_eq!(read.dns_domain.as_deref(), Some("a"));
    }
}
