//! What a run saw of the cluster that reports draw, beside the verdicts: when certificates expire, and which paths are open.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What was seen of the cluster. What could not be seen is not in it: the verdicts name that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// The certificates, the first to expire first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Expiry>,
    /// The paths that probes tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<Path>,
    /// How many more of them there are than are listed, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// When a certificate expires.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Expiry {
    /// The end of its validity.
    pub not_after: Timestamp,
    /// The beginning of its validity.
    pub not_before: Timestamp,
    /// What it is for, such as `api-server`, `kubelet`, `etcd-server`, `etcd-peer`, `cluster-ca`, `front-proxy-ca`, `client`.
    pub kind: String,
    /// The server, node, file or user that presents it.
    pub instance: String,
    /// The name in its subject.
    pub subject: String,
}

/// A path that a probe tried.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Path {
    /// The node of the probe.
    pub from: String,
    /// What was asked: a node's name, or the name of a Service or DNS server.
    pub to: String,
    /// What kind of path it is.
    pub kind: PathKind,
    /// Whether it worked.
    pub state: PathState,
    /// How many attempts there were, and what was seen, in words.
    pub detail: String,
}

/// A kind of path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathKind {
    /// From pod to pod.
    Pod,
    /// From pod to DNS.
    Dns,
    /// From pod to a Service.
    Service,
    /// From pod to the API server.
    ApiServer,
}

/// Whether a path worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathState {
    /// Every attempt was answered.
    Open,
    /// Some attempts were answered.
    Partial,
    /// No attempt was answered.
    Closed,
    /// It was not tried, or the probe did not report.
    Unknown,
}
