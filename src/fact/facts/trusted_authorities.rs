//! The authorities from which the cluster's servers have their certificates.

use super::kubeconfig_summary::KubeconfigSummary;
use super::root_ca_config_maps::RootCaConfigMaps;
use crate::certificate::Certificate;
use crate::fact::{Derive, Seen, Unobserved};

/// The authorities from which the cluster's servers have their certificates: those of the kubeconfig, and those that
/// pods in kube-system are given. The kubeconfig's alone may be a load balancer's, or none.
#[derive(Clone, Debug)]
pub struct TrustedAuthorities(pub Vec<Certificate>);

impl Derive for TrustedAuthorities {
    type Needs<'a> = (&'a KubeconfigSummary, Result<&'a RootCaConfigMaps, &'a Unobserved>);
    const NAME: &'static str = "trusted-authorities";

    fn derive((kubeconfig, root_ca): Self::Needs<'_>) -> Seen<Self> {
        let mut trusted = kubeconfig.authorities.clone();
        match root_ca {
            Ok(maps) => {
                let content = maps.of_namespace("kube-system").and_then(|content| content.certificates.as_ref().ok());
                trusted.extend(content.into_iter().flatten().cloned());
            }
            Err(why) if trusted.is_empty() => return Err(why.clone()),
            Err(_) => {}
        }
        trusted.sort();
        trusted.dedup();
        if trusted.is_empty() {
            let cause = "neither the kubeconfig nor ConfigMap kube-system/kube-root-ca.crt names one";
            return Err(Unobserved::invalid("the search for the cluster's certificate authority", cause));
        }
        Ok(Self(trusted))
    }
}

crate::derived!(TrustedAuthorities);
