//! The domain under which cluster names live.

use super::kubeadm_config::KubeadmConfig;
use crate::fact::{Derive, Seen};

/// The domain under which cluster names live: kubeadm's, or the usual one where nothing else is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDomain(pub String);

/// The domain where nobody chose another.
const USUAL: &str = "cluster.local";

impl Derive for ClusterDomain {
    type Needs<'a> = (Option<&'a KubeadmConfig>,);
    const NAME: &'static str = "cluster-domain";

    fn derive((kubeadm,): Self::Needs<'_>) -> Seen<Self> {
        let configured = kubeadm.and_then(|kubeadm| kubeadm.dns_domain.clone());
        Ok(Self(configured.unwrap_or_else(|| USUAL.to_owned())))
    }
}

crate::derived!(ClusterDomain);
