//! # Every living API server is published, and every published one lives
//!
//! ## Why
//! Each API server renews a lease in its own name. One that lives and is not published carries no load from inside the
//! cluster: its `--advertise-address` is wrong, or another's. An address that is published without a living API server
//! behind it fails a share of all requests.
//!
//! ## Fix
//! Set `--advertise-address` in `/etc/kubernetes/manifests/kube-apiserver.yaml` on the node that the finding names to the
//! node's own address. The lease of an API server that is gone expires by itself after an hour.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/controlplane/apiserver/server.go` (renewed every 10 s, an hour long, named after the host).
//! A lease that was renewed within 60 s is a living API server. Newer ones tell their address in it; where one does not,
//! only the numbers are compared. Not judged where the control plane is managed elsewhere.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use crate::check::{Finding, Subject, Verdict, names};
use crate::fact::facts::api_server_endpoints::ApiServerEndpoints;
use crate::fact::facts::api_server_identities::{ApiServerIdentities, ApiServerIdentity};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::nodes::Nodes;

crate::check!("CP-06", "api-server-identities", Minor, judge);

/// How many seconds a living API server may be silent.
const PATIENCE: i64 = 60;

fn judge(identities: &ApiServerIdentities, published: &ApiServerEndpoints, nodes: &Nodes, clock: &Clock) -> Verdict {
    if identities.0.is_empty() {
        return Verdict::not_applicable(
            "no lease in kube-system is an API server's: the control plane is managed elsewhere",
        );
    }
    if nodes.control_plane().next().is_none() {
        return Verdict::not_applicable(
            "no node is marked as control plane: it is managed elsewhere, and published at addresses of its own",
        );
    }
    let mut verdict = Verdict::new();
    let age =
        |identity: &ApiServerIdentity| identity.renewed.map(|renewed| clock.server.as_second() - renewed.as_second());
    let is_alive = |identity: &ApiServerIdentity| age(identity).is_some_and(|age| age <= PATIENCE);
    let (alive, gone): (Vec<_>, Vec<_>) = identities.0.iter().partition(|(_, identity)| is_alive(identity));
    let published: BTreeSet<IpAddr> = published.slices.iter().map(SocketAddr::ip).collect();
    let told: Option<BTreeSet<IpAddr>> = alive.iter().map(|(_, identity)| told(identity)).collect();
    for (name, identity) in &alive {
        let Some(address) = self::told(identity) else { continue };
        verdict.expect(Subject::object("Lease", "kube-system", *name), published.contains(&address), || {
            Finding::new(
                format!("the API server on {} is published at {address}", host(identity)),
                if published.is_empty() { "no address is published".into() } else { names(&published) },
            )
            .so("nothing inside the cluster sends it a request")
        });
    }
    if let Some(told) = told {
        for address in &published {
            verdict.expect(Subject::address(address), told.contains(address), || {
                Finding::new("a living API server behind a published address", lively(&alive))
                    .so("requests from inside the cluster that go there fail, or reach one that makes itself known as another")
            });
        }
    }
    verdict.expect(Subject::object("EndpointSlice", "default", "kubernetes"), alive.len() == published.len(), || {
        Finding::new(
            format!("one living API server for each published address ({})", names(&published)),
            lively(&alive),
        )
        .so(if alive.len() > published.len() {
            "two advertise the same address, and one of them gets no request from inside the cluster"
        } else {
            "an address is published behind which no API server lives, or two share a host's name"
        })
    });
    for (name, identity) in gone {
        let since = identity.renewed.map_or_else(|| "never renewed".into(), |at| format!("last renewed at {at}"));
        verdict.note(format!("{name} of {}: {since}; it expires by itself", host(identity)));
    }
    verdict
}

/// The address that an API server tells, without its port: a proxy on the same host may have another.
fn told(identity: &ApiServerIdentity) -> Option<IpAddr> {
    let address = identity.address.as_deref()?;
    address.parse::<SocketAddr>().ok().map(|address| address.ip())
}

fn host(identity: &ApiServerIdentity) -> &str {
    identity.host.as_deref().unwrap_or("a host that it does not tell")
}

fn lively(alive: &[(&String, &ApiServerIdentity)]) -> String {
    let each = alive.iter().map(|(_, identity)| match &identity.address {
        Some(address) => format!("{} ({address})", host(identity)),
        None => host(identity).to_owned(),
    });
    format!("{} living: {}", alive.len(), names(each))
}

#[cfg(test)]
mod tests {
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
            ["apiserver-n2 of n2: last renewed at 2026-11-24T11:30:00Z; it expires by itself"]
        );
    }

    #[test]
    fn one_that_is_not_published_is_found() {
        let both = [identity("n1", Some("10.77.0.11:6443"), NOW), identity("n2", Some("10.77.0.12:6443"), NOW)];
        let findings = judged(both, &["10.77.0.11:6443"]).findings(Severity::Minor);
        assert_eq!(findings[0].expected, "the API server on n2 is published at 10.77.0.12");
        let older = [identity("n1", None, NOW), identity("n2", None, NOW)];
        let findings = judged(older, &["10.77.0.11:6443"]).findings(Severity::Minor);
        assert_eq!(findings[0].seen, "2 living: n1, n2");
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
        assert!(judged([], &["10.77.0.11:6443"]).reason().is_some());
    }
}
