//! What a cluster is still to reach.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

use jiff::Timestamp;

use crate::fact::facts::api_server_endpoints::ApiServerEndpoints;
use crate::fact::facts::clock::Clock;
use crate::fact::facts::cluster_dns::ClusterDns;
use crate::fact::facts::leader_leases::LeaderLeases;
use crate::fact::facts::node_leases::NodeLeases;
use crate::fact::facts::nodes::Nodes;
use crate::fact::facts::pods::{Pod, Pods};
use crate::fact::facts::starts::{Component, Starts};
use crate::seen::{Seen, Unobserved};

/// Which part of its duration a lease may be old. Kubelets renew theirs every 10 s of 40, leaders every 2 s of 15: after a
/// third of it a renewal is missing.
const RENEWED: i64 = 3;
/// The namespace of what the cluster itself consists of.
const NAMESPACE: &str = "kube-system";

/// What a cluster that has settled has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Aim {
    /// Nodes are Ready.
    Nodes,
    /// Kubelets renew their leases.
    Kubelets,
    /// Controller-manager and scheduler have leaders.
    Leaders,
    /// Service kubernetes leads to the API servers.
    ApiServers,
    /// The pods of kube-system are Ready.
    Pods,
    /// kube-proxy runs on every node.
    Proxies,
    /// The DNS Service has its pods.
    Dns,
    /// What watches the API server has had the time to watch it again.
    Watches,
}

impl Aim {
    /// All.
    const ALL: [Self; 8] = [
        Self::Nodes,
        Self::Kubelets,
        Self::Leaders,
        Self::ApiServers,
        Self::Pods,
        Self::Proxies,
        Self::Dns,
        Self::Watches,
    ];
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nodes => "nodes are Ready",
            Self::Kubelets => "kubelets renew their leases",
            Self::Leaders => "leaders renew their leases",
            Self::ApiServers => "Service default/kubernetes lists the API servers",
            Self::Pods => "the pods of kube-system are Ready",
            Self::Proxies => "kube-proxy is Ready on every node",
            Self::Dns => "the DNS Service lists its pods as ready",
            Self::Watches => "the control plane has run for a minute, so that its clients have connected again",
        })
    }
}

/// What was seen of a cluster that may not have settled.
pub(super) struct Sight {
    pub(super) nodes: Seen<Nodes>,
    /// With the server's clock when they were read.
    pub(super) node_leases: Seen<(NodeLeases, Clock)>,
    /// With the server's clock when they were read.
    pub(super) leaders: Seen<(LeaderLeases, Clock)>,
    pub(super) pods: Seen<Pods>,
    /// The server's clock.
    pub(super) clock: Seen<Clock>,
    pub(super) api_servers: Seen<ApiServerEndpoints>,
    pub(super) dns: Seen<ClusterDns>,
}

/// What is missing to an aim, by name, or why that is not known.
pub(super) type Missing = Seen<BTreeSet<String>>;

impl Sight {
    /// What is missing to each aim. An aim that the cluster does not have, such as a DNS Service of another name, is reached.
    pub(super) fn unsettled(&self) -> BTreeMap<Aim, Missing> {
        Aim::ALL.into_iter().map(|aim| (aim, applicable(self.missing(aim)))).collect()
    }

    fn missing(&self, aim: Aim) -> Missing {
        match aim {
            Aim::Nodes => self.nodes.as_ref().map(not_ready).map_err(Clone::clone),
            Aim::Kubelets => {
                let (leases, clock) = self.node_leases.as_ref().map_err(Clone::clone)?;
                self.nodes.as_ref().map(|nodes| silent_kubelets(nodes, leases, clock)).map_err(Clone::clone)
            }
            Aim::Leaders => {
                let (leases, clock) = self.leaders.as_ref().map_err(Clone::clone)?;
                leaderless(leases, clock)
            }
            Aim::ApiServers => {
                let (pods, published) = both(&self.pods, &self.api_servers)?;
                Ok(unlisted(pods, &published.slices))
            }
            Aim::Pods => {
                let (nodes, pods) = both(&self.nodes, &self.pods)?;
                Ok(pods
                    .of_namespace(NAMESPACE)
                    .filter(|pod| is_awaited(pod, nodes))
                    .map(|pod| pod.name.clone())
                    .collect())
            }
            Aim::Proxies => {
                let (nodes, pods) = both(&self.nodes, &self.pods)?;
                Ok(without_proxy(nodes, pods))
            }
            Aim::Dns => {
                let (pods, dns) = both(&self.pods, &self.dns)?;
                let servers = dns.servers.as_ref().map_err(Clone::clone)?;
                let ready: BTreeSet<&str> =
                    servers.iter().filter(|server| server.ready).filter_map(|server| server.pod.as_deref()).collect();
                let pods = pods.labelled(NAMESPACE, "k8s-app", "kube-dns").filter(|pod| runs(pod));
                let mut missing: BTreeSet<String> =
                    pods.filter(|pod| !ready.contains(pod.name.as_str())).map(|pod| pod.name.clone()).collect();
                if missing.is_empty() && !servers.iter().any(|server| server.ready) {
                    missing.insert("any endpoint".into());
                }
                Ok(missing)
            }
            Aim::Watches => {
                let (pods, clock) = both(&self.pods, &self.clock)?;
                Ok(just_started(pods, clock))
            }
        }
    }
}

fn applicable(missing: Missing) -> Missing {
    match missing {
        Err(Unobserved::Absent { .. }) => Ok(BTreeSet::new()),
        missing => missing,
    }
}

fn both<'a, A, B>(a: &'a Seen<A>, b: &'a Seen<B>) -> Seen<(&'a A, &'a B)> {
    Ok((a.as_ref().map_err(Clone::clone)?, b.as_ref().map_err(Clone::clone)?))
}

fn not_ready(nodes: &Nodes) -> BTreeSet<String> {
    nodes.0.iter().filter(|(_, node)| !node.is_ready()).map(|(name, _)| name.clone()).collect()
}

fn is_current(renewed: Timestamp, duration_seconds: i32, clock: &Clock) -> bool {
    (clock.server.as_second() - renewed.as_second()) * RENEWED <= i64::from(duration_seconds)
}

/// The Ready nodes whose kubelets do not renew their leases: a node without power stays Ready for a while.
fn silent_kubelets(nodes: &Nodes, leases: &NodeLeases, clock: &Clock) -> BTreeSet<String> {
    let renews = |name: &String| {
        let lease = leases.0.get(name)?;
        Some(is_current(lease.renewed?, lease.duration_seconds?, clock))
    };
    let ready = nodes.0.iter().filter(|(_, node)| node.is_ready());
    ready.filter(|(name, _)| !renews(name).unwrap_or_default()).map(|(name, _)| name.clone()).collect()
}

fn leaderless(leases: &LeaderLeases, clock: &Clock) -> Missing {
    let mut missing = BTreeSet::new();
    for (name, lease) in &leases.0 {
        let lease = lease.as_ref().map_err(Clone::clone)?;
        if lease.holder.is_empty() || !is_current(lease.renewed, lease.duration_seconds, clock) {
            missing.insert(name.clone());
        }
    }
    Ok(missing)
}

/// The API servers that are static pods and not listed. Where none is a static pod, one must be listed.
fn unlisted(pods: &Pods, published: &BTreeSet<SocketAddr>) -> BTreeSet<String> {
    let known: BTreeSet<SocketAddr> = pods.static_pods("kube-apiserver").filter_map(Pod::advertised_address).collect();
    let missing = known.difference(published).chain(published.difference(&known).filter(|_| !known.is_empty()));
    let mut missing: BTreeSet<String> = missing.map(ToString::to_string).collect();
    if known.is_empty() && published.is_empty() {
        missing.insert("any API server".into());
    }
    missing
}

/// The components that others watch or that write what others watch, and that have just started.
fn just_started(pods: &Pods, clock: &Clock) -> BTreeSet<String> {
    let watched = [Component::Etcd, Component::ApiServer, Component::ControllerManager];
    let starts = Starts::of_static_pods(pods, clock);
    let recent = starts.recent().filter(|(start, _)| watched.contains(&start.component));
    recent.map(|(start, _)| format!("{} on {}", start.component, start.node)).collect()
}

/// Whether a pod is to run: it is neither done nor being deleted.
fn runs(pod: &Pod) -> bool {
    !pod.deleting && !matches!(pod.phase.as_str(), "Succeeded" | "Failed")
}

/// Whether a pod is waited for: those on nodes that are not Ready are ready when these are.
fn is_awaited(pod: &Pod, nodes: &Nodes) -> bool {
    let is_down = pod.node.as_deref().and_then(|node| nodes.0.get(node)).is_some_and(|node| !node.is_ready());
    runs(pod) && !pod.ready && !is_down
}

/// The Ready Linux nodes without a Ready kube-proxy; none in a cluster that has no kube-proxy.
fn without_proxy(nodes: &Nodes, pods: &Pods) -> BTreeSet<String> {
    let proxies: Vec<&Pod> = pods.labelled(NAMESPACE, "k8s-app", "kube-proxy").collect();
    let has_proxy =
        |name: &str| proxies.iter().any(|pod| pod.ready && !pod.deleting && pod.node.as_deref() == Some(name));
    let awaited = nodes.linux().filter(|(name, node)| node.is_ready() && !proxies.is_empty() && !has_proxy(name));
    awaited.map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::cluster_dns::DnsServer;
    use crate::fact::facts::leader_leases::LeaderLease;
    use crate::fact::facts::node_leases::NodeLease;
    use crate::fact::facts::nodes::{Condition, Node};
    use crate::fact::facts::pods::testing::static_pod;
    use crate::fact::facts::starts;
    use crate::object_ref::NamespacedName;

    const NOW: &str = "2026-11-30T12:00:00Z";

    fn at(ago: i64) -> Timestamp {
        NOW.parse::<Timestamp>().unwrap() - jiff::SignedDuration::from_secs(ago)
    }

    fn node(ready: &str) -> Node {
        let ready = Condition { status: ready.into(), reason: String::new(), message: String::new() };
        Node { conditions: [("Ready".to_owned(), ready)].into(), operating_system: "linux".into(), ..Node::default() }
    }

    fn pod(name: &str, app: &str, node: &str) -> (NamespacedName, Pod) {
        let pod = Pod {
            namespace: NAMESPACE.into(),
            name: name.into(),
            labels: [("k8s-app".to_owned(), app.to_owned())].into(),
            node: Some(node.into()),
            phase: "Running".into(),
            ready: true,
            ..Pod::default()
        };
        (pod.key(), pod)
    }

    /// Two nodes that have settled.
    fn settled() -> Sight {
        let clock = || Clock { server: at(0), here: at(0) };
        let renewed = |ago| NodeLease { renewed: Some(at(ago)), duration_seconds: Some(40) };
        let lease = || LeaderLease { holder: "n1_0".into(), renewed: at(2), duration_seconds: 15, transitions: 1 };
        let (key, mut api_server) = static_pod("kube-apiserver", "n1", &["--advertise-address=10.77.0.11"]);
        (api_server.ready, api_server.phase) = (true, "Running".into());
        let server = |pod: &str| DnsServer {
            address: [10, 244, 0, 2].into(),
            port: 53,
            ready: true,
            pod: Some(pod.into()),
            node: Some("n1".into()),
        };
        Sight {
            nodes: Ok(Nodes([("n1".into(), node("True")), ("n2".into(), node("True"))].into())),
            node_leases: Ok((NodeLeases([("n1".into(), renewed(9)), ("n2".into(), renewed(1))].into()), clock())),
            leaders: Ok((LeaderLeases([("kube-scheduler".into(), Ok(lease()))].into()), clock())),
            pods: Ok(Pods(
                [
                    (key, api_server),
                    pod("kube-proxy-1", "kube-proxy", "n1"),
                    pod("kube-proxy-2", "kube-proxy", "n2"),
                    pod("coredns-a", "kube-dns", "n1"),
                ]
                .into(),
            )),
            clock: Ok(clock()),
            api_servers: Ok(ApiServerEndpoints {
                slices: ["10.77.0.11:6443".parse().unwrap()].into(),
                endpoints: Err(Unobserved::Interrupted),
            }),
            dns: Ok(ClusterDns {
                name: "kube-dns".into(),
                addresses: vec![[10, 96, 0, 10].into()],
                labels: BTreeMap::new(),
                ports: Vec::new(),
                servers: Ok(vec![server("coredns-a")]),
                manager: None,
            }),
        }
    }

    /// What is left to wait for after this change, in words.
    fn left(change: impl FnOnce(&mut Sight)) -> Vec<String> {
        let mut sight = settled();
        change(&mut sight);
        let left = sight.unsettled().into_iter();
        let left = left.flat_map(|(aim, missing)| match missing {
            Ok(missing) => missing.into_iter().map(|name| format!("{aim:?}: {name}")).collect(),
            Err(why) => vec![format!("{aim:?}: {why}")],
        });
        left.collect()
    }

    fn edit(sight: &mut Sight, name: &str, change: impl FnOnce(&mut Pod)) {
        let pods = &mut sight.pods.as_mut().unwrap().0;
        change(pods.values_mut().find(|pod| pod.name == name).unwrap());
    }

    #[test]
    fn a_cluster_that_has_settled_leaves_nothing_to_wait_for() {
        assert_eq!(left(|_| ()), Vec::<String>::new());
    }

    #[test]
    fn a_node_is_waited_for_and_its_pods_are_not_named_again() {
        let left = left(|sight| {
            sight.nodes.as_mut().unwrap().0.insert("n2".into(), node("Unknown"));
            edit(sight, "kube-proxy-2", |pod| pod.ready = false);
        });
        assert_eq!(left, ["Nodes: n2"]);
    }

    #[test]
    fn leases_that_miss_a_renewal_are_waited_for() {
        let left = left(|sight| {
            let (leases, _) = sight.node_leases.as_mut().unwrap();
            leases.0.get_mut("n2").unwrap().renewed = Some(at(14));
            let (leases, _) = sight.leaders.as_mut().unwrap();
            leases.0.values_mut().for_each(|lease| lease.as_mut().unwrap().renewed = at(6));
        });
        assert_eq!(left, ["Kubelets: n2", "Leaders: kube-scheduler"]);
    }

    #[test]
    fn the_service_of_the_api_lists_what_serves_it_and_nothing_else() {
        let publish = |addresses: &[&str]| {
            let slices: BTreeSet<SocketAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
            left(|sight| sight.api_servers.as_mut().unwrap().slices = slices)
        };
        assert_eq!(publish(&[]), ["ApiServers: 10.77.0.11:6443"]);
        assert_eq!(publish(&["10.77.0.11:6443", "10.77.0.12:6443"]), ["ApiServers: 10.77.0.12:6443"]);
    }

    #[test]
    fn system_pods_proxies_and_endpoints_of_dns_are_waited_for() {
        let not_ready = left(|sight| edit(sight, "kube-proxy-2", |pod| pod.ready = false));
        assert_eq!(not_ready, ["Pods: kube-proxy-2", "Proxies: n2"]);
        let missing = left(|sight| sight.pods.as_mut().unwrap().0.retain(|_, pod| pod.name != "kube-proxy-2"));
        assert_eq!(missing, ["Proxies: n2"]);
        let empty = left(|sight| sight.dns.as_mut().unwrap().servers = Ok(Vec::new()));
        assert_eq!(empty, ["Dns: coredns-a"]);
        let done = left(|sight| edit(sight, "coredns-a", |pod| (pod.ready, pod.phase) = (false, "Succeeded".into())));
        assert_eq!(done, Vec::<String>::new());
    }

    #[test]
    fn what_watches_an_api_server_that_has_just_started_is_waited_for() {
        let started = |component: &str, ago| {
            left(|sight| sight.pods.as_mut().unwrap().0.extend([starts::testing::started(component, ago, None)]))
        };
        assert_eq!(started("etcd", 20), ["Watches: etcd on n1"]);
        assert_eq!(started("etcd", 66), Vec::<String>::new());
        assert_eq!(started("kube-scheduler", 20), Vec::<String>::new(), "no other component watches it");
    }

    #[test]
    fn what_the_cluster_does_not_have_is_not_waited_for_and_what_cannot_be_seen_is() {
        let absent = left(|sight| sight.dns = Err(Unobserved::absent("there is no Service kube-system/kube-dns")));
        assert_eq!(absent, Vec::<String>::new());
        let broken = left(|sight| sight.leaders = Err(Unobserved::unreachable("the API server", "refused")));
        assert_eq!(broken.len(), 1);
        assert!(broken[0].starts_with("Leaders: the API server"), "{broken:?}");
    }
}
