//! # The control plane's endpoint spreads over all API servers and drops no connection
//!
//! ## Why
//! A load balancer that still sends connections to a dead API server drops one connection of three; one that has only
//! one backend makes the other API servers useless when that one fails.
//!
//! ## Fix
//! Check the backends of the load balancer: each API server, by its own address and port 6443, with an HTTPS health
//! check of `/readyz` every few seconds. A virtual address (keepalived, kube-vip) leads to one server at a time by
//! design: there, check only that it moves.
//!
//! ## Source
//! kubernetes/kubeadm `docs/ha-considerations.md`;
//! <https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/high-availability/>. The check makes thirty
//! TLS connections, and distinguishes API servers by the serial number of the certificate that they present. How long DNS
//! caches the name is not checked.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::api_server_handshakes::ApiServerHandshakes;
use crate::fact::facts::control_plane_endpoint::ControlPlaneEndpoint;
use crate::fact::facts::nodes::{Node, Nodes};
use crate::handshake::Handshake;
use crate::seen::{Seen, Unobserved};

crate::check!("HA-02", "endpoint-spread", Major, judge, builds_on: ["CP-01", "KL-01"], blocked_by: ["HA-01"]);

/// How a load balancer notices by itself that a backend is dead.
const CHECK_BACKENDS: &str = "let the load balancer check each backend by HTTPS at /readyz every few seconds";

fn judge(
    endpoint: &ControlPlaneEndpoint,
    servers: &ApiServerHandshakes,
    nodes: Result<&Nodes, &Unobserved>,
) -> Verdict {
    let mut verdict = Verdict::new();
    let subject = || Subject::address(&endpoint.endpoint);
    let answered: usize = endpoint.serials.values().sum();
    let failed: usize = endpoint.failures.values().sum();
    let itself = format!("{} cannot be reached: ", endpoint.endpoint);
    let failures = endpoint.failures.iter().map(|(why, count)| format!("{} ({count})", why.replace(&itself, "")));
    if answered == 0 {
        // Nodes may reach what we do not: PK-02 and KL-12 report an endpoint that no client reaches.
        let why = failures.collect::<Vec<_>>().join(", ");
        verdict.unseen(subject(), &Unobserved::unreachable(endpoint.endpoint.to_string(), why));
        return verdict;
    }
    let dead = unreachable(servers);
    verdict.expect(subject(), failed == 0, || {
        let seen = format!("{failed} of {} connections failed", answered + failed);
        let finding = Finding::new("the endpoint answers every connection", seen);
        // Where no API server can be reached from here, that says nothing about any of them.
        let all = servers.instances.as_ref().map_or(0, BTreeMap::len);
        if dead.is_empty() || dead.len() == all {
            return finding
                .impact("some requests of kubelets and clients fail, seemingly at random")
                .fix(format!("remove backends that are not API servers of this cluster, and {CHECK_BACKENDS}"))
                .evidence(failures);
        }
        finding
            .impact("the endpoint also leads to API servers that cannot be reached: some requests fail")
            .fix(format!(
                "take the API servers that cannot be reached out of the load balancer's backends until they answer \
                 (CP-01 shows why they do not), and {CHECK_BACKENDS}, so that it does so by itself"
            ))
            .evidence(failures.chain(dead.iter().map(|at| format!("{at} cannot be reached"))))
    });
    if let Some(instances) = verdict.seen(subject, &servers.instances)
        && !instances.is_empty()
        && dead.len() == instances.len()
    {
        // As from outside of a managed cluster's network: the endpoint is the only way in.
        for at in dead {
            let note = "it cannot be reached from here, so where the endpoint's connections end was not checked";
            verdict.note_about(Subject::address(at), note);
        }
    } else if let Ok(instances) = &servers.instances {
        let mut serials: BTreeMap<String, SocketAddr> = BTreeMap::new();
        for (at, seen) in instances {
            let Some(seen) = verdict.seen(|| Subject::address(at), seen) else { continue };
            serials.extend(seen.leaf().describe().ok().map(|leaf| (leaf.serial, *at)));
        }
        judge_spread(&mut verdict, endpoint, &serials, nodes.ok());
    }
    for address in verdict.seen(subject, &endpoint.addresses).into_iter().flatten() {
        verdict.note_about(Subject::address(address), format!("{} leads here", endpoint.endpoint.host()));
    }
    verdict
}

/// The API servers that do not answer at their own addresses.
fn unreachable(servers: &ApiServerHandshakes) -> Vec<&SocketAddr> {
    let out_of_reach = |seen: &Seen<Handshake>| seen.as_ref().is_err_and(Unobserved::is_out_of_reach);
    servers.instances.iter().flatten().filter(|(_, seen)| out_of_reach(seen)).map(|(at, _)| at).collect()
}

fn judge_spread(
    verdict: &mut Verdict,
    endpoint: &ControlPlaneEndpoint,
    servers: &BTreeMap<String, SocketAddr>,
    nodes: Option<&Nodes>,
) {
    if servers.len() < 2 {
        return verdict
            .note("the spread was not checked: the API servers share one certificate and cannot be distinguished");
    }
    let (met, unmet): (Vec<_>, Vec<_>) =
        servers.iter().partition(|(serial, _)| endpoint.serials.contains_key(serial.as_str()));
    let [(_, first), others @ ..] = &met[..] else {
        // A load balancer that ends TLS presents its own certificate.
        return verdict
            .note("the spread was not checked: the endpoint never presents the certificate of an API server");
    };
    let seen = match others {
        [] => format!("all {} connections end at {first}", endpoint.serials.values().sum::<usize>()),
        _ => format!("no connection ends at {} of them", unmet.len()),
    };
    let owner = nodes.and_then(|nodes| owner(endpoint, nodes)).filter(|_| others.is_empty());
    verdict.expect(Subject::address(&endpoint.endpoint), unmet.is_empty(), || {
        let finding = Finding::new(format!("connections end at all {} API servers", servers.len()), seen);
        let unmet = unmet.iter().map(|(_, at)| format!("no connection ends at {at}"));
        match owner {
            Some(node) => finding
                .comes_from(Subject::object("ConfigMap", "kube-system", "kubeadm-config"))
                .impact(format!(
                    "its name is {node}'s own address: all kubelets and clients lose the cluster with {node}"
                ))
                .fix("point the name to a load balancer or a virtual address in front of all API servers")
                .evidence(unmet),
            None => finding
                .impact(
                    "normal for a virtual address; otherwise the load balancer has no such backends or marks them down",
                )
                .fix(format!("unless it is a virtual address, add each API server as a backend, and {CHECK_BACKENDS}"))
                .evidence(unmet)
                .info(),
        }
    });
}

/// The node whose own address is all that the endpoint's name leads to. No node has a virtual address as its first.
fn owner<'a>(endpoint: &ControlPlaneEndpoint, nodes: &'a Nodes) -> Option<&'a str> {
    let [address] = endpoint.addresses.as_ref().ok()?[..] else { return None };
    let is_own = |node: &Node| node.internal_addresses().next() == Some(address);
    nodes.0.iter().find(|(_, node)| is_own(node)).map(|(name, _)| name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::testing::Authority;
    use crate::check::Severity;
    use crate::suites::pki::testing::{handshakes, presented};

    fn judged(serials: &[(usize, usize)], failures: &[(&str, usize)]) -> Verdict {
        let ca = Authority::new("kubernetes");
        let leaves = [(); 3].map(|()| ca.leaf(&["kubernetes"]));
        let instances = ["10.77.0.11:6443", "10.77.0.12:6443", "10.77.0.13:6443"];
        let servers =
            handshakes(Err(Unobserved::Interrupted), [0, 1, 2].map(|i: usize| (instances[i], presented(&leaves[i]))));
        let serial = |i: usize| leaves[i].certificate.describe().unwrap().serial;
        let endpoint = ControlPlaneEndpoint {
            endpoint: "api.bed.test:6443".parse().unwrap(),
            addresses: Ok(vec![[10, 77, 0, 1].into()]),
            serials: serials.iter().map(|(i, count)| (serial(*i), *count)).collect(),
            failures: failures.iter().map(|(why, count)| ((*why).to_owned(), *count)).collect(),
        };
        judge(&endpoint, &servers, Err(&Unobserved::Interrupted))
    }

    fn seen(verdict: &Verdict) -> Vec<String> {
        verdict.findings(Severity::Major).into_iter().map(|f| format!("{} {}", f.severity, f.seen)).collect()
    }

    #[test]
    fn an_endpoint_that_spreads_passes() {
        let verdict = judged(&[(0, 10), (1, 10), (2, 10)], &[]);
        assert_eq!((verdict.observations(), seen(&verdict)), (2, vec![]));
    }

    #[test]
    fn dropped_connections_are_found() {
        let verdict = judged(&[(0, 10), (1, 10)], &[("connection refused", 10)]);
        assert_eq!(seen(&verdict), ["major 10 of 30 connections failed", "info no connection ends at 1 of them"]);
    }

    #[test]
    fn a_dead_api_server_is_listed() {
        let ca = Authority::new("kubernetes");
        let leaf = ca.leaf(&["kubernetes"]);
        let dead = Err(Unobserved::unreachable("10.77.0.13:6443", "connection refused"));
        let servers = handshakes(
            Err(Unobserved::Interrupted),
            [("10.77.0.11:6443", presented(&leaf)), ("10.77.0.13:6443", dead)],
        );
        let endpoint = ControlPlaneEndpoint {
            endpoint: "api.bed.test:6443".parse().unwrap(),
            addresses: Ok(vec![[10, 77, 0, 1].into()]),
            serials: [(leaf.certificate.describe().unwrap().serial, 20)].into(),
            failures: [("api.bed.test:6443 cannot be reached: reset".to_owned(), 10)].into(),
        };
        let finding = judge(&endpoint, &servers, Err(&Unobserved::Interrupted)).findings(Severity::Major).remove(0);
        assert_eq!(finding.seen, "10 of 30 connections failed");
        assert_eq!(finding.evidence, ["10.77.0.13:6443 cannot be reached", "reset (10)"]);
        assert!(finding.impact.unwrap().contains("API servers that cannot be reached"));
        assert!(finding.fix.starts_with("take the API servers that cannot be reached out"));
    }

    #[test]
    fn an_endpoint_that_is_out_of_reach_is_inconclusive() {
        let verdict = judged(&[], &[("timed out", 30)]);
        assert_eq!((verdict.observations(), seen(&verdict)), (0, vec![]));
        assert!(verdict.gaps()[0].why.to_string().contains("timed out (30)"));
    }

    #[test]
    fn a_pinned_endpoint_is_info() {
        assert_eq!(seen(&judged(&[(1, 30)], &[])), ["info all 30 connections end at 10.77.0.12:6443"]);
    }

    #[test]
    fn a_name_that_is_one_node_s_own_address_is_found() {
        let ca = Authority::new("kubernetes");
        let leaves = [(); 2].map(|()| ca.leaf(&["kubernetes"]));
        let instances = ["10.77.0.11:6443", "10.77.0.12:6443"];
        let servers = handshakes(Err(Unobserved::Interrupted), [0, 1].map(|i| (instances[i], presented(&leaves[i]))));
        let endpoint = ControlPlaneEndpoint {
            endpoint: "cluster-endpoint:6443".parse().unwrap(),
            addresses: Ok(vec![[10, 77, 0, 11].into()]),
            serials: [(leaves[0].certificate.describe().unwrap().serial, 30)].into(),
            failures: BTreeMap::new(),
        };
        let nodes = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|address| ("InternalIP".to_owned(), (*address).to_owned()));
            Nodes([("n1".to_owned(), Node { addresses: addresses.collect(), ..Node::default() })].into())
        };
        let judged = |nodes: &Nodes| seen(&judge(&endpoint, &servers, Ok(nodes)));
        assert_eq!(judged(&nodes(&["10.77.0.11"])), ["major all 30 connections end at 10.77.0.11:6443"]);
        let virtual_address = nodes(&["10.77.0.21", "10.77.0.11"]);
        assert_eq!(judged(&virtual_address), ["info all 30 connections end at 10.77.0.11:6443"]);
    }

    #[test]
    fn where_the_endpoint_is_the_only_way_in_nothing_is_missing() {
        let far = |at| (at, Err(Unobserved::unreachable(at, "timed out")));
        let servers = handshakes(Err(Unobserved::Interrupted), ["10.0.1.7:443", "10.0.2.9:443"].map(far));
        let endpoint = ControlPlaneEndpoint {
            endpoint: "api.example.org:443".parse().unwrap(),
            addresses: Ok(vec![[192, 0, 2, 7].into()]),
            serials: [("01".to_owned(), 30)].into(),
            failures: BTreeMap::new(),
        };
        let verdict = judge(&endpoint, &servers, Err(&Unobserved::Interrupted));
        assert_eq!(
            (verdict.observations(), verdict.gaps().len(), crate::check::testing::notes(&verdict).len()),
            (1, 0, 2)
        );
    }
}
