//! The encrypted keys of the CAs that `kubeadm init --upload-certs` stores for new control-plane nodes.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use serde::{Deserialize, Serialize};

use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen};

/// The Secret's name.
const NAME: &str = "kubeadm-certs";

/// The metadata of Secret kube-system/kubeadm-certs; its data is not requested. Absent where it does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KubeadmCerts {
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Its owners: it is deleted with them.
    pub owners: Vec<Owner>,
}

/// An owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
}

impl Observe for KubeadmCerts {
    type Needs<'a> = ();
    const NAME: &'static str = "kubeadm-certs";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::namespaced("kube-system", "", "secrets", &["get"]).named(&[NAME])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let call = Call::get_in::<Secret>("kube-system", NAME).metadata_only();
        let PartialObjectMeta::<Secret> { metadata, .. } = cluster.fetch(&call).await?;
        let owners = metadata.owner_references.into_iter().flatten();
        Ok(Self {
            created: metadata.creation_timestamp.map(|at| at.0),
            owners: owners.map(|owner| Owner { kind: owner.kind, name: owner.name }).collect(),
        })
    }
}

crate::observed!(KubeadmCerts);
