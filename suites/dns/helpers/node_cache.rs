//! DNS caches on the nodes.

use std::net::IpAddr;

use crate::cidr::is_link_local;
use crate::fact::facts::cluster_dns::ClusterDns;

/// How many bits of an address the largest range of IPv6 service addresses leaves open: it is a /108.
const LARGEST: u32 = 20;

/// Whether a DNS server at this address is a cache on each node instead of a Service: NodeLocal DNSCache has a
/// link-local address, or one of fd00::/8 (<https://kubernetes.io/docs/tasks/administer-cluster/nodelocaldns/>).
/// Services usually have addresses of that range too: an address in the largest range that contains one of a Service
/// belongs to a Service.
pub(crate) fn is_of_a_cache(dns: &ClusterDns, address: IpAddr) -> bool {
    let is_of_services = |service: &IpAddr| match (service, address) {
        (IpAddr::V6(service), IpAddr::V6(address)) => (service.to_bits() ^ address.to_bits()) >> LARGEST == 0,
        _ => false,
    };
    is_link_local(address)
        || matches!(address, IpAddr::V6(v6) if v6.is_unique_local()) && !dns.addresses.iter().any(is_of_services)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_outside_of_the_service_addresses() {
        let dns = ClusterDns {
            name: "kube-dns".into(),
            addresses: ["10.96.0.10", "fd00:10:96::a"].map(|address| address.parse().unwrap()).into(),
            labels: [].into(),
            ports: Vec::new(),
            servers: Ok(Vec::new()),
            manager: None,
        };
        let of_a_cache = |address: &str| is_of_a_cache(&dns, address.parse().unwrap());
        assert!(["169.254.20.10", "fe80::1", "fd00::10"].into_iter().all(of_a_cache));
        assert!(!["10.96.0.11", "fd00:10:96::b", "fd00:10:96::f:ffff", "2001:db8::1"].into_iter().any(of_a_cache));
    }
}
