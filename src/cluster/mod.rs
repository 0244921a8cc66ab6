//! The edge to Kubernetes: everything that is sent leaves through here, with a deadline. What is sent
//! again after a transient fault is counted.

mod again;
pub(crate) mod answered;
mod body;
pub(crate) mod call;
mod causes;
mod clients;
pub(crate) mod connection;
mod cost;
mod decode;
mod deletion;
mod discovery;
pub(crate) mod handle;
mod handshakes;
pub(crate) mod identity;
pub(crate) mod kubeconfig;
pub(crate) mod kubelet;
mod kubelets;
mod open_files;
mod pace;
mod place;
mod plugin;
mod progress;
mod proxy;
mod relayed;
pub(crate) mod reply;
mod requests;
pub(crate) mod streams;
mod summary;
#[cfg(test)]
pub(crate) mod testing;
mod turn;
pub(crate) mod until;

pub(crate) use answered::Answered;
pub(crate) use call::{Call, Trust};
pub(crate) use causes::causes;
pub(crate) use connection::{ConnectError, connect};
pub(crate) use cost::Cost;
pub(crate) use handle::{Cluster, Settings};
pub(crate) use identity::{ClientCertificate, Identity};
pub(crate) use kubeconfig::without_line_breaks;
pub(crate) use kubeconfig::{File, Files, Found, Kubeconfig, KubeconfigError, ReadFile};
pub(crate) use kubelet::StrangersAnswer;
pub(crate) use progress::Progress;
pub(crate) use relayed::Came;
pub(crate) use reply::Reply;
pub(crate) use streams::Streamed;
pub(crate) use summary::ClusterSummary;
pub(crate) use until::until;
