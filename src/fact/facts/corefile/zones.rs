//! The zones of a Corefile.

use std::net::IpAddr;

use super::ServerBlock;
use super::values::{is_domain_name, range};

/// A zone at a port, as CoreDNS compares them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The protocol: `dns`, `tls`, `https`, …
    pub scheme: String,
    /// The zone in lower case, without a dot at the end.
    pub zone: String,
    /// The port, or the default of the protocol.
    pub port: String,
}

impl Key {
    /// The keys of a text: several for a range of addresses that does not end between two labels of its reverse zone.
    pub(crate) fn all(text: &str) -> Vec<Self> {
        let lower = |key: Self| Self { zone: key.zone.to_lowercase(), ..key };
        Self::as_written(text).into_iter().map(lower).collect()
    }

    /// The same with the letters of the zone as they are written.
    pub(super) fn as_written(text: &str) -> Vec<Self> {
        let (scheme, rest) = split_scheme(text);
        let usual = match scheme {
            "tls" | "quic" => "853",
            "https" | "https3" | "grpc" => "443",
            _ => "53",
        };
        let (zone, port) = split_port(rest);
        let zones = reverse_zones(zone).unwrap_or_else(|| vec![zone.to_owned()]);
        let key = |zone: &String| Self {
            scheme: scheme.to_owned(),
            zone: canonical(zone),
            port: port.unwrap_or(usual).to_owned(),
        };
        zones.iter().map(key).collect()
    }

    /// The first of them.
    pub(crate) fn of(text: &str) -> Self {
        let (scheme, rest) = split_scheme(text);
        Self::all(text).into_iter().next().unwrap_or_else(|| Self {
            scheme: scheme.to_owned(),
            zone: canonical(rest).to_lowercase(),
            port: String::new(),
        })
    }

    /// Why CoreDNS refuses a key, if it does.
    pub(super) fn refusal(text: &str) -> Option<String> {
        let (_, rest) = split_scheme(text);
        if rest.ends_with(':') {
            return Some(format!("the port is missing after the colon of {rest}"));
        }
        let (zone, port) = split_port(rest);
        if !is_domain_name(zone) {
            return Some(if zone.is_empty() {
                format!("there is no zone before the port of {rest}")
            } else {
                format!("{zone} is not a DNS name")
            });
        }
        if port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return Some(format!("{rest} has a port that does not exist"));
        }
        let is_range = range(zone).is_some();
        (is_range && (zone.starts_with(':') || (zone.starts_with('0') && zone.contains(':'))))
            .then(|| format!("{zone} is not a range that CoreDNS reads"))
    }
}

fn split_scheme(text: &str) -> (&str, &str) {
    let known = |scheme: &&str| ["dns", "tls", "quic", "grpc", "https", "https3", "unix"].contains(scheme);
    text.split_once("://").filter(|(scheme, _)| known(scheme)).unwrap_or(("dns", text))
}

/// A number after the last colon is the port.
fn split_port(rest: &str) -> (&str, Option<&str>) {
    let split = rest.rsplit_once(':').filter(|(_, port)| super::values::number(port).is_some());
    split.map_or((rest, None), |(zone, port)| (zone, Some(port)))
}

fn canonical(zone: &str) -> String {
    let zone = zone.strip_suffix('.').unwrap_or(zone);
    if zone.is_empty() { ".".to_owned() } else { zone.to_owned() }
}

/// The reverse zones of a range of addresses.
fn reverse_zones(text: &str) -> Option<Vec<String>> {
    let (address, length) = range(text)?;
    // The bits of a label: one byte of IPv4, half a byte of IPv6.
    let (bytes, bits, top) = match address {
        IpAddr::V4(address) => (address.octets().to_vec(), 8_u32, "in-addr.arpa"),
        IpAddr::V6(address) => (address.octets().to_vec(), 4, "ip6.arpa"),
    };
    let digits: Vec<u8> = match bits {
        8 => bytes,
        _ => bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).collect(),
    };
    let length = u32::from(length);
    let labels = usize::try_from(length.div_ceil(bits)).ok()?;
    // The bits of the last label that the range leaves open.
    let open = u32::try_from(labels).ok()? * bits - length;
    let written = |digit: u8| if bits == 8 { digit.to_string() } else { format!("{digit:x}") };
    let (last, first) = match digits[..labels].split_last() {
        Some((last, first)) => (u32::from(*last) >> open << open, first),
        None => return Some(vec![top.to_owned()]),
    };
    let parents: Vec<String> = first.iter().rev().map(|digit| written(*digit)).chain([top.to_owned()]).collect();
    let zones = (0..1_u32 << open).filter_map(|more| u8::try_from(last + more).ok());
    Some(zones.map(|last| [&[written(last)], &parents[..]].concat().join(".")).collect())
}

impl ServerBlock {
    /// The zones and ports of this block.
    pub(crate) fn all_keys(&self) -> impl Iterator<Item = Key> {
        self.keys.iter().flat_map(|key| Key::all(key))
    }

    /// The zones that the plugin kubernetes serves in this block: its arguments, or else the block's own.
    pub(crate) fn cluster_zones(&self) -> Vec<String> {
        let plugins = self.plugins("kubernetes");
        let zones = plugins.flat_map(|plugin| if plugin.arguments.is_empty() { &self.keys } else { &plugin.arguments });
        zones.flat_map(|zone| Key::all(zone)).map(|key| key.zone).collect()
    }

    /// The forward zone among those; the others are reverse zones.
    pub(crate) fn cluster_domain(&self) -> Option<String> {
        let is_usable = |zone: &str| zone != "." && !is_reverse(zone) && !super::is_unknown(zone);
        self.cluster_zones().into_iter().find(|zone| is_usable(zone))
    }
}

/// Whether a zone is one of addresses.
pub(crate) fn is_reverse(zone: &str) -> bool {
    [".in-addr.arpa", ".ip6.arpa"].iter().any(|top| zone.ends_with(top) || zone == &top[1..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::corefile::testing::{KUBEADM, corefile};

    #[test]
    fn keys_are_compared_as_coredns_does() {
        for (a, b) in [
            (".", ".:53"),
            ("dns://a.example", "A.example.:53"),
            ("tls://.", "tls://.:853"),
            ("10.0.0.0/24", "0.0.10.in-addr.arpa"),
        ] {
            assert_eq!(Key::of(a), Key::of(b));
        }
        assert_ne!(Key::of("."), Key::of("tls://."));
    }

    #[test]
    fn ranges_are_reverse_zones() {
        let zones = |text: &str| Key::all(text).into_iter().map(|key| key.zone).collect::<Vec<_>>();
        assert_eq!(zones("10.0.0.0/8"), ["10.in-addr.arpa"]);
        assert_eq!(zones("10.96.0.0/15:5353"), ["96.10.in-addr.arpa", "97.10.in-addr.arpa"]);
        assert_eq!(zones("10.96.0.0/12").len(), 16);
        assert_eq!(zones("fd00:1::/32"), ["1.0.0.0.0.0.d.f.ip6.arpa"]);
        assert_eq!(zones("0.0.0.0/0"), ["in-addr.arpa"]);
        assert_eq!(zones("192.0.2.1/32"), ["1.2.0.192.in-addr.arpa"]);
        assert_eq!(zones("a.example/24"), ["a.example/24"]);
    }

    #[test]
    fn a_key_that_coredns_refuses_is_known() {
        for key in [":53", "a..b", "a:", "a:99999", "::/0", ""] {
            assert!(Key::refusal(key).is_some(), "{key}");
        }
        for key in [".", ".:53", "10.0.0.0/8", "tls://a.example", "}", "fd00::/8:53"] {
            assert_eq!(Key::refusal(key), None, "{key}");
        }
    }

    #[test]
    fn the_zone_of_names_is_the_domain() {
        let blocks = corefile(KUBEADM).blocks.unwrap();
        assert_eq!(blocks.iter().find_map(ServerBlock::cluster_domain).as_deref(), Some("cluster.local"));
        let k3s = corefile(".:53 {\n kubernetes harbour.local in-addr.arpa ip6.arpa {\n }\n}\n").blocks.unwrap();
        assert_eq!(k3s[0].cluster_domain().as_deref(), Some("harbour.local"));
        for none in [".:53 {\n kubernetes\n}\n", ".:53 {\n kubernetes {$DOMAIN} 10.0.0.0/8\n}\n"] {
            assert_eq!(corefile(none).blocks.unwrap()[0].cluster_domain(), None);
        }
    }
}
