//! The edge to Kubernetes: everything that is sent leaves through here, with a deadline, and is never retried silently.

pub mod answered;
pub mod call;
mod causes;
mod clients;
pub mod connection;
mod discovery;
pub mod handle;
mod handshakes;
pub mod identity;
pub mod kubeconfig;
pub mod kubelet;
mod plugin;
mod proxy;
mod relayed;
pub mod reply;
mod requests;
pub mod streams;
mod summary;
#[cfg(test)]
pub(crate) mod testing;
mod turn;
pub mod until;

pub use answered::Answered;
pub use call::{Call, Trust};
pub(crate) use causes::causes;
pub use connection::{ConnectError, connect};
pub use handle::{Cluster, Settings};
pub use identity::{ClientCertificate, Identity};
pub(crate) use kubeconfig::without_line_breaks;
pub use kubeconfig::{Kubeconfig, KubeconfigError};
pub use relayed::Came;
pub use reply::Reply;
pub use streams::{Broken, Streamed};
pub use summary::ClusterSummary;
pub use until::until;
