//! Where clouds serve metadata to their instances.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::fact::facts::nodes::Node;
use crate::probe::question::MetadataQuestion;

/// Where AWS, Google, Azure and others serve the metadata of an instance. The address is link-local.
pub(crate) const IPV4: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
/// Where AWS serves the same by IPv6. The address is unique-local.
pub(crate) const IPV6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254));
/// Azure's WireServer, from which an instance's agent takes its configuration. Elsewhere the address belongs to another
/// network, and is public.
pub(crate) const WIRE_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16));
/// The port of all of them.
const HTTP: u16 = 80;

/// What the probe on a node is asked.
pub(crate) fn of(node: &Node) -> Vec<MetadataQuestion> {
    let question = |ip: IpAddr, requests| MetadataQuestion { at: (ip, HTTP).into(), requests };
    let wire_server = is_of(node, "azure").then(|| question(WIRE_SERVER, false));
    [IPV4, IPV6].map(|ip| question(ip, true)).into_iter().chain(wire_server).collect()
}

/// Whether a node is an instance of this provider.
pub(crate) fn is_of(node: &Node, provider: &str) -> bool {
    node.provider_id.as_deref().and_then(|id| id.split_once("://")).is_some_and(|(of, _)| of == provider)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_address_is_dialled_only_where_it_is_azures() {
        let asked = |id: Option<&str>| {
            let node = Node { provider_id: id.map(str::to_owned), ..Node::default() };
            of(&node).iter().map(|question| question.at.to_string()).collect::<Vec<_>>()
        };
        let always = ["169.254.169.254:80", "[fd00:ec2::254]:80"];
        for id in [None, Some("aws:///eu-central-1a/i-0abc"), Some("azures:///x")] {
            assert_eq!(asked(id), always, "{id:?}");
        }
        assert_eq!(asked(Some("azure:///subscriptions/x")), [always[0], always[1], "168.63.129.16:80"]);
    }
}
