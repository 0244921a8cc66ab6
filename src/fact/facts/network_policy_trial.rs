//! Whether NetworkPolicies stop traffic between pods, and let it return.

pub(crate) use crate::probe::sight::Sight;
pub(crate) use crate::trial::network_policy::sights;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cluster_domain::ClusterDomain;
use super::dns_servers::DnsServers;
use super::expectations::{Expectations, NetworkPolicies};
use super::nodes::Nodes;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen};
use crate::trial::network_policy::{self, Places};
use sights::{Sights, Step, Way};

/// Whether NetworkPolicies stop traffic between pods, and let it return.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NetworkPolicyTrial {
    /// The node of the serving pods.
    pub servers_on: String,
    /// The node of the asking pods.
    pub clients_on: String,
    /// The ways that were tried.
    pub ways: BTreeSet<Way>,
    /// The ways after each step; further steps are left out where they would show nothing.
    pub steps: BTreeMap<Step, Seen<Sights>>,
}

impl Observe for NetworkPolicyTrial {
    type Needs<'a> = (&'a Nodes, &'a ClusterDomain, Option<&'a DnsServers>, &'a Expectations);
    const NAME: &'static str = "network-policy-trial";
    const ACCESS: Access = Access::Create;
    const RULES: &'static [Rule] = network_policy::RULES;
    const DEADLINE: Duration = Duration::from_secs(90);

    async fn observe(live: &Live, (nodes, domain, dns, expectations): Self::Needs<'_>) -> Seen<Self> {
        let (servers_on, clients_on) = places(nodes)?;
        let dns = dns.and_then(|dns| server(dns, nodes));
        let places = Places { servers_on, clients_on, dns, domain: &domain.name };
        let required = expectations.network_policy == NetworkPolicies::Required;
        let (ways, steps) = network_policy::run(live, &places, required).await?;
        Ok(Self { servers_on: servers_on.to_owned(), clients_on: clients_on.to_owned(), ways, steps })
    }
}

crate::observed!(NetworkPolicyTrial);

/// The nodes of the serving and the asking pods: two if there are two, workers if there are any.
fn places(nodes: &Nodes) -> Seen<(&str, &str)> {
    let ready = nodes.ready_workers_first()?;
    let first = ready[0].0;
    Ok((first, ready.get(1).map_or(first, |(second, _)| second)))
}

/// A DNS server whose address is that of a pod: policies do not apply to a node's own address.
fn server(dns: &DnsServers, nodes: &Nodes) -> Option<SocketAddr> {
    let on_host = |address: &IpAddr| nodes.0.values().any(|node| node.internal_addresses().any(|own| own == *address));
    let pod = dns.pods.iter().find(|address| !on_host(address))?;
    Some(SocketAddr::new(*pod, dns.pod_port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::nodes::{Condition, Node};

    fn node(ready: bool, control_plane: bool) -> Node {
        let status = if ready { "True" } else { "False" };
        let condition = Condition { status: status.into(), reason: String::new(), message: String::new() };
        let mut node = Node { operating_system: "linux".into(), ..Node::default() };
        node.conditions.insert("Ready".into(), condition);
        node.addresses.push(("InternalIP".into(), "10.77.0.11".into()));
        if control_plane {
            node.labels.insert("node-role.kubernetes.io/control-plane".into(), String::new());
        }
        node
    }

    fn nodes(nodes: &[(&str, Node)]) -> Nodes {
        Nodes(nodes.iter().map(|(name, node)| ((*name).to_owned(), node.clone())).collect())
    }

    #[test]
    fn two_ready_workers_are_preferred() {
        let three = nodes(&[("n1", node(true, true)), ("n2", node(true, false)), ("n3", node(true, false))]);
        assert_eq!(places(&three), Ok(("n2", "n3")));
        let two = nodes(&[("n1", node(true, true)), ("n2", node(true, false)), ("n3", node(false, false))]);
        assert_eq!(places(&two), Ok(("n2", "n1")));
        assert_eq!(places(&nodes(&[("n1", node(true, true))])), Ok(("n1", "n1")));
        assert!(places(&nodes(&[("n1", node(false, true))])).is_err_and(|why| !why.is_skip()));
    }

    #[test]
    fn a_dns_server_on_a_node_is_not_asked() {
        let nodes = nodes(&[("n1", node(true, true))]);
        let dns = |pods: &[[u8; 4]]| DnsServers {
            service: [10, 96, 0, 10].into(),
            pods: pods.iter().map(|pod| IpAddr::from(*pod)).collect(),
            pod_port: 53,
        };
        assert_eq!(server(&dns(&[[10, 77, 0, 11], [10, 244, 0, 2]]), &nodes), Some(([10, 244, 0, 2], 53).into()));
        assert_eq!(server(&dns(&[[10, 77, 0, 11]]), &nodes), None);
    }
}
