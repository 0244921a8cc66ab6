//! What a probe is asked, all at once.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;
use super::fault::Got;
use super::message::MESSAGE_LIMIT;
use crate::live::RunId;
use crate::milliseconds::milliseconds;

/// The environment variable that carries the questions.
pub const VARIABLE: &str = "SEAWORTHY_QUESTIONS";

/// The batch of questions of one probe.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Questions {
    /// The run that asks.
    pub run: RunId,
    /// The pod that is asked.
    pub pod: String,
    /// How long names and addresses may take to become known to all nodes, in milliseconds.
    pub settle_ms: u64,
    /// How long one answer may take, in milliseconds.
    pub answer_ms: u64,
    /// By when the probe answers with what it has, in milliseconds since it began.
    pub deadline_ms: u64,
    /// How many bytes the answers may take, packed.
    pub message_limit: usize,
    /// The API server at its ClusterIP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<ApiQuestion>,
    /// The cluster's DNS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsQuestion>,
    /// The other probes.
    pub peers: Vec<Peer>,
    /// The Services in front of the probes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceQuestion>,
    /// The addresses of the probe's own node, whose kubelet and kube-proxy are asked.
    pub node_addresses: Vec<IpAddr>,
    /// What else is looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
    /// The servers that tell a cloud's instances about themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metadata: Vec<MetadataQuestion>,
}

impl Questions {
    /// Nothing yet.
    pub fn none(run: RunId, pod: impl Into<String>, answer: Duration, deadline: Duration) -> Self {
        Self {
            run,
            pod: pod.into(),
            settle_ms: 0,
            answer_ms: milliseconds(answer),
            deadline_ms: milliseconds(deadline),
            message_limit: MESSAGE_LIMIT,
            api: None,
            dns: None,
            peers: Vec::new(),
            service: None,
            node_addresses: Vec::new(),
            endpoints: Vec::new(),
            metadata: Vec::new(),
        }
    }
}

/// The API server at its ClusterIP.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiQuestion {
    /// Where pods dial it.
    pub address: SocketAddr,
    /// The certificates that pods trust, in PEM: what ConfigMap kube-root-ca.crt holds in the namespace of the probes. A
    /// volume would hold the same, but the kubelet takes up to seconds more to start a pod with it.
    pub authority: Got<String>,
    /// The names under which its certificate must be valid, besides the address.
    pub names: Vec<String>,
    /// How often to connect.
    pub connections: u32,
    /// Where its instances are published, each of which is dialled once.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub instances: BTreeSet<SocketAddr>,
}

/// The cluster's DNS.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DnsQuestion {
    /// The servers: the Service's address first, then each pod behind it.
    pub servers: Vec<SocketAddr>,
    /// The name to ask for, fully qualified.
    pub name: String,
    /// Whether to ask for its IPv6 address, and not for its IPv4 address.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ipv6: bool,
    /// How often to ask each server by UDP.
    pub udp: u32,
    /// How often to ask each server by TCP.
    pub tcp: u32,
    /// What else to ask each server, once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<RecordQuestion>,
    /// The servers whose metrics are looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<SocketAddr>,
}

/// Records to ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordQuestion {
    /// The type, as `SRV`.
    pub kind: String,
    /// The name, fully qualified.
    pub name: String,
    /// How many records to wait for while names become known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub count: usize,
    /// Whether who knows the name knows all of its records, and need not be asked again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_once: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Another probe.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Peer {
    /// Its pod.
    pub pod: String,
    /// Its name in the cluster's DNS.
    pub host: String,
    /// Its address, when names have failed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}

/// A server that tells a cloud's instances about themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataQuestion {
    /// Where.
    pub at: SocketAddr,
    /// Whether to ask what it serves, and not only whether it is open.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requests: bool,
}

/// The Services in front of the probes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServiceQuestion {
    /// The ClusterIP that spreads over all probes.
    pub cluster_ip: IpAddr,
    /// Its node port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_port: Option<u16>,
    /// The ClusterIP that keeps a client with one probe.
    pub affinity_ip: IpAddr,
    /// The ClusterIP of the other family that spreads over all probes, in a cluster of two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_family_ip: Option<IpAddr>,
    /// How many probes behind it to meet; none in a cluster too large to meet them all.
    pub backends: usize,
    /// The addresses of other nodes whose node port is tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_nodes: Vec<IpAddr>,
}
