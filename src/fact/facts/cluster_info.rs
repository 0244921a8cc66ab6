//! ConfigMap cluster-info, which a joining node reads before it trusts the cluster.

pub(crate) use crate::join::cluster_info::{DiscoveryCluster, DiscoveryKubeconfig};
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use serde::{Deserialize, Serialize};

use crate::bootstrap_token;
use crate::certificate::Certificate;
use crate::fact::{Observe, Rule};
use crate::join::cluster_info::{self, Parts, Signed};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// ConfigMap kube-public/cluster-info, from which a joining node learns the server and its CA. Absent without kubeadm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ClusterInfo {
    /// The kubeconfig, or why it cannot be read.
    pub kubeconfig: Result<DiscoveryKubeconfig, String>,
    /// By the token's id, whether its signature is well-formed, or why not.
    pub signatures: BTreeMap<String, Result<(), String>>,
    /// The other keys.
    pub other_keys: Vec<String>,
}

/// The same ConfigMap with the signed text and the signatures, from which a token's secret can be guessed offline.
pub(crate) struct SignedClusterInfo {
    pub(super) info: ClusterInfo,
    pub(super) signed: Signed,
}

impl ClusterInfo {
    /// The cluster that joining nodes use: the first.
    pub(crate) fn cluster(&self) -> Option<&DiscoveryCluster> {
        self.kubeconfig.as_ref().ok()?.clusters.first()
    }

    /// The CAs for joining nodes.
    pub(crate) fn authorities(&self) -> Seen<&[Certificate]> {
        let unreadable = |why: &str| Unobserved::invalid("ConfigMap kube-public/cluster-info", why);
        let kubeconfig = self.kubeconfig.as_ref().map_err(|why| unreadable(why))?;
        let cluster = kubeconfig.clusters.first().ok_or_else(|| unreadable("its kubeconfig has no cluster"))?;
        cluster.authorities.as_deref().map_err(|why| unreadable(why))
    }
}

impl Observe for ClusterInfo {
    type Needs<'a> = (&'a SignedClusterInfo,);
    const NAME: &'static str = "cluster-info";
    const ACCESS: Access = Access::Read;

    async fn observe(_: &Live, (signed,): Self::Needs<'_>) -> Seen<Self> {
        Ok(signed.info.clone())
    }
}

crate::observed!(ClusterInfo);

impl Observe for SignedClusterInfo {
    type Needs<'a> = ();
    const NAME: &'static str = "signed-cluster-info";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[cluster_info::RULE];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let map: ConfigMap = cluster.fetch(&cluster_info::request()).await?;
        Ok(Parts::of(map).into())
    }
}

impl From<Parts> for SignedClusterInfo {
    fn from(Parts { kubeconfig, signed, other_keys }: Parts) -> Self {
        let form = |(id, jws): (&String, &String)| (id.clone(), bootstrap_token::form(jws, id));
        let signatures = signed.signatures.iter().map(form).collect();
        Self { info: ClusterInfo { kubeconfig, signatures, other_keys }, signed }
    }
}

crate::held!(SignedClusterInfo);

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// As kubeadm writes it.
    pub(crate) fn cluster_info(server: &str, authorities: Vec<Certificate>) -> ClusterInfo {
        let cluster = DiscoveryCluster {
            name: String::new(),
            server: cluster_info::server(server),
            authorities: Ok(authorities),
            skips_verification: false,
        };
        let kubeconfig = DiscoveryKubeconfig { clusters: vec![cluster], ..DiscoveryKubeconfig::default() };
        ClusterInfo { kubeconfig: Ok(kubeconfig), signatures: BTreeMap::new(), other_keys: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_judged_by_their_form_and_not_recorded() {
        let jws = bootstrap_token::sign(b"x", "abcdef", b"0123456789abcdef");
        let data =
            [("kubeconfig", "x"), ("jws-kubeconfig-abcdef", &*jws), ("jws-kubeconfig-uvwxyz", "x"), ("note", "x")];
        let SignedClusterInfo { info, .. } =
            Parts::read(data.map(|(key, value)| (key.to_owned(), value.to_owned())).into()).into();
        assert_eq!(info.signatures["abcdef"], Ok(()));
        assert!(info.signatures["uvwxyz"].is_err());
        assert_eq!(info.other_keys, ["note"]);
        assert!(!serde_json::to_string(&info).unwrap().contains(&jws[..20]));
        assert!(!format!("{info:?}").contains(&jws[..20]));
    }
}
