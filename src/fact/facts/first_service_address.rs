//! The address that the Service default/kubernetes has by rule.

use std::net::IpAddr;

use super::kubeadm_config::KubeadmConfig;
use crate::fact::{Derive, Seen, Unobserved};

/// The first address of kubeadm's first service range, which the Service default/kubernetes has by rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstServiceAddress {
    /// The address.
    pub address: IpAddr,
    /// The range.
    pub range: String,
}

impl Derive for FirstServiceAddress {
    type Needs<'a> = (&'a KubeadmConfig,);
    const NAME: &'static str = "first-service-address";

    fn derive((kubeadm,): Self::Needs<'_>) -> Seen<Self> {
        let ranges = kubeadm.service_subnet.as_deref().unwrap_or_default();
        let range = ranges.split(',').next().unwrap_or_default().trim();
        let address = first(range).ok_or_else(|| {
            Unobserved::invalid("ConfigMap kube-system/kubeadm-config", format!("serviceSubnet {range:?} is no range"))
        })?;
        Ok(Self { address, range: range.to_owned() })
    }
}

/// The address after the range's own.
fn first(range: &str) -> Option<IpAddr> {
    let (base, length) = range.split_once('/')?;
    let length: u32 = length.parse().ok()?;
    match base.parse().ok()? {
        IpAddr::V4(base) => {
            let mask = u32::MAX.checked_shl(32u32.checked_sub(length)?).unwrap_or(0);
            Some(IpAddr::from((base.to_bits() & mask).checked_add(1)?.to_be_bytes()))
        }
        IpAddr::V6(base) => {
            let mask = u128::MAX.checked_shl(128u32.checked_sub(length)?).unwrap_or(0);
            Some(IpAddr::from((base.to_bits() & mask).checked_add(1)?.to_be_bytes()))
        }
    }
}

crate::derived!(FirstServiceAddress);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_address_follows_the_network() {
        assert_eq!(first("10.96.0.0/12"), Some([10, 96, 0, 1].into()));
        assert_eq!(first("10.100.7.9/12"), Some([10, 96, 0, 1].into()));
        assert_eq!(first("fd00:96::/108"), "fd00:96::1".parse().ok());
        assert_eq!(first("0.0.0.0/0"), Some([0, 0, 0, 1].into()));
        assert_eq!(first("10.96.0.0/33"), None);
        assert_eq!(first("10.96.0.0"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_safe(range in "[0-9a-f.:/]{0,30}|\\PC{0,30}") {
            let _ = first(&range);
        }
    }
}
