//! Which control-plane node is stopped, if any may be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::control_plane::leases::is_held_on;
use crate::fact::facts::api_server_endpoints::ApiServerEndpoints;
use crate::fact::facts::api_server_health::ApiServerHealth;
use crate::fact::facts::api_server_instances::ApiServerInstances;
use crate::fact::facts::host_reports::{ETCD_METRICS, HostReports};
use crate::fact::facts::leader_leases::LeaderLeases;
use crate::fact::facts::nodes::{Node, Nodes};
use crate::fact::facts::pods::{Pod, Pods};
use crate::fact::{Derive, Observe};
use crate::live::Live;
use crate::prometheus::Line;
use crate::seen::{Seen, Unobserved};
use crate::trial::control_plane_loss::watch::Candidate;

/// How many control-plane nodes, and members of etcd, tolerate the loss of one.
const ENOUGH: usize = 3;

/// The control plane just before the loss.
struct ControlPlane<'a> {
    nodes: Nodes,
    pods: Pods,
    published: BTreeSet<SocketAddr>,
    health: ApiServerHealth,
    leases: LeaderLeases,
    hosts: &'a HostReports,
    /// The host of the kubeconfig's server, and its addresses.
    endpoint: (String, BTreeSet<IpAddr>),
    /// The boot id of the machine that this runs on, if it is known.
    boot: Option<String>,
}

/// Looks at the control plane again, and chooses.
pub(super) async fn find(live: &Live, hosts: &HostReports) -> Seen<Candidate> {
    let (nodes, pods, endpoints, leases) = tokio::try_join!(
        Nodes::observe(live, ()),
        Pods::observe(live, ()),
        ApiServerEndpoints::observe(live, ()),
        LeaderLeases::observe(live, ()),
    )?;
    let instances = ApiServerInstances::derive((&endpoints, &pods))?;
    let health = ApiServerHealth::observe(live, (Ok(&instances),)).await?;
    let endpoint =
        live.cluster.endpoint().ok_or_else(|| Unobserved::invalid("the kubeconfig", "its server has no host"))?;
    let found = tokio::net::lookup_host((endpoint.host(), endpoint.port())).await;
    let addresses = found.map_err(|e| Unobserved::unreachable(endpoint.host(), e))?.map(|at| at.ip()).collect();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned());
    let published = endpoints.slices;
    let endpoint = (endpoint.host().to_owned(), addresses);
    ControlPlane { nodes, pods, published, health, leases, hosts, endpoint, boot }.choose()
}

impl ControlPlane<'_> {
    /// The node whose loss is the hardest: the leader.
    fn choose(&self) -> Seen<Candidate> {
        let planes: Vec<(&String, &Node)> = self.nodes.control_plane().collect();
        if planes.len() < ENOUGH {
            let count = planes.len();
            return Err(Unobserved::absent(format!("control-plane nodes: {count}; the loss of one needs {ENOUGH}")));
        }
        self.members_tolerate_a_loss()?;
        self.servers_are_ready()?;
        let mut servers = BTreeMap::new();
        for (name, node) in planes {
            servers.insert(name, (node, self.server(name, node)?));
        }
        let mut may_go: Vec<_> =
            servers.iter().filter(|(name, (node, _))| !self.is_endpoint(name, node) && !self.is_ours(node)).collect();
        // Else the first.
        may_go.sort_by_key(|(name, _)| std::cmp::Reverse(self.led_by(name).len()));
        let Some((name, (_, address))) = may_go.first() else {
            let why = "every control-plane node is the kubeconfig's server, or the machine that this runs on";
            return Err(Unobserved::absent(why));
        };
        let watchers = self.nodes.ready_workers_first()?.into_iter().map(|(other, _)| other.to_owned());
        Ok(Candidate {
            node: (**name).clone(),
            address: *address,
            leads: self.led_by(name),
            survivors: servers.values().map(|(_, other)| *other).filter(|other| other != address).collect(),
            watchers: watchers.filter(|other| other != name.as_str()).collect(),
        })
    }

    /// Whether each member of etcd is there and votes, and there are enough members.
    fn members_tolerate_a_loss(&self) -> Seen<()> {
        let members: Vec<&Pod> = self.pods.static_pods("etcd").collect();
        if members.is_empty() {
            return Err(Unobserved::absent(
                "no static pod of etcd: it is not known whether etcd tolerates the loss of a member",
            ));
        }
        for member in &members {
            let node = member.node.as_deref().unwrap_or_default();
            if !member.ready || !self.nodes.0.get(node).is_some_and(Node::is_ready) {
                return Err(unhealthy(&member.name, "it is not Ready"));
            }
            if !votes(self.hosts.lines(node, ETCD_METRICS)?) {
                return Err(unhealthy(&member.name, "it has no leader, or no vote"));
            }
        }
        if members.len() < ENOUGH {
            let count = members.len();
            return Err(Unobserved::absent(format!("members of etcd: {count}; the loss of one needs {ENOUGH}")));
        }
        Ok(())
    }

    /// Whether each known API server is ready.
    fn servers_are_ready(&self) -> Seen<()> {
        for (address, health) in self.health.instances.as_ref().map_err(Clone::clone)? {
            if !health.ready.as_ref().map_err(Clone::clone)?.is_well() {
                return Err(unhealthy(&address.to_string(), "the API server is not ready"));
            }
        }
        Ok(())
    }

    /// The address of a node's API server, if the node is healthy and the address is published.
    fn server(&self, name: &str, node: &Node) -> Seen<SocketAddr> {
        if !node.is_ready() {
            return Err(unhealthy(name, "the node is not Ready"));
        }
        let mut pods = self.pods.static_pods("kube-apiserver").filter(|pod| pod.node.as_deref() == Some(name));
        let address = pods.next().and_then(Pod::advertised_address);
        let address = address.ok_or_else(|| unhealthy(name, "no static pod there advertises an API server"))?;
        if !self.published.contains(&address) {
            return Err(unhealthy(name, &format!("EndpointSlice default/kubernetes does not contain {address}")));
        }
        Ok(address)
    }

    /// The components whose leader is on a node.
    fn led_by(&self, node: &str) -> Vec<String> {
        let leases = self.leases.0.iter();
        leases
            .filter(|(_, lease)| lease.as_ref().is_ok_and(|lease| is_held_on(&lease.holder, node)))
            .map(|(component, _)| component.clone())
            .collect()
    }

    /// Whether clients of the kubeconfig reach only this node.
    fn is_endpoint(&self, name: &str, node: &Node) -> bool {
        let (host, addresses) = &self.endpoint;
        host == name
            || node
                .addresses
                .iter()
                .any(|(_, own)| own == host || own.parse().is_ok_and(|own| addresses.contains(&own)))
    }

    /// Whether this runs on the node itself. Nodes that are containers of one machine share its boot id, which then
    /// shows nothing.
    fn is_ours(&self, node: &Node) -> bool {
        let boot = |node: &Node| node.machine.as_ref().map(|machine| machine.boot_id.clone());
        self.boot.is_some()
            && boot(node) == self.boot
            && self.nodes.0.values().filter(|other| boot(other) == self.boot).count() == 1
    }
}

/// Whether the member with these metrics has a leader and a vote.
fn votes(metrics: &[String]) -> bool {
    let value = |name: &str| {
        let sample = metrics.iter().filter_map(|line| Line::read(line)).find(|sample| sample.name == name);
        sample.map(|sample| sample.value)
    };
    value("etcd_server_has_leader").is_some_and(|leader| leader > 0.0)
        && value("etcd_server_is_learner").is_some_and(|learner| learner < 1.0)
}

fn unhealthy(what: &str, why: &str) -> Unobserved {
    Unobserved::invalid(what, format!("{why}: nothing is stopped while the control plane is not healthy"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::api_server_health::{Health, HealthAnswer};
    use crate::fact::facts::host_reports::HostReport;
    use crate::fact::facts::leader_leases::LeaderLease;
    use crate::fact::facts::nodes::{Condition, Machine};
    use crate::fact::facts::pods::testing::static_pod;
    use crate::object_ref::NamespacedName;
    use crate::object_ref::testing::named;
    use crate::probe::host::answer::{HttpAnswer, Text};

    fn address(i: usize) -> SocketAddr {
        ([10, 77, 0, 10 + u8::try_from(i).unwrap()], 6443).into()
    }

    fn node(i: usize, control_plane: bool) -> (String, Node) {
        let ready = Condition { status: "True".into(), reason: String::new(), message: String::new() };
        let mut node = Node { operating_system: "linux".into(), ..Node::default() };
        node.conditions.insert("Ready".into(), ready);
        node.addresses.push(("InternalIP".into(), address(i).ip().to_string()));
        node.machine = Some(Machine { boot_id: format!("boot-{i}"), ..Machine::default() });
        if control_plane {
            node.labels.insert("node-role.kubernetes.io/control-plane".into(), String::new());
        }
        (format!("n{i}"), node)
    }

    fn member(i: usize) -> (NamespacedName, Pod) {
        let (name, mut pod) = static_pod("etcd", &format!("n{i}"), &[]);
        pod.ready = true;
        (name, pod)
    }

    fn server(i: usize) -> (NamespacedName, Pod) {
        static_pod("kube-apiserver", &format!("n{i}"), &[&format!("--advertise-address={}", address(i).ip())])
    }

    fn metrics(learner: bool) -> Text {
        let learner = format!("etcd_server_is_learner {}", u8::from(learner));
        Text { lines: vec!["etcd_server_has_leader 1".into(), learner], cut: false }
    }

    fn report(body: Text) -> HostReport {
        let answer = Ok(HttpAnswer { status: 200, body });
        let gets = Ok([(ETCD_METRICS.to_owned(), answer)].into());
        HostReport { gets, ..HostReport::unseen() }
    }

    fn hosts() -> HostReports {
        HostReports((1..=3).map(|i| (format!("n{i}"), report(metrics(false)))).collect())
    }

    fn health() -> Health {
        let well = || Ok(HealthAnswer { status: 200, failed: Vec::new() });
        Health { live: well(), ready: well() }
    }

    fn lease(holder: &str) -> LeaderLease {
        let renewed = jiff::Timestamp::UNIX_EPOCH;
        LeaderLease { holder: holder.into(), renewed, duration_seconds: 15, transitions: 0 }
    }

    /// Three control-plane nodes and a worker behind a load balancer, and n2 leads.
    fn control_plane(hosts: &HostReports) -> ControlPlane<'_> {
        let leases = [("kube-controller-manager", "n2_a"), ("kube-scheduler", "n3_b")];
        ControlPlane {
            nodes: Nodes([node(1, true), node(2, true), node(3, true), node(4, false)].into()),
            pods: Pods((1..=3).flat_map(|i| [member(i), server(i)]).collect()),
            published: (1..=3).map(address).collect(),
            health: ApiServerHealth {
                endpoint: String::new(),
                configured: health(),
                instances: Ok((1..=3).map(|i| (address(i), health())).collect()),
            },
            leases: LeaderLeases(leases.map(|(name, holder)| (name.to_owned(), Ok(lease(holder)))).into()),
            hosts,
            endpoint: ("api.bed.test".into(), ["10.77.0.1".parse().unwrap()].into()),
            boot: Some("elsewhere".into()),
        }
    }

    /// Which node is chosen of the control plane once it is changed so, or why none is.
    fn chosen(change: impl FnOnce(&mut ControlPlane<'_>)) -> Result<String, String> {
        let hosts = hosts();
        let mut plane = control_plane(&hosts);
        change(&mut plane);
        plane.choose().map(|candidate| candidate.node).map_err(|why| why.to_string())
    }

    #[test]
    fn the_node_that_leads_is_chosen_and_workers_watch() {
        let hosts = hosts();
        let candidate = control_plane(&hosts).choose().unwrap();
        assert_eq!((candidate.node.as_str(), candidate.address), ("n2", address(2)));
        assert_eq!(candidate.leads, ["kube-controller-manager"]);
        assert_eq!(candidate.survivors, [address(1), address(3)]);
        assert_eq!(candidate.watchers, ["n4", "n1", "n3"]);
        let both = |plane: &mut ControlPlane<'_>| {
            drop(plane.leases.0.insert("kube-controller-manager".into(), Ok(lease("n3_a"))));
        };
        assert_eq!(chosen(both).unwrap(), "n3");
    }

    #[test]
    fn neither_the_endpoint_nor_our_own_machine_is_stopped() {
        assert_eq!(chosen(|plane| plane.endpoint.1 = [address(2).ip()].into()).unwrap(), "n3");
        assert_eq!(chosen(|plane| plane.endpoint.0 = "n2".into()).unwrap(), "n3");
        assert_eq!(chosen(|plane| plane.boot = Some("boot-2".into())).unwrap(), "n3");
        let all = |plane: &mut ControlPlane<'_>| plane.endpoint.1 = (1..=3).map(|i| address(i).ip()).collect();
        assert!(chosen(all).unwrap_err().starts_with("every control-plane node is the kubeconfig's server"));
        let containers = |plane: &mut ControlPlane<'_>| {
            plane.nodes.0.values_mut().for_each(|node| node.machine = Some(Machine::default()));
            plane.boot = Some(String::new());
        };
        assert_eq!(chosen(containers).unwrap(), "n2", "nodes that are containers of this machine");
    }

    #[test]
    fn nothing_is_stopped_where_it_would_stop_the_cluster() {
        let two = |plane: &mut ControlPlane<'_>| drop(plane.nodes.0.remove("n1"));
        assert!(chosen(two).unwrap_err().starts_with("control-plane nodes: 2; the loss of one needs 3"));
        let member_away = |plane: &mut ControlPlane<'_>| drop(plane.pods.0.remove(&named("kube-system/etcd-n1")));
        assert!(chosen(member_away).unwrap_err().starts_with("members of etcd: 2; the loss of one needs 3"));
        let elsewhere = |plane: &mut ControlPlane<'_>| plane.pods.0.retain(|name, _| !name.name.contains("etcd"));
        assert!(chosen(elsewhere).unwrap_err().starts_with("no static pod of etcd"));
    }

    #[test]
    fn nothing_is_stopped_while_anything_is_unhealthy() {
        let unready = |node: &'static str| {
            move |plane: &mut ControlPlane<'_>| {
                plane.nodes.0.get_mut(node).unwrap().conditions.get_mut("Ready").unwrap().status = "Unknown".into();
            }
        };
        let sick = |plane: &mut ControlPlane<'_>| {
            let failed = HealthAnswer { status: 500, failed: vec!["etcd".into()] };
            plane.health.instances.as_mut().unwrap().get_mut(&address(1)).unwrap().ready = Ok(failed);
        };
        let silent = |plane: &mut ControlPlane<'_>| {
            let why = Unobserved::unreachable("10.77.0.11:6443", "it is not healthy");
            plane.health.instances.as_mut().unwrap().get_mut(&address(1)).unwrap().ready = Err(why);
        };
        for why in [
            chosen(unready("n1")),
            chosen(|plane| plane.pods.0.get_mut(&named("kube-system/etcd-n3")).unwrap().ready = false),
            chosen(|plane| drop(plane.pods.0.remove(&named("kube-system/kube-apiserver-n1")))),
            chosen(|plane| plane.published.retain(|published| *published != address(3))),
            chosen(sick),
            chosen(silent),
        ] {
            assert!(why.as_ref().is_err_and(|why| why.contains("is not healthy")), "{why:?}");
        }
        assert_eq!(chosen(unready("n4")).unwrap(), "n2", "a worker is not part of the control plane");
    }

    #[test]
    fn a_member_without_a_vote_tolerates_no_loss() {
        let mut hosts = hosts();
        hosts.0.insert("n1".into(), report(metrics(true)));
        assert!(control_plane(&hosts).choose().unwrap_err().to_string().contains("no leader, or no vote"));
        hosts.0.insert("n1".into(), report(Text::default()));
        assert!(control_plane(&hosts).choose().is_err(), "a member without metrics does not count as healthy");
        hosts.0.remove("n1");
        assert!(control_plane(&hosts).choose().is_err());
    }
}
