//! The Service default/kubernetes, by which pods reach the API.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::Service;
use serde::{Deserialize, Serialize};

use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// The Service default/kubernetes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KubernetesService {
    /// The type, as `ClusterIP`.
    pub kind: String,
    /// The address.
    pub cluster_ip: IpAddr,
    /// All addresses: one, since the Service is single-stack.
    pub cluster_ips: Vec<String>,
    /// The labels.
    pub labels: Vec<(String, String)>,
    /// Whether it selects pods, which it must not.
    pub has_selector: bool,
    /// The ports, as name, port and target port.
    pub ports: Vec<(String, i32, String)>,
}

impl KubernetesService {
    /// Where pods dial it.
    pub(crate) fn address(&self) -> SocketAddr {
        let port = self.ports.first().and_then(|(_, port, _)| u16::try_from(*port).ok());
        SocketAddr::new(self.cluster_ip, port.unwrap_or(443))
    }
}

impl Observe for KubernetesService {
    type Needs<'a> = ();
    const NAME: &'static str = "kubernetes-service";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::namespaced("default", "", "services", &["get"]).named(&["kubernetes"])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let call = Call::get_in::<Service>("default", "kubernetes");
        let service: Service = cluster.fetch(&call).await?;
        let spec = service.spec.unwrap_or_default();
        let cluster_ip = spec.cluster_ip.unwrap_or_default();
        Ok(Self {
            kind: spec.type_.unwrap_or_default(),
            cluster_ip: cluster_ip.parse().map_err(|_| {
                Unobserved::invalid(call.to_string(), format!("clusterIP {cluster_ip:?} is not an address"))
            })?,
            cluster_ips: spec.cluster_ips.unwrap_or_default(),
            labels: service.metadata.labels.unwrap_or_default().into_iter().collect(),
            has_selector: spec.selector.is_some_and(|selector| !selector.is_empty()),
            ports: spec
                .ports
                .unwrap_or_default()
                .into_iter()
                .map(|port| {
                    let target = match port.target_port {
                        Some(k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::Int(number)) => {
                            number.to_string()
                        }
                        Some(k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::String(name)) => name,
                        None => port.port.to_string(),
                    };
                    (port.name.unwrap_or_default(), port.port, target)
                })
                .collect(),
        })
    }
}

crate::observed!(KubernetesService);

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// The Service at this address, with nothing else that a check could look at.
    pub(crate) fn kubernetes_service(cluster_ip: impl Into<IpAddr>) -> KubernetesService {
        KubernetesService {
            kind: "ClusterIP".into(),
            cluster_ip: cluster_ip.into(),
            cluster_ips: Vec::new(),
            labels: Vec::new(),
            has_selector: false,
            ports: Vec::new(),
        }
    }
}
