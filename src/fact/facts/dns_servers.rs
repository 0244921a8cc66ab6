//! The addresses of the cluster's DNS servers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::cluster_dns::ClusterDns;
use crate::fact::Derive;
use crate::ports;
use crate::seen::{Seen, Unobserved};

/// The addresses of the cluster's DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DnsServers {
    /// The address of the DNS Service.
    pub service: IpAddr,
    /// Its ready pods.
    pub pods: BTreeSet<IpAddr>,
    /// The port at which the pods listen.
    pub pod_port: u16,
}

impl Derive for DnsServers {
    type Needs<'a> = (&'a ClusterDns,);
    const NAME: &'static str = "dns-servers";

    fn derive((dns,): Self::Needs<'_>) -> Seen<Self> {
        let service = dns.addresses.first().copied();
        let servers = dns.servers.as_ref().map_err(Clone::clone)?;
        Ok(Self {
            pod_port: servers.first().map_or(ports::DNS, |server| server.port),
            service: service
                .ok_or_else(|| Unobserved::absent(format!("Service kube-system/{} is headless", dns.name)))?,
            pods: servers.iter().filter(|server| server.ready).map(|server| server.address).collect(),
        })
    }
}

crate::derived!(DnsServers);
