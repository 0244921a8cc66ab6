//! The zones of a Corefile.

use super::ServerBlock;

/// A zone at a port, as CoreDNS compares them.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The protocol: `dns`, `tls`, `https`, …
    pub scheme: String,
    /// The zone in lower case, without a dot at the end.
    pub zone: String,
    /// The port, or the default of the protocol.
    pub port: String,
}

impl Key {
    /// The key of a text.
    pub(crate) fn of(text: &str) -> Self {
        let (scheme, rest) = text.split_once("://").unwrap_or(("dns", text));
        let usual = match scheme {
            "tls" | "quic" => "853",
            "https" | "https3" => "443",
            _ => "53",
        };
        // Reverse zones may be written as ranges; what follows the last colon is a port only if it is a number.
        let (zone, port) = match rest.rsplit_once(':') {
            Some((zone, port))
                if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) && !zone.contains(':') =>
            {
                (zone, port)
            }
            _ => (rest, usual),
        };
        let zone = zone.trim_end_matches('.').to_lowercase();
        let zone = if zone.is_empty() { ".".to_owned() } else { zone };
        Self { scheme: scheme.to_owned(), zone, port: port.to_owned() }
    }
}

impl ServerBlock {
    /// The zones that the plugin kubernetes serves in this block: its arguments, or else the block's own.
    pub(crate) fn cluster_zones(&self) -> Vec<String> {
        let plugins = self.plugins("kubernetes");
        let zones = plugins.flat_map(|plugin| if plugin.arguments.is_empty() { &self.keys } else { &plugin.arguments });
        zones.map(|zone| Key::of(zone).zone).collect()
    }

    /// The forward zone among those; the others are reverse zones.
    pub(crate) fn cluster_domain(&self) -> Option<String> {
        let is_of_addresses = |zone: &str| zone.contains('/') || zone.rsplit('.').next() == Some("arpa");
        self.cluster_zones().into_iter().find(|zone| zone != "." && !is_of_addresses(zone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::corefile::testing::{KUBEADM, corefile};

    #[test]
    fn keys_are_compared_as_coredns_does() {
        for (a, b) in [(".", ".:53"), ("dns://a.example", "A.example.:53"), ("tls://.", "tls://.:853")] {
            assert_eq!(Key::of(a), Key::of(b));
        }
        assert_ne!(Key::of("."), Key::of("tls://."));
    }

    #[test]
    fn the_zone_of_names_is_the_domain() {
        let blocks = corefile(KUBEADM).blocks.unwrap();
        assert_eq!(blocks.iter().find_map(ServerBlock::cluster_domain).as_deref(), Some("cluster.local"));
        let k3s = corefile(".:53 {\n kubernetes harbour.local in-addr.arpa ip6.arpa {\n }\n}\n").blocks.unwrap();
        assert_eq!(k3s[0].cluster_domain().as_deref(), Some("harbour.local"));
        let none = corefile(".:53 {\n kubernetes\n}\n").blocks.unwrap();
        assert_eq!(none[0].cluster_domain(), None);
    }
}
