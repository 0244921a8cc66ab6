//! The domain under which cluster names live.

use super::corefile::{Corefile, ServerBlock};
use super::kubeadm_config::KubeadmConfig;
use crate::fact::Derive;
use crate::seen::{Seen, Unobserved};

/// The domain under which cluster names live: kubeadm's, or the one that CoreDNS serves; the usual one where neither is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDomain(pub String);

/// The domain where nobody chose another.
const USUAL: &str = "cluster.local";

impl Derive for ClusterDomain {
    type Needs<'a> = (Option<&'a KubeadmConfig>, Result<&'a Corefile, &'a Unobserved>);
    const NAME: &'static str = "cluster-domain";

    fn derive((kubeadm, corefile): Self::Needs<'_>) -> Seen<Self> {
        let configured = kubeadm.and_then(|kubeadm| kubeadm.dns_domain.clone());
        // Without it nothing is lost but a better guess.
        let blocks = corefile.ok().and_then(|corefile| corefile.blocks.as_ref().ok());
        let served = || blocks?.iter().find_map(ServerBlock::cluster_domain);
        Ok(Self(configured.or_else(served).unwrap_or_else(|| USUAL.to_owned())))
    }
}

crate::derived!(ClusterDomain);
