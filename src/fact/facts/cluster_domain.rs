//! The domain of the cluster's names.

use std::fmt;

use super::corefile::{Corefile, ServerBlock};
use super::kubeadm_config::KubeadmConfig;
use crate::fact::Derive;
use crate::seen::{Seen, Unobserved};

/// The default of Kubernetes.
const USUAL: &str = "cluster.local";

/// The domain of the cluster's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClusterDomain {
    /// The domain.
    pub name: String,
    /// The source.
    pub source: DomainSource,
}

/// The source of the cluster's domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DomainSource {
    /// `networking.dnsDomain` of kubeadm-config.
    KubeadmConfig,
    /// The zones of the plugin `kubernetes` in the Corefile.
    Corefile,
    /// None: it is the domain of most clusters. Probes can ask for names in it, and only an answer confirms it.
    Assumed {
        /// Why there is no source.
        because: String,
    },
}

impl ClusterDomain {
    /// Whether there is a source for it.
    pub(crate) const fn is_known(&self) -> bool {
        !matches!(self.source, DomainSource::Assumed { .. })
    }
}

impl fmt::Display for ClusterDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Derive for ClusterDomain {
    type Needs<'a> = (Option<&'a KubeadmConfig>, Result<&'a Corefile, &'a Unobserved>);
    const NAME: &'static str = "cluster-domain";

    fn derive((kubeadm, corefile): Self::Needs<'_>) -> Seen<Self> {
        if let Some(name) = kubeadm.and_then(|kubeadm| kubeadm.dns_domain.clone()) {
            return Ok(Self { name, source: DomainSource::KubeadmConfig });
        }
        let because = match corefile {
            Err(why) => why.to_string(),
            Ok(Corefile { blocks: Err(cause), .. }) => format!("the Corefile cannot be read: {cause}"),
            Ok(Corefile { blocks: Ok(blocks), .. }) => match blocks.iter().find_map(ServerBlock::cluster_domain) {
                Some(name) => return Ok(Self { name, source: DomainSource::Corefile }),
                None => "the Corefile serves no domain for the cluster".into(),
            },
        };
        Ok(Self { name: USUAL.into(), source: DomainSource::Assumed { because } })
    }
}

crate::derived!(ClusterDomain);

#[cfg(test)]
pub(crate) mod testing {
    use super::{ClusterDomain, DomainSource, USUAL};

    /// The usual domain, as kubeadm-config has it.
    pub(crate) fn cluster_local() -> ClusterDomain {
        ClusterDomain { name: USUAL.into(), source: DomainSource::KubeadmConfig }
    }
}

#[cfg(test)]
mod tests {
    use super::super::corefile::Surroundings;
    use super::*;

    fn derived(kubeadm: Option<&str>, corefile: Result<&str, &Unobserved>) -> ClusterDomain {
        let kubeadm =
            kubeadm.map(|domain| KubeadmConfig { dns_domain: Some(domain.into()), ..KubeadmConfig::default() });
        let corefile = corefile.map(|text| Corefile::read(text, &Surroundings::default()));
        ClusterDomain::derive((kubeadm.as_ref(), corefile.as_ref().map_err(|why| *why))).unwrap()
    }

    #[test]
    fn kubeadm_config_comes_before_the_corefile() {
        let corefile = Ok("corp.local:53 {\n kubernetes corp.local in-addr.arpa\n}\n");
        let domain = derived(Some("kube.local"), corefile);
        assert_eq!((domain.name.as_str(), &domain.source), ("kube.local", &DomainSource::KubeadmConfig));
        let domain = derived(None, corefile);
        assert_eq!((domain.name.as_str(), &domain.source), ("corp.local", &DomainSource::Corefile));
        assert!(domain.is_known());
    }

    #[test]
    fn a_domain_that_nothing_shows_is_assumed_and_says_why() {
        let refused = Unobserved::Refused { missing: "get configmaps".into(), message: "forbidden".into() };
        for (corefile, expected) in [
            (Err(&refused), "not permitted: get configmaps (forbidden)"),
            (Ok(". {\n forward . 9.9.9.9\n}\n"), "the Corefile serves no domain for the cluster"),
        ] {
            let domain = derived(None, corefile);
            assert!(!domain.is_known());
            let because = expected.to_owned();
            assert_eq!((domain.name.as_str(), domain.source), (USUAL, DomainSource::Assumed { because }));
        }
    }
}
