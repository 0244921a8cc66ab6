//! The primary range of service addresses.

use super::kubeadm_config::KubeadmConfig;
use super::service_cidrs::{DEFAULT, ServiceCidrs};
use crate::cidr::Cidr;
use crate::fact::Derive;
use crate::seen::{Seen, Unobserved};

/// The primary range of service addresses: its first address is that of the API, its tenth usually that of the DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceRange {
    /// The range.
    pub cidr: Cidr,
    /// The object that shows it.
    pub source: &'static str,
}

impl Derive for ServiceRange {
    type Needs<'a> = (Option<&'a ServiceCidrs>, Option<&'a KubeadmConfig>);
    const NAME: &'static str = "service-range";

    fn derive((cidrs, kubeadm): Self::Needs<'_>) -> Seen<Self> {
        let own = cidrs.and_then(|cidrs| cidrs.ranges.get(DEFAULT)).and_then(|own| own.cidrs.first());
        if let Some(cidr) = own {
            return Ok(Self { cidr: *cidr, source: "ServiceCIDR kubernetes" });
        }
        let configured = kubeadm.and_then(|kubeadm| kubeadm.service_subnet.as_deref());
        let Some(configured) = configured else {
            return Err(Unobserved::absent(
                "neither a ServiceCIDR nor kubeadm-config contains the range of service addresses",
            ));
        };
        let source = "ConfigMap kube-system/kubeadm-config";
        let first = configured.split(',').next().unwrap_or(configured);
        first.parse().map(|cidr| Self { cidr, source }).map_err(|cause| Unobserved::invalid(source, cause))
    }
}

crate::derived!(ServiceRange);

#[cfg(test)]
mod tests {
    use super::super::service_cidrs::ServiceCidr;
    use super::*;

    fn kubeadm(subnet: &str) -> KubeadmConfig {
        KubeadmConfig { service_subnet: Some(subnet.into()), ..KubeadmConfig::default() }
    }

    #[test]
    fn the_object_goes_before_the_configuration() {
        let cidr = ServiceCidr {
            cidrs: vec!["10.43.0.0/16".parse().unwrap()],
            ready: true,
            message: String::new(),
            deleting: false,
        };
        let cidrs = ServiceCidrs { ranges: [(DEFAULT.to_owned(), cidr)].into(), complaints: Ok(Vec::new()) };
        let range = ServiceRange::derive((Some(&cidrs), Some(&kubeadm("10.96.0.0/12")))).unwrap();
        assert_eq!(range.cidr.to_string(), "10.43.0.0/16");
        let range = ServiceRange::derive((None, Some(&kubeadm("10.96.0.0/12,fd00::/108")))).unwrap();
        assert_eq!(
            (range.cidr.to_string().as_str(), range.source),
            ("10.96.0.0/12", "ConfigMap kube-system/kubeadm-config")
        );
    }

    #[test]
    fn nothing_known_differs_from_nothing_readable() {
        assert!(matches!(ServiceRange::derive((None, None)), Err(Unobserved::Absent { .. })));
        assert!(matches!(ServiceRange::derive((None, Some(&kubeadm("10.96")))), Err(Unobserved::Invalid { .. })));
    }
}
