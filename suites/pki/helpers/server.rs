//! A server of the cluster that presents a certificate.

use std::fmt;

use crate::check::Subject;
use crate::suites::kubeadm_phase::{again_on, restart};
use crate::suites::pki::helpers::distrust::remake;

/// A server of the cluster that presents a certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Server {
    /// An API server, by address.
    Api(String),
    /// The kubelet of a node.
    Kubelet(String),
    /// The member of etcd on a node: its two ports are one server.
    Etcd(String),
}

impl Server {
    /// What a finding about it is about.
    pub(crate) fn subject(&self) -> Subject {
        match self {
            Self::Api(address) => Subject::address(address),
            Self::Kubelet(node) | Self::Etcd(node) => Subject::node(node),
        }
    }

    /// What it is, without its place.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Api(_) => "the API server",
            Self::Kubelet(_) => "the kubelet",
            Self::Etcd(_) => "the member of etcd",
        }
    }

    /// How to give it another key and certificate.
    pub(crate) fn replace_pair(&self) -> String {
        match self {
            Self::Api(_) => remake(),
            Self::Kubelet(_) => "on the node: mv /var/lib/kubelet/pki/kubelet.crt /var/lib/kubelet/pki/kubelet.key \
                                 /root/ (or kubelet-server-current.pem, then approve the new request as PK-09 shows), \
                                 and restart the kubelet"
                .to_owned(),
            Self::Etcd(node) => format!(
                "on {node}: {}; the same with etcd-peer; then {}",
                again_on(node, "certs etcd-server"),
                restart("etcd")
            ),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(address) => write!(f, "the API server {address}"),
            Self::Kubelet(node) => write!(f, "the kubelet of {node}"),
            Self::Etcd(node) => write!(f, "the etcd of {node}"),
        }
    }
}
