//! Trials: what is done to a cluster to see how it behaves. Each states the permissions that it takes.
//!
//! A fact says when a trial may run, gives it what other facts have seen, and records what came of it.

pub(crate) mod control_plane_loss;
pub(crate) mod join_rehearsal;
pub(crate) mod monitoring;
pub(crate) mod network_policy;
mod runner;
pub(crate) mod service;
pub(crate) mod streams;
mod tries;
