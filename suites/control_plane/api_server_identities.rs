//! # The kubernetes Service endpoints match the running API servers
//!
//! ## Why
//! Each API server renews a lease in its own name. If a running one is not published, its `--advertise-address` is wrong or
//! another server's, and it gets no requests from inside the cluster. If a published address has no running API server, a
//! share of all requests fails.
//!
//! ## Fix
//! On the node that the finding names, set `--advertise-address` in `/etc/kubernetes/manifests/kube-apiserver.yaml` to the
//! node's own address. The lease of a removed API server expires by itself after an hour.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/controlplane/apiserver/server.go` (renewed every 10 s, an hour long, named after the host).
//! A lease that was renewed within 60 s is a running API server. Newer ones state their address in it; otherwise only the
//! numbers are compared. Not judged for managed control planes.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::api_server_endpoints::ApiServerEndpoints;
use crate::fact::facts::api_server_identities::{ApiServerIdentities, ApiServerIdentity};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::nodes::Nodes;

crate::check!("CP-06", "api-server-identities", Minor, judge, builds_on: ["CP-01", "HA-07", "KL-01"]);

/// How many seconds a running API server may go without renewing its lease.
const PATIENCE: i64 = 60;

fn judge(identities: &ApiServerIdentities, published: &ApiServerEndpoints, nodes: &Nodes, clock: &Clock) -> Verdict {
    if nodes.control_plane().next().is_none() {
        return Verdict::not_applicable(
            "no node has the control-plane role: the control plane is managed, and published at its own addresses",
        );
    }
    let mut verdict = Verdict::new();
    if identities.0.is_empty() {
        verdict.find(
            Subject::object("EndpointSlice", "default", "kubernetes"),
            Finding::new(
                format!("a lease in kube-system for each of the {} published API servers", published.slices.len()),
                "there is none",
            )
            .impact("which API servers run cannot be seen, and storage migrations do not start")
            .fix(
                "on each control-plane node, remove APIServerIdentity=false from --feature-gates in \
                 /etc/kubernetes/manifests/kube-apiserver.yaml; if it is not there, look for why the lease is not \
                 written: kubectl -n kube-system logs -l component=kube-apiserver --tail=-1 | grep -i lease",
            ),
        );
        return verdict;
    }
    let age =
        |identity: &ApiServerIdentity| identity.renewed.map(|renewed| clock.server.as_second() - renewed.as_second());
    let is_alive = |identity: &ApiServerIdentity| age(identity).is_some_and(|age| age <= PATIENCE);
    let (alive, gone): (Vec<_>, Vec<_>) = identities.0.iter().partition(|(_, identity)| is_alive(identity));
    let published: BTreeSet<IpAddr> = published.slices.iter().map(SocketAddr::ip).collect();
    let stated: Option<BTreeSet<IpAddr>> = alive.iter().map(|(_, identity)| address(identity)).collect();
    for (name, identity) in &alive {
        let Some(address) = self::address(identity) else { continue };
        verdict.expect(Subject::object("Lease", "kube-system", *name), published.contains(&address), || {
            Finding::new(
                format!("the API server on {} is published at {address}", host(identity)),
                format!("Service default/kubernetes has {} other endpoints", published.len()),
            )
            .evidence(&published)
            .impact("it gets no requests from inside the cluster")
            .fix(advertise(host(identity)))
            .comes_from(Subject::node(host(identity)))
        });
    }
    if let Some(stated) = stated {
        for address in &published {
            verdict.expect(Subject::address(address), stated.contains(address), || {
                Finding::new(
                    "a running API server at each published address",
                    format!("none of the {} running API servers states this address", alive.len()),
                )
                .evidence(described(&alive))
                .impact("requests from inside the cluster to this address fail, or reach a misconfigured API server")
                .fix(advertise("the node with this address"))
            });
        }
    }
    verdict.expect(Subject::object("EndpointSlice", "default", "kubernetes"), alive.len() == published.len(), || {
        let unpublished: Vec<_> =
            alive.iter().filter(|(_, it)| address(it).is_some_and(|address| !published.contains(&address))).collect();
        let finding = Finding::new(
            format!("one running API server for each of the {} published addresses", published.len()),
            format!("{} running API servers", alive.len()),
        )
        .evidence(described(&alive))
        .impact(if alive.len() > published.len() {
            "two advertise the same address, and one of them gets no requests from inside the cluster"
        } else {
            "a published address has no running API server, or two servers share a host name"
        })
        .fix(advertise("each control-plane node"));
        match unpublished[..] {
            [(_, identity)] => finding.comes_from(Subject::node(host(identity))),
            _ => finding,
        }
    });
    for (name, identity) in gone {
        let since = identity.renewed.map_or_else(|| "never renewed".into(), |at| format!("last renewed at {at}"));
        let lease = Subject::object("Lease", "kube-system", name);
        verdict.note_about(lease, format!("of {}, {since}; it expires by itself", host(identity)));
    }
    verdict
}

/// The address that an API server states, without its port, because a proxy on the same host may use another.
fn address(identity: &ApiServerIdentity) -> Option<IpAddr> {
    let address = identity.address.as_deref()?;
    address.parse::<SocketAddr>().ok().map(|address| address.ip())
}

fn host(identity: &ApiServerIdentity) -> &str {
    identity.host.as_deref().unwrap_or("an unnamed host")
}

/// The fix for an API server that advertises the wrong address.
fn advertise(node: &str) -> String {
    format!(
        "on {node}, set --advertise-address in /etc/kubernetes/manifests/kube-apiserver.yaml to the node's own address"
    )
}

fn described(alive: &[(&String, &ApiServerIdentity)]) -> impl Iterator<Item = String> {
    alive.iter().map(|(_, identity)| match &identity.address {
        Some(address) => format!("{} ({address})", host(identity)),
        None => host(identity).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::nodes::Node;
    use crate::seen::Unobserved;

    fn identity(host: &str, address: Option<&str>, renewed: &str) -> (String, ApiServerIdentity) {
        let identity = ApiServerIdentity {
            host: Some(host.into()),
            address: address.map(str::to_owned),
            renewed: Some(renewed.parse().unwrap()),
        };
        (format!("apiserver-{host}"), identity)
    }

    fn judged<const N: usize>(identities: [(String, ApiServerIdentity); N], published: &[&str]) -> Verdict {
        let slices = published.iter().map(|address| address.parse().unwrap()).collect();
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let labels = [("node-role.kubernetes.io/control-plane".to_owned(), String::new())].into();
        let node = Node { labels, ..Node::default() };
        judge(
            &ApiServerIdentities(identities.into()),
            &ApiServerEndpoints { slices, endpoints: Err(Unobserved::Interrupted) },
            &Nodes([("n1".to_owned(), node)].into()),
            &Clock { server: now, here: now },
        )
    }

    const NOW: &str = "2026-11-24T11:59:55Z";
    const LONG_AGO: &str = "2026-11-24T11:30:00Z";

    #[test]
    fn published_and_living_are_the_same() {
        let verdict = judged([identity("n1", Some("10.77.0.11:6443"), NOW)], &["10.77.0.11:6443"]);
        assert_eq!((verdict.observations(), verdict.findings(Severity::Minor)), (3, vec![]));
        let older = judged([identity("n1", None, NOW), identity("n2", None, LONG_AGO)], &["10.77.0.11:6443"]);
        assert_eq!((older.observations(), older.findings(Severity::Minor)), (1, vec![]));
        assert_eq!(
            crate::check::testing::notes(&older),
            ["Lease kube-system/apiserver-n2: of n2, last renewed at 2026-11-24T11:30:00Z; it expires by itself"]
        );
    }

    #[test]
    fn a_control_plane_without_leases_is_found() {
        let verdict = judged([], &["10.77.0.11:6443"]);
        assert_eq!(crate::check::testing::seen(&verdict), ["there is none"]);
    }

    #[test]
    fn one_that_is_not_published_is_found() {
        let both = [identity("n1", Some("10.77.0.11:6443"), NOW), identity("n2", Some("10.77.0.12:6443"), NOW)];
        let findings = judged(both, &["10.77.0.11:6443"]).findings(Severity::Minor);
        assert_eq!(findings[0].expected, "the API server on n2 is published at 10.77.0.12");
        let older = [identity("n1", None, NOW), identity("n2", None, NOW)];
        let findings = judged(older, &["10.77.0.11:6443"]).findings(Severity::Minor);
        assert_eq!(findings[0].seen, "2 running API servers");
    }

    #[test]
    fn an_address_without_a_living_server_is_found() {
        let both = [identity("n1", Some("10.77.0.11:6443"), NOW), identity("n2", Some("10.77.0.12:6443"), LONG_AGO)];
        let findings = judged(both, &["10.77.0.11:6443", "10.77.0.12:6443"]).findings(Severity::Minor);
        assert_eq!(findings[0].subjects[0].to_string(), "10.77.0.12");
        assert_eq!(findings.len(), 2);
    }

    #[test]
    fn a_managed_control_plane_is_not_judged() {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let published = ApiServerEndpoints {
            slices: ["10.77.0.11:6443".parse().unwrap()].into(),
            endpoints: Err(Unobserved::Interrupted),
        };
        let clock = Clock { server: now, here: now };
        let verdict = judge(&ApiServerIdentities(BTreeMap::new()), &published, &Nodes(BTreeMap::new()), &clock);
        assert!(verdict.reason().is_some());
    }
}
