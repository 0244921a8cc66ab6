//! Spreads the questions of one probe over as many containers as their answers need messages.

use super::endpoint::{Ask, Endpoint};
use super::question::DnsQuestion;
use super::{Questions, message};

/// How many containers of a probe do not ask.
const SERVING: usize = 1;
/// The most containers that ask: with more, the share that the kubelet leaves to each shrinks as fast.
const ASKING: usize = 3;

/// What an answer adds to a packed message, in bytes: as measured on real clusters, with a third more for faults.
mod size {
    /// What every message holds.
    pub const ALWAYS: usize = 150;
    /// What is asked once, of the API and of Services.
    pub const ONCE: usize = 600;
    /// A DNS server.
    pub const DNS_SERVER: usize = 80;
    /// Other records, which all servers tell alike: at the first, and at each.
    pub const RECORDS: (usize, usize) = (550, 50);
    /// The kubelet; its certificate, the same at each of the node's addresses, is most of it.
    pub const KUBELET: usize = 1300;
    /// A server of metadata that serves pods; one that is closed takes a third.
    pub const METADATA: usize = 120;
    /// A peer.
    pub const PEER: usize = 30;
    /// A port.
    pub const ENDPOINT: usize = 7;
    /// A server's certificate.
    pub const CERTIFICATE: usize = 1500;
}

/// The questions of each container, by its name. One container asks all that fits into one message.
pub fn over_containers(questions: Questions) -> Vec<(String, Questions)> {
    let mut asking = 1;
    let mut parts = pack(&questions, asking);
    while parts.is_none() && asking < ASKING {
        asking += 1;
        parts = pack(&questions, asking);
    }
    // What is estimated to be too long is asked all the same: the probe says so if it is.
    let parts = parts.unwrap_or_else(|| vec![questions]);
    let limit = message::limit(parts.len() + SERVING);
    let named = |(i, part)| (name(i), Questions { message_limit: limit, ..part });
    parts.into_iter().enumerate().map(named).collect()
}

/// The name of a container that asks.
pub fn name(place: usize) -> String {
    if place == 0 { "ask".into() } else { format!("ask-{}", place + 1) }
}

/// The questions in this many parts; none when they do not fit. What can be asked apart moves to where room is left.
fn pack(questions: &Questions, parts: usize) -> Option<Vec<Questions>> {
    let limit = message::limit(parts + SERVING);
    let empty = Questions {
        api: None,
        dns: None,
        service: None,
        node_addresses: Vec::new(),
        metadata: Vec::new(),
        ..without_lists(questions)
    };
    let mut packed = vec![(limit.checked_sub(indivisible(questions))?, without_lists(questions))];
    packed.extend((1..parts).map(|_| (limit.saturating_sub(size::ALWAYS), empty.clone())));
    if let Some(dns) = &questions.dns {
        room(&mut packed, dns_size(dns))?.dns = Some(dns.clone());
    }
    for peer in &questions.peers {
        room(&mut packed, size::PEER)?.peers.push(peer.clone());
    }
    // The largest first, so that what is small fills the gaps.
    let mut endpoints: Vec<&Endpoint> = questions.endpoints.iter().collect();
    endpoints.sort_by_key(|endpoint| std::cmp::Reverse(endpoint_size(endpoint)));
    for endpoint in endpoints {
        room(&mut packed, endpoint_size(endpoint))?.endpoints.push(endpoint.clone());
    }
    Some(packed.into_iter().map(|(_, part)| part).collect())
}

fn room(packed: &mut [(usize, Questions)], size: usize) -> Option<&mut Questions> {
    let (left, part) = packed.iter_mut().find(|(left, _)| *left >= size)?;
    *left -= size;
    Some(part)
}

fn without_lists(questions: &Questions) -> Questions {
    Questions { dns: None, peers: Vec::new(), endpoints: Vec::new(), ..questions.clone() }
}

fn indivisible(questions: &Questions) -> usize {
    let metadata = questions.metadata.len() * size::METADATA;
    size::ALWAYS + size::ONCE + questions.node_addresses.len().min(1) * size::KUBELET + metadata
}

fn dns_size(dns: &DnsQuestion) -> usize {
    let records = if dns.records.is_empty() { (0, 0) } else { size::RECORDS };
    records.0 + dns.servers.len() * (size::DNS_SERVER + records.1)
}

fn endpoint_size(endpoint: &Endpoint) -> usize {
    if endpoint.ask == Ask::Certificate { size::CERTIFICATE } else { size::ENDPOINT }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};
    use std::time::Duration;

    use super::*;
    use crate::probe::question::{MetadataQuestion, Peer};

    fn questions(peers: usize, certificates: u16) -> Questions {
        let at = |port| SocketAddr::from(([10, 77, 0, 11], port));
        let peer = |i| Peer { pod: format!("p{i}"), host: format!("p{i}.x."), address: None };
        Questions {
            peers: (0..peers).map(peer).collect(),
            node_addresses: vec![IpAddr::from([10, 77, 0, 11])],
            endpoints: (0..certificates)
                .map(|i| Endpoint::certificate(at(2379 + i)))
                .chain([Endpoint::tcp(at(10250))])
                .collect(),
            metadata: vec![MetadataQuestion { at: ([169, 254, 169, 254], 80).into(), requests: true }],
            ..Questions::none("x7f4k".parse().unwrap(), "p", Duration::from_secs(1), Duration::from_secs(9))
        }
    }

    #[test]
    fn a_small_node_asks_in_one_container() {
        let parts = over_containers(questions(15, 0));
        assert_eq!(parts.len(), 1);
        assert_eq!((parts[0].0.as_str(), parts[0].1.message_limit), ("ask", 4096));
    }

    #[test]
    fn certificates_go_into_a_second_message_and_nothing_is_lost() {
        let parts = over_containers(questions(15, 2));
        assert_eq!(parts.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["ask", "ask-2"]);
        assert!(parts.iter().all(|(_, part)| part.message_limit == 4096));
        assert_eq!(parts.iter().map(|(_, part)| part.peers.len()).sum::<usize>(), 15);
        assert_eq!(parts.iter().map(|(_, part)| part.endpoints.len()).sum::<usize>(), 3);
        assert_eq!(parts.iter().filter(|(_, part)| part.node_addresses.is_empty()).count(), 1, "asked once");
        // The kubelet is the control of what is closed: both are asked by one container.
        assert!(parts.iter().all(|(_, part)| part.metadata.is_empty() == part.node_addresses.is_empty()));
    }

    #[test]
    fn more_than_any_pod_may_say_is_asked_and_not_dropped() {
        let parts = over_containers(questions(15, 40));
        assert_eq!((parts.len(), parts[0].1.endpoints.len()), (1, 41));
    }
}
