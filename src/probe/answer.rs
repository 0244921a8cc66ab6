//! What a probe answers, small enough for a termination message.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Deserializer, Serialize};

use super::fault::{Fault, Got};
use super::reached::Reached;
use crate::certificate::{Certificate, Distrust};
use crate::jwt::Claims;

/// The answers of one probe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// What the pod's resolver is told.
    pub resolver: Resolver,
    /// The addresses of `kubernetes.default`, as the C library finds them by the search list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_name: Option<Got<BTreeSet<IpAddr>>>,
    /// What the environment says about the API server: host and port.
    pub environment: Option<(String, String)>,
    /// The largest packet that each of the pod's network interfaces sends, in bytes, or why one cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "mtu")]
    pub mtu: Option<Got<BTreeMap<String, u32>>>,
    /// The API server at its ClusterIP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<ApiAnswer>,
    /// Each DNS server.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dns: BTreeMap<SocketAddr, DnsAnswer>,
    /// What DNS servers count, by the address of their metrics.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dns_metrics: BTreeMap<SocketAddr, Got<DnsMetrics>>,
    /// Each peer, by pod.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub peers: BTreeMap<String, PeerAnswer>,
    /// The Services in front of the probes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceAnswer>,
    /// The node's own kubelet, by address.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kubelet: BTreeMap<IpAddr, KubeletAnswer>,
    /// The node's own kube-proxy, by address.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kube_proxy: BTreeMap<IpAddr, KubeProxyAnswer>,
    /// What was met at other endpoints.
    #[serde(default)]
    pub reached: Reached,
    /// The claims of the pod's own token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Got<Claims>>,
    /// The servers that tell a cloud's instances about themselves, or why they are closed to the pod.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<SocketAddr, Got<MetadataAnswer>>,
}

/// What the pod's resolver is told, from `/etc/resolv.conf`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolver {
    /// The servers.
    pub nameservers: Vec<String>,
    /// The search list.
    pub search: Vec<String>,
    /// The options, as `ndots:5`.
    pub options: Vec<String>,
}

/// The API server at its ClusterIP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApiAnswer {
    /// How many connections got a certificate.
    pub connected: u32,
    /// How many were tried: fewer than asked for where they took long.
    pub tried: u32,
    /// The first failure to connect.
    pub fault: Option<Fault>,
    /// The serial numbers of the certificates, which tell the instances apart.
    pub serials: Vec<String>,
    /// Whether the certificate is valid under each name that pods use; the address is among them.
    pub names: BTreeMap<String, Result<(), Distrust>>,
    /// The status of GET /version with the service account's token, verified with the pod's own CA.
    pub version: Got<u16>,
    /// The status of the same request with so long a header that it takes full packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub large: Option<Got<u16>>,
    /// How long connecting took.
    pub latency: Option<Latency>,
    /// Whether each instance gives a certificate to who dials it by its own address.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub instances: BTreeMap<SocketAddr, Got<()>>,
}

/// One DNS server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DnsAnswer {
    /// By UDP.
    pub udp: Lookups,
    /// By TCP.
    pub tcp: Lookups,
    /// Other records, as `SRV _https._tcp.kubernetes.default.svc.cluster.local.`
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub records: BTreeMap<String, Got<Records>>,
}

/// An answer to a question for records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    /// The response code, as `NXDOMAIN`.
    pub code: String,
    /// The records, as a zone file writes them, with their types in front.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<String>,
    /// Whether a datagram did not hold them, so that they came by TCP.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// What a CoreDNS server has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsMetrics {
    /// Panics.
    pub panics: u64,
    /// Responses.
    pub responses: u64,
    /// Those with SERVFAIL or REFUSED.
    pub failures: u64,
    /// New Corefiles that could not be used.
    pub failed_reloads: u64,
    /// How often all upstream servers were out of order.
    pub upstreams_broken: u64,
    /// Requests to the API server that were refused for want of rights.
    pub api_refusals: u64,
}

/// Lookups of one name at one server by one protocol.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lookups {
    /// How many were sent.
    pub asked: u32,
    /// How many were answered with an address.
    pub answered: u32,
    /// The addresses that were answered.
    pub addresses: Vec<IpAddr>,
    /// The first failure.
    pub fault: Option<Fault>,
    /// How long answers took.
    pub latency: Option<Latency>,
}

impl Lookups {
    /// Whether lookups were sent, and nothing at all came back.
    pub fn is_silent(&self) -> bool {
        self.answered == 0 && self.fault.as_ref().is_some_and(Fault::is_silence)
    }
}

/// How long something took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// The median, in microseconds.
    pub p50_us: u64,
    /// The 99th percentile, in microseconds.
    pub p99_us: u64,
}

impl Latency {
    /// The latency of these samples, in microseconds.
    pub fn of(mut samples: Vec<u64>) -> Option<Self> {
        samples.sort_unstable();
        let at = |percent: usize| samples.get((samples.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Some(Self { p50_us: at(50)?, p99_us: at(99)? })
    }
}

/// Another probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerAnswer {
    /// The address to which its name resolved, or that was given.
    pub address: Got<IpAddr>,
    /// Whether the address was given, because the name had failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_address: bool,
    /// By TCP: the address that the peer saw us come from.
    pub tcp: Got<IpAddr>,
    /// By UDP: the address that the peer saw us come from.
    pub udp: Got<IpAddr>,
    /// Payloads that take full packets, once small ones have come through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub large: Option<LargeAnswer>,
    /// Many small datagrams, once one has come through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
}

/// Payloads that take full packets, there and back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeAnswer {
    /// Many full packets by TCP.
    pub tcp: Got<()>,
    /// One datagram that fills a packet of the pod's own interface; not sent where its size is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datagram: Option<Got<()>>,
    /// One datagram of several fragments.
    pub fragments: Got<()>,
}

/// How many datagrams, of many, found no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// How many were sent.
    pub sent: u32,
    /// How many were not answered.
    pub lost: u32,
}

/// The Services in front of the probes: which backends answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAnswer {
    /// By TCP at the ClusterIP.
    pub tcp: Backends,
    /// By UDP at the ClusterIP.
    pub udp: Backends,
    /// By TCP at the ClusterIP that keeps a client with one backend.
    pub affinity: Backends,
    /// By TCP at the node port of the probe's own node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_port: Option<Backends>,
    /// By TCP at the ClusterIP of the other family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_family: Option<Backends>,
    /// By TCP at the node port of other nodes, by address: whether anybody answers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other_nodes: BTreeMap<IpAddr, Got<()>>,
}

/// Which backends answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backends {
    /// How many requests were sent.
    pub asked: u32,
    /// How often each backend answered.
    pub answered: BTreeMap<String, u32>,
    /// The last failure after the first success, or the last one of all when nothing ever answered.
    pub fault: Option<Fault>,
    /// How long after the probe began the first answer came, in milliseconds.
    pub first_ms: Option<u64>,
}

/// The node's own kubelet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubeletAnswer {
    /// The serving certificate.
    pub certificate: Got<Certificate>,
    /// The status of requests without credentials, by path.
    pub anonymous: BTreeMap<String, Got<u16>>,
}

/// The node's own kube-proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubeProxyAnswer {
    /// The status of /healthz at port 10256.
    pub healthz: Got<u16>,
    /// The status of /livez at port 10256.
    pub livez: Got<u16>,
    /// Whether the metrics port 10249 answers; it should refuse.
    pub metrics: Got<u16>,
}

/// A server that tells a cloud's instances about themselves, and accepts connections of the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetadataAnswer {
    /// It was asked nothing.
    Open,
    /// What it serves.
    Serves(Metadata),
}

/// What such a server answers to the requests of several clouds' clients. No credential is asked for, and no token is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// AWS, version 1: the status of a request for the names of the metadata.
    pub aws: Got<u16>,
    /// AWS, version 2: whether a session is given, and what it opens.
    pub aws_session: Got<AwsSession>,
    /// Google: the accounts that can be acted as.
    pub google: Got<GoogleAccounts>,
    /// Azure: the status of a request for the description of the instance.
    pub azure: Got<u16>,
}

/// A session at AWS's server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsSession {
    /// The status of the request for one.
    pub status: u16,
    /// Whether the instance has a role, told to who has a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Got<bool>>,
}

/// The accounts that Google's server names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoogleAccounts {
    /// The status of the request.
    pub status: u16,
    /// Their names, which look like addresses of mail; the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

/// Reads what probes tell of their interfaces. Those that could not tell a failure told the sizes alone.
fn mtu<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Got<BTreeMap<String, u32>>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Told {
        Got(Got<BTreeMap<String, u32>>),
        Sizes(BTreeMap<String, u32>),
    }
    Ok(Some(match Told::deserialize(from)? {
        Told::Got(got) => got,
        Told::Sizes(sizes) => Ok(sizes),
    }))
}

/// The largest packet that leaves by these interfaces: a pod has one way out, or several that lead to the same network.
pub fn largest_packet(sizes: &BTreeMap<String, u32>) -> Option<u32> {
    sizes.values().min().copied()
}

impl Answers {
    /// The largest packet that the pod sends, in bytes, or why it is not known.
    pub fn largest_packet(&self) -> Got<u32> {
        let told = self.mtu.clone().unwrap_or_else(|| Err(Fault::Other("its interfaces were not looked at".into())))?;
        largest_packet(&told).ok_or_else(|| Fault::Other("none of its interfaces is up".into()))
    }

    /// Adds the answers to other questions that the same pod was asked.
    pub fn extend(&mut self, other: Self) {
        self.mtu = self.mtu.take().or(other.mtu);
        self.short_name = self.short_name.take().or(other.short_name);
        self.api = self.api.take().or(other.api);
        self.dns.extend(other.dns);
        self.dns_metrics.extend(other.dns_metrics);
        self.peers.extend(other.peers);
        self.service = self.service.take().or(other.service);
        self.kubelet.extend(other.kubelet);
        self.kube_proxy.extend(other.kube_proxy);
        self.reached.0.extend(other.reached.0);
        self.token = self.token.take().or(other.token);
        self.metadata.extend(other.metadata);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::message::{self, MESSAGE_LIMIT, MessageError};

    #[test]
    fn a_message_holds_the_answers_of_a_full_mesh() {
        let peer = || PeerAnswer {
            address: Ok([10, 244, 1, 17].into()),
            by_address: false,
            tcp: Ok([10, 244, 0, 9].into()),
            udp: Err(Fault::TimedOut),
            large: Some(LargeAnswer { tcp: Ok(()), datagram: Some(Ok(())), fragments: Ok(()) }),
            loss: Some(Loss { sent: 40, lost: 0 }),
        };
        let answers = Answers {
            peers: (0..16).map(|i| (format!("seaworthy-x7f4k-{i}"), peer())).collect(),
            ..Answers::default()
        };
        let message = message::pack_within(&answers, MESSAGE_LIMIT).unwrap();
        assert!(message.len() < MESSAGE_LIMIT / 4, "{}", message.len());
        assert_eq!(message::unpack::<Answers>(&message).unwrap(), answers);
    }

    #[test]
    fn sizes_of_packets_are_read_as_older_probes_told_them() {
        let read = |text: &str| {
            serde_json::from_str::<Answers>(&format!(
                r#"{{"resolver":{{"nameservers":[],"search":[],"options":[]}},"environment":null{text}}}"#
            ))
            .unwrap()
        };
        assert_eq!(read(r#","mtu":{"eth0":1450,"eth1":1500}"#).largest_packet(), Ok(1450));
        assert!(read("").largest_packet().is_err() && read(r#","mtu":{}"#).largest_packet().is_err());
        let unread = Answers { mtu: Some(Err(Fault::Other("eth0/mtu: no".into()))), ..Answers::default() };
        let again: Answers = serde_json::from_str(&serde_json::to_string(&unread).unwrap()).unwrap();
        assert_eq!((again.largest_packet(), again), (Err(Fault::Other("eth0/mtu: no".into())), unread));
        let large: LargeAnswer =
            serde_json::from_str(r#"{"tcp":{"Ok":null},"datagram":{"Ok":null},"fragments":{"Ok":null}}"#).unwrap();
        assert_eq!(large.datagram, Some(Ok(())));
    }

    #[test]
    fn answers_that_do_not_fit_are_an_error_not_a_part() {
        // Distinct random-looking texts, so that packing cannot help.
        let peers = (0..900_u64).map(|i| {
            let noise = format!("{:x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let peer = PeerAnswer {
                address: Err(Fault::Other(noise.clone())),
                by_address: false,
                tcp: Err(Fault::Reset),
                udp: Err(Fault::Reset),
                large: None,
                loss: None,
            };
            (noise, peer)
        });
        let answers = Answers { peers: peers.collect(), ..Answers::default() };
        assert!(matches!(message::pack_within(&answers, MESSAGE_LIMIT), Err(MessageError::TooLong { .. })));
    }

    #[test]
    fn percentiles_are_those_of_the_samples() {
        assert_eq!(Latency::of((1..=100).collect()), Some(Latency { p50_us: 50, p99_us: 99 }));
        assert_eq!(Latency::of(vec![7]), Some(Latency { p50_us: 7, p99_us: 7 }));
        assert_eq!(Latency::of(Vec::new()), None);
    }
}
