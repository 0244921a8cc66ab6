//! Probes on the node's own network, which see some of its directories, read-only.
//!
//! They answer what no pod can: the certificates on disk, what listens on the loopback address, what the node's init runs
//! and starts. A termination message holds little, so there are several containers. To ask more, add to the lists in
//! [`HostReports`](crate::fact::facts::host_reports::HostReports).

pub mod answer;
pub mod ask;
pub mod disk;
mod http;
pub mod manifests;
pub mod object;
pub mod question;
pub mod services;
pub mod units;

pub use answer::HostAnswers;
pub use ask::ask;
pub use question::HostQuestions;
