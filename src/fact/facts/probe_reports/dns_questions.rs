//! What probes ask DNS servers.

use std::net::{IpAddr, SocketAddr};

use crate::fact::facts::dns_servers::DnsServers;
use crate::fact::facts::expectations::Expectations;
use crate::ports;
use crate::probe::object::MANY_PORTS;
use crate::probe::question::{DnsQuestion, RecordQuestion};

/// How often each probe asks each DNS server by UDP and by TCP.
const LOOKUPS: (u32, u32) = (20, 5);
/// Up to this many DNS pods, every probe asks them all; beyond that, as many.
const SERVERS: usize = 4;
/// How many probes ask for records, which do not depend on who asks, and look at each server's metrics.
const WITNESSES: usize = 2;
/// Up to this many probes, their common name is asked for: more addresses do not fit into one answer.
const COMMON: usize = 16;
/// A name that nothing in a cluster has.
pub const NOBODY: &str = "seaworthy-nobody.default";

/// How the name of the Service with many ports ends.
pub const MANY: &str = "-many";

/// What names are made of.
pub struct Names<'a> {
    /// The cluster's domain.
    pub domain: &'a str,
    /// The namespace of the probes.
    pub namespace: &'a str,
    /// The headless Service of the probes.
    pub service: &'a str,
    /// How many probes have a name.
    pub probes: usize,
}

/// What the probe at this place among those on ready nodes asks.
pub fn of(
    place: Option<usize>,
    names: &Names<'_>,
    dns: &DnsServers,
    api: Option<IpAddr>,
    expectations: &Expectations,
) -> DnsQuestion {
    let pods: Vec<IpAddr> = dns.pods.iter().copied().collect();
    let some = (0..pods.len().min(SERVERS)).map(|i| pods[(place.unwrap_or_default() + i) % pods.len()]);
    let some = some.map(|pod| SocketAddr::new(pod, dns.pod_port));
    // A Service without pods answers nobody. Pods that are told to ask it do so all the same.
    let service = (!pods.is_empty()).then(|| SocketAddr::new(dns.service, ports::DNS));
    let servers = service.into_iter().chain(some).collect();
    let is_witness =
        |turn: usize| place.is_some_and(|place| (0..WITNESSES).any(|i| (turn + i) % names.probes == place));
    let metrics = pods.iter().enumerate().filter(|(i, _)| is_witness(*i)).take(SERVERS);
    DnsQuestion {
        servers,
        name: format!("kubernetes.default.svc.{}.", names.domain),
        ipv6: api.is_some_and(|api| api.is_ipv6()),
        udp: LOOKUPS.0,
        tcp: LOOKUPS.1,
        records: if is_witness(0) { records(names, api, expectations) } else { Vec::new() },
        metrics: metrics.map(|(_, pod)| SocketAddr::new(*pod, ports::DNS_METRICS)).collect(),
    }
}

fn records(names: &Names<'_>, api: Option<IpAddr>, expectations: &Expectations) -> Vec<RecordQuestion> {
    let Names { domain, namespace, service, probes } = names;
    let ask = |kind: &str, name: String, count| RecordQuestion { kind: kind.into(), name, count, at_once: false };
    // Services and pods have addresses of the API's family, and may have of the other.
    let (own, other) = if api.is_some_and(|api| api.is_ipv6()) { ("AAAA", "A") } else { ("A", "AAAA") };
    let mut records = vec![
        ask("SRV", format!("_https._tcp.kubernetes.default.svc.{domain}."), 1),
        ask(other, format!("kubernetes.default.svc.{domain}."), 0),
        ask("A", format!("{NOBODY}.svc.{domain}."), 0),
        ask("TXT", format!("dns-version.{domain}."), 1),
        ask("CNAME", format!("{service}-alias.{namespace}.svc.{domain}."), 1),
        // Not in the specification: a server may have none, and then has none whenever it is asked.
        RecordQuestion {
            at_once: true,
            ..ask("SRV", format!("{service}{MANY}.{namespace}.svc.{domain}."), usize::from(MANY_PORTS))
        },
    ];
    records.extend(api.map(|api| ask("PTR", reverse(api), 1)));
    if *probes <= COMMON {
        records.push(ask(own, format!("{service}.{namespace}.svc.{domain}."), *probes));
    }
    let external = expectations.external_names.iter();
    records.extend(external.map(|(name, addresses)| ask(kind_of(addresses), absolute(name), 0)));
    records.extend(expectations.unresolved_names.iter().map(|name| ask(kind_of(&[]), absolute(name), 0)));
    records
}

/// The type of the records that say these addresses: A, unless all of them are of IPv6.
pub fn kind_of(addresses: &[IpAddr]) -> &'static str {
    if !addresses.is_empty() && addresses.iter().all(IpAddr::is_ipv6) { "AAAA" } else { "A" }
}

/// The name under which an address is looked up.
pub fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            let labels: Vec<String> = nibbles.map(|nibble| format!("{nibble:x}")).collect();
            format!("{}.ip6.arpa.", labels.join("."))
        }
    }
}

/// A name with its final dot.
pub fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(place: usize, pods: u8) -> DnsQuestion {
        let dns = DnsServers {
            service: [10, 96, 0, 10].into(),
            pods: (0..pods).map(|i| IpAddr::from([10, 244, i, 2])).collect(),
            pod_port: 8053,
        };
        let names = Names { domain: "cluster.local", namespace: "ns", service: "s", probes: 3 };
        of(Some(place), &names, &dns, Some([10, 96, 0, 1].into()), &Expectations::default())
    }

    #[test]
    fn a_service_without_pods_is_not_asked_unless_pods_are_told_to() {
        assert!(asked(0, 0).servers.is_empty() && asked(0, 0).metrics.is_empty());
    }

    #[test]
    fn two_probes_ask_for_records_and_look_at_each_servers_metrics() {
        let asked = [0, 1, 2].map(|place| asked(place, 2));
        assert_eq!(asked.iter().map(|asked| asked.records.len()).collect::<Vec<_>>(), [8, 8, 0]);
        assert_eq!(asked.iter().map(|asked| asked.metrics.len()).sum::<usize>(), 4);
        assert!(asked.iter().all(|asked| asked.servers.len() == 3));
        assert_eq!(asked[0].servers[..2], ["10.96.0.10:53", "10.244.0.2:8053"].map(|at| at.parse().unwrap()));
    }

    #[test]
    fn of_many_servers_each_probe_asks_some() {
        assert_eq!(asked(1, 40).servers.len(), 5);
        assert_ne!(asked(1, 40).servers, asked(2, 40).servers);
    }

    #[test]
    fn where_the_api_has_an_ipv6_address_names_are_asked_for_such() {
        let pods = ["fd01::2".parse().unwrap()].into();
        let dns = DnsServers { service: "fd00::a".parse().unwrap(), pods, pod_port: 53 };
        let names = Names { domain: "cluster.local", namespace: "ns", service: "s", probes: 3 };
        let question = of(Some(0), &names, &dns, Some("fd00::1".parse().unwrap()), &Expectations::default());
        assert!(question.ipv6 && !asked(0, 1).ipv6);
        let kinds = |question: &DnsQuestion| -> Vec<String> {
            question.records.iter().map(|asked| format!("{} {}", asked.kind, asked.name)).collect()
        };
        assert!(kinds(&question).contains(&"A kubernetes.default.svc.cluster.local.".into()));
        assert!(kinds(&question).contains(&"AAAA s.ns.svc.cluster.local.".into()));
        assert!(kinds(&asked(0, 1)).contains(&"AAAA kubernetes.default.svc.cluster.local.".into()));
    }

    #[test]
    fn addresses_are_looked_up_backwards() {
        assert_eq!(reverse([10, 96, 0, 1].into()), "1.0.96.10.in-addr.arpa.");
        let v6 = reverse("fd00::1".parse().unwrap());
        assert!(v6.starts_with("1.0.0.0.") && v6.ends_with("0.0.d.f.ip6.arpa."), "{v6}");
    }
}
