//! Where static pods of the control plane listen, as their flags show.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::nodes::{Node, Nodes};
use super::pods::{Pod, Pods};
use super::probe_reports::endpoints::METRICS;
use crate::fact::Derive;
use crate::ports::{ETCD, LEADERS};
use crate::probe::endpoint::Endpoint;
use crate::seen::Seen;

/// The flags of etcd with the URLs at which it listens.
const URLS: [&str; 4] = ["listen-client-urls", "listen-client-http-urls", "listen-metrics-urls", "listen-peer-urls"];
/// The components that listen at `--bind-address` and `--secure-port`.
const SECURE: [&str; 3] = ["kube-controller-manager", "kube-scheduler", "cloud-controller-manager"];
/// The port of a cloud-controller-manager, where no flag names another.
const CLOUD_CONTROLLER_MANAGER: u16 = 10258;

/// The listeners beyond loopback that only the flags of static pods reveal, by node. Those of API servers are open to all
/// by design, and those at the usual ports of etcd, schedulers and controller-managers are tried whatever the flags are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ControlPlaneListeners(pub BTreeMap<String, Vec<Listener>>);

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listener {
    /// The component.
    pub component: String,
    /// The flag that opens it.
    pub flag: &'static str,
    /// An address and port that others reach.
    pub at: SocketAddr,
    /// Whether by TLS.
    pub tls: bool,
}

impl Listener {
    /// How a client without credentials looks at it. etcd demands a certificate in the handshake, the others refuse the
    /// request.
    pub(crate) fn endpoint(&self) -> Endpoint {
        match (self.tls, self.component.as_str()) {
            (false, _) => Endpoint::http(self.at, METRICS),
            (true, "etcd") => Endpoint::tls(self.at),
            (true, _) => Endpoint::https(self.at, METRICS),
        }
    }
}

impl Derive for ControlPlaneListeners {
    type Needs<'a> = (&'a Nodes, &'a Pods);
    const NAME: &'static str = "control-plane-listeners";

    fn derive((nodes, pods): Self::Needs<'_>) -> Seen<Self> {
        let mut listeners: BTreeMap<String, Vec<Listener>> = BTreeMap::new();
        for pod in pods.of_namespace("kube-system").filter(|pod| pod.is_mirror() && pod.has_flags()) {
            let Some((name, node)) = pod.node.as_deref().and_then(|name| Some((name, nodes.0.get(name)?))) else {
                continue;
            };
            listeners.entry(name.to_owned()).or_default().extend(of_pod(pod, node));
        }
        for found in listeners.values_mut() {
            found.sort();
            found.dedup();
        }
        listeners.retain(|_, found| !found.is_empty());
        Ok(Self(listeners))
    }
}

crate::derived!(ControlPlaneListeners);

fn of_pod(pod: &Pod, node: &Node) -> Vec<Listener> {
    let component = pod.component().unwrap_or_default();
    let mut found = Vec::new();
    let mut add = |flag, host: &str, port: u16, tls| {
        found.extend(beyond_loopback(host, node).into_iter().map(|ip| Listener {
            component: component.to_owned(),
            flag,
            at: SocketAddr::new(ip, port),
            tls,
        }));
    };
    if component == "etcd" {
        for flag in URLS {
            for url in pod.flag(flag).last().iter().flat_map(|urls| urls.split(',')) {
                let Some((tls, host, port)) = url_parts(url) else { continue };
                // Without TLS, more than the handshake of the usual ports is at stake.
                if !tls || !ETCD.contains(&port) {
                    add(flag, host, port, tls);
                }
            }
        }
    } else if SECURE.contains(&component) {
        let host = pod.flag("bind-address").last().copied().unwrap_or("0.0.0.0");
        let usual = (component == SECURE[2]).then_some(CLOUD_CONTROLLER_MANAGER);
        let port = pod.flag("secure-port").last().and_then(|port| port.parse().ok()).or(usual);
        if let Some(port) = port.filter(|port| *port != 0 && !LEADERS.contains(port)) {
            add("secure-port", host, port, true);
        }
    }
    found
}

/// Whether a URL is one of TLS, its host without brackets, and its port.
fn url_parts(url: &str) -> Option<(bool, &str, u16)> {
    let (scheme, rest) = url.trim().split_once("://")?;
    let authority = rest.split('/').next()?;
    let (host, port) = authority.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some((scheme == "https", host, port.parse().ok()?))
}

/// The addresses at which others reach a host on which a component listens. A variable or a name stands for the node's.
fn beyond_loopback(host: &str, node: &Node) -> Vec<IpAddr> {
    match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_loopback() => Vec::new(),
        Ok(ip) if !ip.is_unspecified() => vec![ip],
        _ if host == "localhost" => Vec::new(),
        _ => node.internal_addresses().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::pods::testing::static_pod;
    use super::*;

    fn listeners(component: &str, flags: &[&str]) -> Vec<String> {
        let addresses = vec![("InternalIP".into(), "10.77.0.11".into())];
        let nodes = Nodes([("n1".to_owned(), Node { addresses, ..Node::default() })].into());
        let pods = Pods([static_pod(component, "n1", flags)].into());
        let found = ControlPlaneListeners::derive((&nodes, &pods)).unwrap().0.remove("n1").unwrap_or_default();
        found.iter().map(|one| format!("{} {}", one.flag, one.endpoint())).collect()
    }

    #[test]
    fn what_kubeadm_writes_reveals_none() {
        let etcd = [
            "--listen-client-urls=https://127.0.0.1:2379,https://10.77.0.11:2379",
            "--listen-metrics-urls=http://127.0.0.1:2381",
            "--listen-peer-urls=https://10.77.0.11:2380",
        ];
        assert!(listeners("etcd", &etcd).is_empty());
        assert!(listeners("kube-scheduler", &["--bind-address=127.0.0.1"]).is_empty());
        assert!(listeners("kube-apiserver", &["--secure-port=6443"]).is_empty());
    }

    #[test]
    fn urls_of_etcd_beyond_loopback_are_revealed() {
        let metrics = listeners("etcd", &["--listen-metrics-urls=http://127.0.0.1:2381,http://10.77.0.11:2381"]);
        assert_eq!(metrics, ["listen-metrics-urls GET http://10.77.0.11:2381/metrics"]);
        let everywhere = listeners("etcd", &["--listen-metrics-urls=http://0.0.0.0:2381"]);
        assert_eq!(everywhere, metrics);
        assert_eq!(listeners("etcd", &["--listen-metrics-urls=http://[::]:2381"]), metrics);
        let clients = listeners("etcd", &["--listen-client-urls=https://10.77.0.11:12379,http://localhost:2379"]);
        assert_eq!(clients, ["listen-client-urls tls 10.77.0.11:12379"]);
        let plain = listeners("etcd", &["--listen-client-urls=http://$(POD_IP):2379"]);
        assert_eq!(plain, ["listen-client-urls GET http://10.77.0.11:2379/metrics"]);
        assert!(listeners("etcd", &["--listen-metrics-urls=nonsense"]).is_empty());
    }

    #[test]
    fn other_ports_of_leaders_are_revealed() {
        let moved = listeners("kube-scheduler", &["--bind-address=0.0.0.0", "--secure-port=11259"]);
        assert_eq!(moved, ["secure-port GET https://10.77.0.11:11259/metrics"]);
        assert!(listeners("kube-scheduler", &["--secure-port=0"]).is_empty());
        let cloud = listeners("cloud-controller-manager", &["--cloud-provider=x"]);
        assert_eq!(cloud, ["secure-port GET https://10.77.0.11:10258/metrics"]);
    }
}
