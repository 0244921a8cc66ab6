//! The edge to Kubernetes: everything that is sent leaves through here, with a deadline, and is never retried silently.

pub mod call;
pub mod connection;
pub mod footprint;
pub mod handle;
pub mod handshake;
pub mod identity;
pub mod kubeconfig;
pub mod kubelet;
pub mod reply;

pub use call::Call;
pub use connection::{ConnectError, connect};
pub use footprint::Footprint;
pub(crate) use handle::causes;
pub use handle::{Cluster, Settings};
pub use identity::Identity;
pub use kubeconfig::{Kubeconfig, KubeconfigError};
pub use reply::Reply;
