//! The paths that probes tried.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::event::survey::{Path, PathKind, PathState};
use crate::fact::Facts;
use crate::fact::facts::dns_servers::DnsServers;
use crate::fact::facts::probe_reports::answers::{Answers, Backends, Fault, Got, Lookups, PeerAnswer};
use crate::fact::facts::probe_reports::{ProbeReport, ProbeReports};
use crate::seen::Unobserved;

/// All that were tried, the worst first.
pub(super) fn tried(facts: &Facts) -> Vec<Path> {
    let Ok(reports) = facts.seen::<ProbeReports>() else { return Vec::new() };
    let dns = facts.seen::<DnsServers>().ok();
    let nodes: BTreeMap<&str, &str> =
        reports.0.iter().map(|(node, report)| (report.pod.as_str(), node.as_str())).collect();
    let mut paths: Vec<Path> = Vec::new();
    for (node, ProbeReport { answers, .. }) in &reports.0 {
        match answers {
            Ok(answers) => {
                let mut push = |kind, to: String, (state, detail)| {
                    paths.push(Path { from: node.clone(), to, kind, state, detail });
                };
                for (pod, answer) in &answers.peers {
                    let seen = if reports.came_too_late(pod, node) {
                        (PathState::Unknown, "the other probe began to serve too late".into())
                    } else {
                        peer(answer)
                    };
                    push(PathKind::Pod, nodes.get(pod.as_str()).map_or_else(|| pod.clone(), ToString::to_string), seen);
                }
                for (server, answer) in &answers.dns {
                    push(PathKind::Dns, server_name(server, dns), lookups(&answer.udp, &answer.tcp));
                }
                for (to, seen) in services(answers) {
                    push(PathKind::Service, to, seen);
                }
                if let Some(seen) = api(answers) {
                    push(PathKind::ApiServer, "kubernetes.default".into(), seen);
                }
            }
            // Its row and its column would else be missing.
            Err(why) => paths.push(silent(node, why)),
        }
    }
    paths.sort_by(|a, b| (rank(a.state), a).cmp(&(rank(b.state), b)));
    paths
}

fn rank(state: PathState) -> u8 {
    match state {
        PathState::Closed => 0,
        PathState::Partial => 1,
        PathState::Unknown => 2,
        PathState::Open => 3,
    }
}

fn silent(node: &str, why: &Unobserved) -> Path {
    let detail = format!("the probe did not report: {why}");
    Path { from: node.into(), to: node.into(), kind: PathKind::Pod, state: PathState::Unknown, detail }
}

fn peer(answer: &PeerAnswer) -> (PathState, String) {
    if let Err(fault @ (Fault::Unresolved(_) | Fault::Unanswered)) = &answer.address {
        return (PathState::Unknown, format!("not tried: {fault}"));
    }
    if answer.seen().is_err() {
        return (PathState::Unknown, Fault::Unanswered.to_string());
    }
    let mut words = vec![format!("TCP {}", word(&answer.tcp)), format!("UDP {}", word(&answer.udp))];
    let mut state = match (&answer.tcp, &answer.udp) {
        (Ok(_), Ok(_)) => PathState::Open,
        (Err(_), Err(_)) => PathState::Closed,
        _ => PathState::Partial,
    };
    if let Some(Err(fault)) = answer.large.as_ref().map(|large| &large.tcp)
        && *fault != Fault::Unanswered
    {
        state = PathState::Partial;
        words.push(format!("full packets: {fault}"));
    }
    if let Some(loss) = answer.loss.filter(|loss| loss.lost > 0) {
        words.push(format!("{} of {} datagrams lost", loss.lost, loss.sent));
    }
    (state, words.join(", "))
}

fn word<T>(got: &Got<T>) -> String {
    got.as_ref().map_or_else(ToString::to_string, |_| "open".into())
}

fn server_name(server: &SocketAddr, dns: Option<&DnsServers>) -> String {
    match dns.is_some_and(|dns| dns.service == server.ip()) {
        true => format!("DNS Service {server}"),
        false => format!("DNS server {server}"),
    }
}

fn lookups(udp: &Lookups, tcp: &Lookups) -> (PathState, String) {
    let said = |name: &str, of: &Lookups| format!("{name} {} of {} answered", of.answered, of.asked);
    let state = share(udp.answered + tcp.answered, udp.asked + tcp.asked);
    let fault = udp.fault.as_ref().or(tcp.fault.as_ref());
    let why = fault.filter(|_| state != PathState::Open).map(|fault| format!(": {fault}")).unwrap_or_default();
    (state, format!("{}, {}{why}", said("UDP", udp), said("TCP", tcp)))
}

fn share(answered: u32, asked: u32) -> PathState {
    match answered {
        _ if asked == 0 => PathState::Unknown,
        0 => PathState::Closed,
        some if some < asked => PathState::Partial,
        _ => PathState::Open,
    }
}

fn services(answers: &Answers) -> Vec<(String, (PathState, String))> {
    let Ok(service) = answers.service() else { return Vec::new() };
    let fronts = [
        ("ClusterIP by TCP", Some(&service.tcp)),
        ("ClusterIP by UDP", Some(&service.udp)),
        ("ClusterIP with session affinity", Some(&service.affinity)),
        ("node port", service.node_port.as_ref()),
        ("ClusterIP of the other family", service.other_family.as_ref()),
    ];
    let mut seen: Vec<_> =
        fronts.into_iter().filter_map(|(to, backends)| Some((to.to_owned(), front(backends?)))).collect();
    let others: Vec<_> = service.other_nodes.values().filter(|got| **got != Err(Fault::Unanswered)).collect();
    if let Some(asked) = u32::try_from(others.len()).ok().filter(|asked| *asked > 0) {
        let open = u32::try_from(others.iter().filter(|got| got.is_ok()).count()).unwrap_or(asked);
        seen.push(("node ports of other nodes".into(), (share(open, asked), format!("{open} of {asked} open"))));
    }
    seen
}

fn front(backends: &Backends) -> (PathState, String) {
    let Backends { asked, answered, fault, .. } = backends;
    let count: u32 = answered.values().sum();
    let words = format!("{count} of {asked} requests answered, by {} backends", answered.len());
    match fault {
        _ if backends.seen().is_err() => (PathState::Unknown, Fault::Unanswered.to_string()),
        _ if answered.is_empty() && *asked == 0 => (PathState::Unknown, words),
        Some(fault) if answered.is_empty() => (PathState::Closed, format!("{words}: {fault}")),
        Some(fault) if *fault != Fault::Unanswered => (PathState::Partial, format!("{words}: {fault}")),
        _ => (PathState::Open, words),
    }
}

fn api(answers: &Answers) -> Option<(PathState, String)> {
    answers.api.as_ref()?;
    let Ok(api) = answers.api() else { return Some((PathState::Unknown, Fault::Unanswered.to_string())) };
    let words = format!("{} of {} connections", api.connected, api.tried);
    let state = share(api.connected, api.tried);
    let why = api.fault.as_ref().filter(|_| state != PathState::Open);
    Some((state, why.map_or(words.clone(), |fault| format!("{words}: {fault}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(tcp: Got<[u8; 4]>, udp: Got<[u8; 4]>) -> PeerAnswer {
        let at = |got: Got<[u8; 4]>| got.map(Into::into);
        PeerAnswer {
            address: Ok([10, 244, 1, 2].into()),
            by_address: false,
            tcp: at(tcp),
            udp: at(udp),
            large: None,
            loss: None,
        }
    }

    #[test]
    fn a_path_is_open_when_both_protocols_are() {
        let open = Ok([10, 244, 0, 2]);
        assert_eq!(peer(&answer(open.clone(), open.clone())), (PathState::Open, "TCP open, UDP open".into()));
        let half = peer(&answer(open, Err(Fault::TimedOut)));
        assert_eq!(half, (PathState::Partial, "TCP open, UDP no answer".into()));
        assert_eq!(peer(&answer(Err(Fault::Refused), Err(Fault::TimedOut))).0, PathState::Closed);
    }

    #[test]
    fn what_there_was_no_time_to_try_is_unknown() {
        assert_eq!(peer(&answer(Err(Fault::Unanswered), Err(Fault::Unanswered))).0, PathState::Unknown);
        let unresolved = PeerAnswer {
            address: Err(Fault::Unresolved("NXDOMAIN".into())),
            ..answer(Err(Fault::TimedOut), Err(Fault::TimedOut))
        };
        assert_eq!(peer(&unresolved).0, PathState::Unknown, "no address, so no path");
        assert_eq!(share(0, 0), PathState::Unknown);
        assert_eq!(front(&Backends::default()).0, PathState::Unknown);
    }

    #[test]
    fn some_answers_are_a_part() {
        let ratios = [(0, 3), (1, 3), (3, 3)].map(|(answered, asked)| share(answered, asked));
        assert_eq!(ratios, [PathState::Closed, PathState::Partial, PathState::Open]);
    }
}
