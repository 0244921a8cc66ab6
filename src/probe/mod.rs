//! Probes: what runs inside pods, and what puts it there and takes it away.

pub mod settings;

pub use settings::{ProbeSettings, RunId};
