//! Trials: what is done to a cluster to see how it behaves. Each states the permissions that it takes.
//!
//! A fact says when a trial may run, gives it what other facts have seen, and records what came of it.

pub mod control_plane_loss;
pub mod join_rehearsal;
pub mod monitoring;
pub mod network_policy;
mod runner;
pub mod service;
pub mod streams;
mod tries;
