//! Probes: what runs inside pods, and what puts it there and takes it away.
//!
//! A probe pod has two containers of the same executable. `serve` answers peers for as long as the pod lives; `ask` asks
//! its whole batch of questions at once and puts the answers into its termination message, which the runner reads with
//! one watch. Questions whose answers would not fit into one message are [spread] over several `ask` containers.
//! No command is executed in a pod, no log is read and no port is forwarded, except to try exactly that.
//!
//! What can only be seen from a node itself is the subject of another kind of pod, in [`host`], which only a profile that
//! allows [`Privileged`](crate::seen::Access::Privileged) access gets.

pub mod answer;
pub mod ask;
pub mod batch;
pub mod collect;
pub mod deploy;
pub mod fault;
pub mod follow;
mod grant;
pub mod happened;
pub mod host;
pub mod mesh;
pub mod message;
pub mod object;
pub mod policed;
pub mod question;
mod rights;
pub mod serve;
pub mod sight;
pub mod spread;
pub mod sweep;
pub mod trial;

pub use ask::reach::{endpoint, reached};
pub use ask::topics::{Answers, Questions};

/// The port at which probes serve, by TCP and by UDP.
pub const PORT: u16 = 8080;
