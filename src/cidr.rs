//! Ranges of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A range of addresses, as `10.96.0.0/12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Cidr {
    base: IpAddr,
    prefix: u8,
}

/// A text that is not a range of addresses.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a range of addresses like 10.96.0.0/12")]
pub struct NotACidr(String);

impl Cidr {
    /// The range that holds only this address.
    pub fn of(address: IpAddr) -> Self {
        Self { base: address, prefix: width(address) }
    }

    /// The address at this place, counted from the range's own.
    pub fn nth(&self, place: u32) -> Option<IpAddr> {
        let address = match self.base {
            IpAddr::V4(base) => IpAddr::V4(Ipv4Addr::from_bits(base.to_bits().checked_add(place)?)),
            IpAddr::V6(base) => IpAddr::V6(Ipv6Addr::from_bits(base.to_bits().checked_add(place.into())?)),
        };
        self.contains(address).then_some(address)
    }

    /// How many addresses it holds; more than can be counted count as the most that can.
    pub fn size(&self) -> u64 {
        1_u64.checked_shl((width(self.base) - self.prefix).into()).unwrap_or(u64::MAX)
    }

    /// Whether the address lies in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.base.is_ipv4() && masked(address, self.prefix) == self.base
    }

    /// Whether every address of the other range lies in this one.
    pub fn covers(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.base)
    }

    /// Whether the addresses are of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.base.is_ipv4()
    }

    /// Whether any address lies in both ranges.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.base) || other.contains(self.base)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address without the bits beyond the prefix.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into())).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

impl FromStr for Cidr {
    type Err = NotACidr;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.trim().split_once('/').and_then(|(address, prefix)| {
            let (address, prefix) = (address.parse::<IpAddr>().ok()?, prefix.parse::<u8>().ok()?);
            (prefix <= width(address)).then(|| Self { base: masked(address, prefix), prefix })
        });
        parsed.ok_or_else(|| NotACidr(text.chars().take(60).collect()))
    }
}

impl TryFrom<String> for Cidr {
    type Error = NotACidr;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// Whether no router passes packets to the address on: 169.254.0.0/16, fe80::/10.
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_counted_from_the_ranges_own_address() {
        assert_eq!(cidr("10.96.0.0/12").nth(1), Some([10, 96, 0, 1].into()));
        assert_eq!(cidr("10.100.7.9/12").nth(10), Some([10, 96, 0, 10].into()));
        assert_eq!(cidr("fd00:96::/108").nth(1), "fd00:96::1".parse().ok());
        assert_eq!(cidr("10.0.0.0/30").nth(4), None);
        assert_eq!(cidr("255.255.255.255/32").nth(1), None);
    }

    #[test]
    fn a_range_holds_a_power_of_two() {
        assert_eq!(cidr("10.244.0.0/24").size(), 256);
        assert_eq!(Cidr::of([10, 77, 0, 11].into()).size(), 1);
        assert_eq!(cidr("fd00::/64").size(), u64::MAX);
    }

    #[test]
    fn ranges_overlap_when_one_holds_the_other() {
        assert!(cidr("10.244.0.0/16").overlaps(&cidr("10.244.128.0/20")));
        assert!(cidr("10.244.128.0/20").overlaps(&cidr("10.244.0.0/16")));
        assert!(cidr("0.0.0.0/0").overlaps(&Cidr::of([10, 77, 0, 11].into())));
        assert!(!cidr("10.244.0.0/16").overlaps(&cidr("10.96.0.0/12")));
        assert!(!cidr("0.0.0.0/0").overlaps(&cidr("::/0")));
    }

    #[test]
    fn what_is_not_a_range_is_refused() {
        for text in ["10.96.0.0", "10.96.0.0/33", "fd00::/129", "/12", "10.96.0/12", ""] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_range_reads_as_it_is_written(address: std::net::IpAddr, prefix: u8, place: u32) {
            if let Ok(read) = format!("{address}/{prefix}").parse::<Cidr>() {
                prop_assert_eq!(read.to_string().parse::<Cidr>().unwrap(), read);
                prop_assert!(read.contains(address) && read.overlaps(&read));
                prop_assert!(read.nth(place).is_none_or(|address| read.contains(address)));
            }
        }

        #[test]
        fn arbitrary_text_is_safe(text in "[0-9a-f.:/]{0,30}|\\PC{0,30}") {
            let _ = text.parse::<Cidr>();
        }
    }
}
