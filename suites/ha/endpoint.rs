//! # The control plane's endpoint spreads over all API servers, and drops no connection
//!
//! ## Why
//! A load balancer that still counts a dead API server in drops one connection of three; one that knows only one server
//! makes the others useless when that one fails.
//!
//! ## Fix
//! Look at the backends of the load balancer: each API server, by its own address and port 6443, checked by HTTPS at
//! `/readyz` every few seconds. A virtual address (keepalived, kube-vip) leads to one server at a time by design: there,
//! look only whether it moves.
//!
//! ## Source
//! kubernetes/kubeadm `docs/ha-considerations.md`;
//! <https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/high-availability/>. Thirty TLS connections, told
//! apart by the serial number of the certificate that answers. How long DNS keeps the name is not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::check::{Finding, Subject, Verdict, names};
use crate::cluster::handshake::Handshake;
use crate::fact::facts::api_server_handshakes::ApiServerHandshakes;
use crate::fact::facts::control_plane_endpoint::ControlPlaneEndpoint;
use crate::fact::facts::nodes::{Node, Nodes};
use crate::seen::{Seen, Unobserved};

crate::check!("HA-02", "endpoint-spread", Major, judge);

fn judge(
    endpoint: &ControlPlaneEndpoint,
    servers: &ApiServerHandshakes,
    nodes: Result<&Nodes, &Unobserved>,
) -> Verdict {
    let mut verdict = Verdict::new();
    let subject = || Subject::address(&endpoint.endpoint);
    let answered: usize = endpoint.serials.values().sum();
    let failed: usize = endpoint.failures.values().sum();
    if answered == 0 {
        // Nodes may reach what we do not: PK-02 and KL-12 tell of an endpoint that nobody reaches.
        let why = names(endpoint.failures.iter().map(|(why, count)| format!("{why} ({count})")));
        verdict.unseen(subject(), &Unobserved::unreachable(endpoint.endpoint.to_string(), why));
        return verdict;
    }
    let dead = unreachable(servers);
    verdict.expect(subject(), failed == 0, || {
        let itself = format!("{} cannot be reached: ", endpoint.endpoint);
        let why = endpoint.failures.iter().map(|(why, count)| format!("{} ({count})", why.replace(&itself, "")));
        let seen = format!("{failed} of {} are not: {}", answered + failed, names(why));
        let finding = Finding::new("every connection is answered", seen);
        // Where none can be reached from here, that says nothing of any.
        let all = servers.instances.as_ref().map_or(0, BTreeMap::len);
        if dead.is_empty() || dead.len() == all {
            return finding.so("requests of kubelets and clients fail now and then, and nothing tells them why");
        }
        let dead = names(&dead);
        finding
            .so(format!("{dead} cannot be reached, and the endpoint leads there nevertheless: requests fail now and then"))
            .mend(format!(
                "take {dead} out of the load balancer's backends until it answers (CP-01 tells what is wrong with it), and let the \
                 load balancer check each backend by HTTPS at /readyz every few seconds, so that it does so by itself"
            ))
    });
    if let Some(instances) = verdict.seen(subject, &servers.instances)
        && !instances.is_empty()
        && dead.len() == instances.len()
    {
        // As from outside of a managed cluster's network: the endpoint is the only way in.
        verdict.note(format!("{} cannot be reached from here, so nothing tells where connections end", names(&dead)));
    } else if let Ok(instances) = &servers.instances {
        let mut serials: BTreeMap<String, SocketAddr> = BTreeMap::new();
        for (at, seen) in instances {
            let Some(seen) = verdict.seen(|| Subject::address(at), seen) else { continue };
            serials.extend(seen.leaf().describe().ok().map(|leaf| (leaf.serial, *at)));
        }
        judge_spread(&mut verdict, endpoint, &serials, nodes.ok());
    }
    if let Some(addresses) = verdict.seen(subject, &endpoint.addresses) {
        verdict.note(format!("{} is {}", endpoint.endpoint.host(), names(addresses)));
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
    let met: BTreeSet<&String> = endpoint.serials.keys().filter(|serial| servers.contains_key(*serial)).collect();
    if servers.len() < 2 {
        return verdict.note("the API servers have one certificate, so they cannot be told apart");
    }
    if met.is_empty() {
        // TLS ends at the load balancer, or nothing was answered.
        return verdict.note("no connection was answered with the certificate of an API server");
    }
    let unmet: Vec<&SocketAddr> =
        servers.iter().filter(|(serial, _)| !met.contains(serial)).map(|(_, at)| at).collect();
    let seen = match met.len() {
        1 => format!(
            "all {} connections end at {}",
            endpoint.serials.values().sum::<usize>(),
            names(servers.iter().filter(|(serial, _)| met.contains(serial)).map(|(_, at)| at),)
        ),
        _ => format!("no connection ends at {}", names(&unmet)),
    };
    let owner = nodes.and_then(|nodes| owner(endpoint, nodes)).filter(|_| met.len() == 1);
    verdict.expect(Subject::address(&endpoint.endpoint), unmet.is_empty(), || {
        let finding = Finding::new(format!("connections to all {} API servers", servers.len()), seen);
        if let Some(node) = owner {
            return finding
                .so(format!("its name is {node}'s own address: all kubelets and clients are lost when {node} fails"))
                .mend("have the name lead to a load balancer or a virtual address before all API servers");
        }
        finding
            .so("a virtual address does so by design; a load balancer does not know the others, or takes them for dead")
            .info()
    });
}

/// The node whose own address is all that the endpoint's name leads to. A virtual address is nobody's first.
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
    use crate::seen::Unobserved;
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
        assert_eq!(
            seen(&verdict),
            ["major 10 of 30 are not: connection refused (10)", "info no connection ends at 10.77.0.13:6443"]
        );
    }

    #[test]
    fn a_dead_api_server_is_named() {
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
        assert_eq!(finding.seen, "10 of 30 are not: reset (10)");
        assert!(finding.impact.unwrap().starts_with("10.77.0.13:6443 cannot be reached"));
        assert!(finding.fix.starts_with("take 10.77.0.13:6443 out"));
    }

    #[test]
    fn an_endpoint_that_is_out_of_our_reach_is_undecided() {
        let verdict = judged(&[], &[("timed out", 30)]);
        assert_eq!((verdict.observations(), seen(&verdict)), (0, vec![]));
        assert!(verdict.gaps()[0].why.to_string().contains("timed out (30)"));
    }

    #[test]
    fn a_pinned_endpoint_is_a_remark() {
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
        let told = |nodes: &Nodes| seen(&judge(&endpoint, &servers, Ok(nodes)));
        assert_eq!(told(&nodes(&["10.77.0.11"])), ["major all 30 connections end at 10.77.0.11:6443"]);
        let virtual_address = nodes(&["10.77.0.21", "10.77.0.11"]);
        assert_eq!(told(&virtual_address), ["info all 30 connections end at 10.77.0.11:6443"]);
    }

    #[test]
    fn where_the_endpoint_is_the_only_way_in_nothing_is_missed() {
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
