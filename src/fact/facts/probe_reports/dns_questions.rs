//! What probes ask DNS servers.

use std::net::{IpAddr, SocketAddr};

use crate::fact::facts::dns_servers::DnsServers;
use crate::fact::facts::expectations::Expectations;
use crate::object_ref::NamespacedName;
use crate::ports;
use crate::probe::answer::{Kind, Purpose, Record};
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
/// How many Services that existed before the run are asked for; each run asks for others.
const EXISTING: usize = 6;
/// A name that nothing in a cluster has.
const NONEXISTENT: &str = "seaworthy-nobody.default";

/// What names are made of.
pub(crate) struct Names<'a> {
    /// The cluster's domain.
    pub domain: &'a str,
    /// The namespace of the probes.
    pub namespace: &'a str,
    /// The headless Service of the probes.
    pub service: &'a str,
    /// How many probes have a name.
    pub probes: usize,
    /// The Services that existed before the run and have addresses.
    pub existing: &'a [&'a NamespacedName],
    /// Changes from run to run.
    pub turn: u64,
}

impl Names<'_> {
    /// The name of a Service.
    pub(crate) fn of_service(domain: &str, service: &NamespacedName) -> String {
        format!("{}.{}.svc.{domain}.", service.name, service.namespace)
    }

    /// Some of the Services that existed before the run.
    fn some_existing(&self) -> impl Iterator<Item = &NamespacedName> {
        let count = self.existing.len();
        let first = usize::try_from(self.turn % u64::try_from(count.max(1)).unwrap_or(1)).unwrap_or_default();
        (0..count.min(EXISTING)).map(move |i| self.existing[(first + i) % count])
    }
}

/// What the probe at this place among those on ready nodes asks.
pub(crate) fn of(
    place: Option<usize>,
    names: &Names<'_>,
    dns: &DnsServers,
    api: Option<IpAddr>,
    expectations: &Expectations,
) -> DnsQuestion {
    let pods: Vec<IpAddr> = dns.pods.iter().copied().collect();
    let some = (0..pods.len().min(SERVERS)).map(|i| pods[(place.unwrap_or_default() + i) % pods.len()]);
    let some = some.map(|pod| SocketAddr::new(pod, dns.pod_port));
    // A Service without pods answers no client. Pods that are configured to ask it do so all the same.
    let service = (!pods.is_empty()).then(|| SocketAddr::new(dns.service, ports::DNS));
    let servers = service.into_iter().chain(some).collect();
    DnsQuestion {
        servers,
        name: format!("kubernetes.default.svc.{}.", names.domain),
        ipv6: api.is_some_and(|api| api.is_ipv6()),
        udp: LOOKUPS.0,
        tcp: LOOKUPS.1,
        records: if is_witness(place, names.probes, 0) { records(names, api, expectations) } else { Vec::new() },
    }
}

/// The servers whose metrics the probe at this place, among so many, looks at.
pub(crate) fn metrics(place: Option<usize>, probes: usize, dns: &DnsServers) -> Vec<SocketAddr> {
    let pods = dns.pods.iter().enumerate().filter(|(i, _)| is_witness(place, probes, *i)).take(SERVERS);
    pods.map(|(_, pod)| SocketAddr::new(*pod, ports::DNS_METRICS)).collect()
}

/// Whether the probe at this place, among so many, asks what a few are enough for; others do in other turns.
fn is_witness(place: Option<usize>, probes: usize, turn: usize) -> bool {
    place.is_some_and(|place| (0..WITNESSES).any(|i| (turn + i) % probes == place))
}

fn records(names: &Names<'_>, api: Option<IpAddr>, expectations: &Expectations) -> Vec<RecordQuestion> {
    let Names { domain, namespace, service, probes, .. } = names;
    let ask = |purpose, kind, name: String, awaited| {
        let record = Record { purpose, kind, name };
        RecordQuestion { record, awaited }
    };
    // Services and pods have addresses of the API's family, and may have of the other.
    let (own, other) = if api.is_some_and(|api| api.is_ipv6()) { (Kind::Aaaa, Kind::A) } else { (Kind::A, Kind::Aaaa) };
    let own_name = |suffix: &str| format!("{service}{suffix}.{namespace}.svc.{domain}.");
    let many = Some(usize::from(MANY_PORTS));
    let mut records = vec![
        ask(Purpose::ApiPort, Kind::Srv, format!("_https._tcp.kubernetes.default.svc.{domain}."), None),
        ask(Purpose::OtherFamily, other, format!("kubernetes.default.svc.{domain}."), None),
        ask(Purpose::Nonexistent, Kind::A, format!("{NONEXISTENT}.svc.{domain}."), None),
        ask(Purpose::Version, Kind::Txt, format!("dns-version.{domain}."), None),
        ask(Purpose::Alias, Kind::Cname, own_name("-alias"), Some(1)),
        ask(Purpose::LongAnswer, Kind::Srv, own_name("-many"), many),
        // The name differs from run to run, so that no cache has it.
        ask(Purpose::Upstream, Kind::A, format!("{service}.invalid."), None),
    ];
    let existing = names.some_existing().map(|service| Names::of_service(domain, service));
    records.extend(existing.map(|name| ask(Purpose::Existing, own, name, None)));
    records.extend(api.map(|api| ask(Purpose::ApiAddress, Kind::Ptr, reverse(api), None)));
    if *probes <= COMMON {
        records.push(ask(Purpose::Probes, own, own_name(""), Some(*probes)));
    }
    let external = expectations.external_names.iter();
    records.extend(
        external
            .map(|(name, addresses)| outside(name, addresses))
            .chain(expectations.unresolved_names.iter().map(|name| outside(name, &[])))
            .map(|record| RecordQuestion { record, awaited: None }),
    );
    records
}

/// The question for a name outside of the cluster that has these addresses, or any: for IPv4 addresses, unless all of them are
/// of IPv6.
pub(crate) fn outside(name: &str, addresses: &[IpAddr]) -> Record {
    let is_ipv6 = !addresses.is_empty() && addresses.iter().all(IpAddr::is_ipv6);
    let kind = if is_ipv6 { Kind::Aaaa } else { Kind::A };
    Record { purpose: Purpose::Outside, kind, name: format!("{}.", name.trim_end_matches('.')) }
}

/// The name under which the name of an address is looked up.
fn reverse(address: IpAddr) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(pods: u8) -> DnsServers {
        DnsServers {
            service: [10, 96, 0, 10].into(),
            pods: (0..pods).map(|i| IpAddr::from([10, 244, i, 2])).collect(),
            pod_port: 8053,
        }
    }

    fn names<'a>(existing: &'a [&'a NamespacedName]) -> Names<'a> {
        Names { domain: "cluster.local", namespace: "ns", service: "s", probes: 3, existing, turn: 7 }
    }

    #[test]
    fn services_that_existed_are_asked_for_in_turns() {
        let all: Vec<NamespacedName> = (0..10).map(|i| NamespacedName::new("shop", format!("web-{i}"))).collect();
        let all: Vec<&NamespacedName> = all.iter().collect();
        let names_of_all = names(&all);
        let chosen: Vec<&str> = names_of_all.some_existing().map(|service| service.name.as_ref()).collect();
        assert_eq!(chosen, ["web-7", "web-8", "web-9", "web-0", "web-1", "web-2"]);
        assert_eq!(names(&all[..2]).some_existing().count(), 2);
        let question =
            of(Some(0), &names(&all[..1]), &servers(1), Some([10, 96, 0, 1].into()), &Expectations::default());
        let asked = question.records.iter().find(|asked| asked.record.purpose == Purpose::Existing).unwrap();
        assert_eq!(asked.record.to_string(), "A web-0.shop.svc.cluster.local.");
    }

    fn asked(place: usize, pods: u8) -> DnsQuestion {
        of(Some(place), &names(&[]), &servers(pods), Some([10, 96, 0, 1].into()), &Expectations::default())
    }

    #[test]
    fn a_service_without_pods_is_not_asked() {
        assert!(asked(0, 0).servers.is_empty() && metrics(Some(0), 3, &servers(0)).is_empty());
    }

    #[test]
    fn two_probes_ask_for_records_and_look_at_each_servers_metrics() {
        let asked = [0, 1, 2].map(|place| asked(place, 2));
        assert_eq!(asked.iter().map(|asked| asked.records.len()).collect::<Vec<_>>(), [9, 9, 0]);
        let looked_at = |place| metrics(Some(place), 3, &servers(2)).len();
        assert_eq!([0, 1, 2].map(looked_at).iter().sum::<usize>(), 4);
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
        let question = of(Some(0), &names(&[]), &dns, Some("fd00::1".parse().unwrap()), &Expectations::default());
        assert!(question.ipv6 && !asked(0, 1).ipv6);
        let kinds = |question: &DnsQuestion| -> Vec<String> {
            question.records.iter().map(|asked| asked.record.to_string()).collect()
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
