//! What a probe asks: one file per kind of question, all asked at once.

pub mod api;
pub mod batch;
pub mod dns;
mod http;
pub mod interfaces;
pub mod kubelet;
pub mod metadata;
mod metrics;
pub mod peer;
mod peer_load;
pub mod reach;
mod repeated;
pub mod resolver;
mod retried;
pub mod service;
#[cfg(test)]
mod silent_paths;
pub mod terms;
pub mod token;
pub mod watch;

pub use batch::ask;
pub(super) use http::http_fault;

use crate::cluster::handshake::Unreachable;
use crate::probe::fault::Fault;

/// Where the service account's files are.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Why no certificate was seen, as a fault.
fn unreachable_fault(unreachable: Unreachable) -> Fault {
    match unreachable {
        Unreachable::Refused => Fault::Refused,
        Unreachable::TimedOut { .. } => Fault::TimedOut,
        Unreachable::Reset | Unreachable::Closed => Fault::Reset,
        Unreachable::NotTls { answer } => Fault::NotTls(answer),
        strange @ Unreachable::Declined { .. } => Fault::Stranger(strange.to_string()),
        other => Fault::Other(other.to_string()),
    }
}
