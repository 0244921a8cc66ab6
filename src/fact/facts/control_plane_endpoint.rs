//! The API servers that answer at the control plane's endpoint.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::api_server_instances::ApiServerInstances;
use super::kubeadm_config::KubeadmConfig;
use super::kubeconfig_summary::KubeconfigSummary;
use crate::fact::Observe;
use crate::handshake::{Authority, Target};
use crate::live::Live;
use crate::ports;
use crate::seen::{Access, Seen, Unobserved};

/// How often the endpoint is dialled.
const CONNECTIONS: usize = 30;

/// The servers that many connections to the control plane's endpoint reached. Absent where there is one API server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ControlPlaneEndpoint {
    /// The endpoint: kubeadm's controlPlaneEndpoint, else the kubeconfig's.
    pub endpoint: Authority,
    /// Its addresses.
    pub addresses: Seen<Vec<IpAddr>>,
    /// How many connections reached a certificate, by serial number.
    pub serials: BTreeMap<String, usize>,
    /// How the other connections failed, and how many.
    pub failures: BTreeMap<String, usize>,
}

impl Observe for ControlPlaneEndpoint {
    type Needs<'a> = (&'a ApiServerInstances, &'a KubeconfigSummary, Result<&'a KubeadmConfig, &'a Unobserved>);
    const NAME: &'static str = "control-plane-endpoint";
    const ACCESS: Access = Access::Handshake;
    const DEADLINE: Duration = Duration::from_secs(30);

    async fn observe(Live { cluster, .. }: &Live, (published, kubeconfig, kubeadm): Self::Needs<'_>) -> Seen<Self> {
        let instances = published.0.len();
        if instances < 2 {
            return Err(Unobserved::absent("there is only one API server"));
        }
        let endpoint = endpoint(kubeadm, &kubeconfig.endpoint)?;
        let target = Target::of(endpoint.clone());
        let dialled = join_all((0..CONNECTIONS).map(|_| cluster.handshake(&target, cluster.authorities())));
        let lookup = tokio::net::lookup_host((endpoint.host(), endpoint.port()));
        let (dialled, addresses) = tokio::join!(dialled, lookup);
        let (mut serials, mut failures) = (BTreeMap::new(), BTreeMap::new());
        for seen in dialled {
            let serial = seen.map_err(|why| why.to_string()).and_then(|seen| {
                seen.leaf().describe().map(|leaf| leaf.serial).map_err(|malformed| malformed.to_string())
            });
            match serial {
                Ok(serial) => *serials.entry(serial).or_default() += 1,
                Err(why) => *failures.entry(why).or_default() += 1,
            }
        }
        let addresses = addresses.map_err(|e| Unobserved::unreachable(endpoint.host(), e)).map(|found| {
            let mut addresses: Vec<IpAddr> = found.map(|at| at.ip()).collect();
            addresses.sort();
            addresses.dedup();
            addresses
        });
        Ok(Self { endpoint, addresses, serials, failures })
    }
}

/// That of kubeadm-config; else the kubeconfig's server.
fn endpoint(kubeadm: Result<&KubeadmConfig, &Unobserved>, of_kubeconfig: &Authority) -> Seen<Authority> {
    match kubeadm {
        Ok(KubeadmConfig { control_plane_endpoint: Some(text), .. }) => authority(text),
        Ok(_) | Err(Unobserved::Absent { .. }) => Ok(of_kubeconfig.clone()),
        Err(why) => Err(why.clone()),
    }
}

fn authority(text: &str) -> Seen<Authority> {
    let unusable = |e| Unobserved::invalid(format!("controlPlaneEndpoint {text}"), e);
    text.parse().or_else(|_| Authority::new(text.trim_matches(['[', ']']), ports::API_SERVER)).map_err(unusable)
}

crate::observed!(ControlPlaneEndpoint);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_read_is_not_guessed() {
        let ours: Authority = "10.77.0.100:6443".parse().unwrap();
        let refused = Unobserved::Refused { missing: "get configmaps".into(), message: "no".into() };
        assert_eq!(endpoint(Err(&refused), &ours), Err(refused.clone()));
        assert_eq!(endpoint(Err(&Unobserved::absent("no kubeadm-config")), &ours), Ok(ours.clone()));
        let given = KubeadmConfig { control_plane_endpoint: Some("api.bed.test".into()), ..KubeadmConfig::default() };
        assert_eq!(endpoint(Ok(&given), &ours).unwrap().to_string(), "api.bed.test:6443");
    }

    #[test]
    fn an_endpoint_may_come_without_its_port() {
        for (text, expected) in [
            ("api.bed.test:8443", "api.bed.test:8443"),
            ("api.bed.test", "api.bed.test:6443"),
            ("fd00::1", "[fd00::1]:6443"),
            ("[fd00::1]:443", "[fd00::1]:443"),
        ] {
            assert_eq!(authority(text).unwrap().to_string(), expected);
        }
        assert!(authority("a b").is_err());
    }
}
