//! The CAs of the cluster's servers.

use super::kubeconfig_summary::KubeconfigSummary;
use super::root_ca_config_maps::RootCaConfigMaps;
use crate::certificate::Certificate;
use crate::fact::Derive;
use crate::seen::{Seen, Unobserved};

/// The CAs of the cluster's servers: those of the kubeconfig, and those of pods in kube-system. The kubeconfig alone
/// may have a load balancer's CA, or none.
#[derive(Clone, Debug)]
pub(crate) struct TrustedAuthorities(pub Vec<Certificate>);

impl Derive for TrustedAuthorities {
    type Needs<'a> = (&'a KubeconfigSummary, Result<&'a RootCaConfigMaps, &'a Unobserved>);
    const NAME: &'static str = "trusted-authorities";

    fn derive((kubeconfig, root_ca): Self::Needs<'_>) -> Seen<Self> {
        let mut trusted = kubeconfig.authorities.clone();
        match root_ca {
            Ok(maps) => {
                let given = maps.of_namespace("kube-system").map(|content| content.certificates.as_deref());
                let unreadable = |why| Unobserved::invalid("ConfigMap kube-system/kube-root-ca.crt", why);
                trusted.extend_from_slice(given.transpose().map_err(unreadable)?.unwrap_or_default());
            }
            Err(why) if trusted.is_empty() => return Err(why.clone()),
            Err(_) => {}
        }
        trusted.sort();
        trusted.dedup();
        if trusted.is_empty() {
            let cause = "neither the kubeconfig nor ConfigMap kube-system/kube-root-ca.crt names one";
            return Err(Unobserved::invalid("the cluster's CA", cause));
        }
        Ok(Self(trusted))
    }
}

crate::derived!(TrustedAuthorities);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::testing::Authority;
    use crate::fact::facts::root_ca_config_maps::RootCa;

    #[test]
    fn an_unreadable_authority_is_not_passed_over() {
        let ca = Authority::new("kubernetes").certificate;
        let kubeconfig = KubeconfigSummary {
            https: true,
            endpoint: "10.77.0.100:6443".parse().unwrap(),
            server_name: None,
            skips_verification: false,
            authorities: vec![ca],
        };
        let derived = |certificates| {
            let namespaces = ["kube-system".to_owned()].into();
            let maps = RootCaConfigMaps(vec![RootCa { certificates, namespaces }]);
            TrustedAuthorities::derive((&kubeconfig, Ok(&maps))).map(|trusted| trusted.0.len())
        };
        assert_eq!(derived(Ok(vec![Authority::new("another").certificate])), Ok(2));
        assert!(
            derived(Err("no certificate in the bundle".into())).unwrap_err().to_string().contains("kube-root-ca.crt")
        );
    }
}
