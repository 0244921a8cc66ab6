//! Sends the verdict of a run to where people look: a webhook, Alertmanager, a Pushgateway, the cluster itself.
//!
//! A target that is down changes no verdict and loses no file: it gets a few attempts, within a deadline, after all reports are
//! written.

pub mod alerts;
pub mod apply;
pub mod arguments;
pub mod delivery;
pub mod message;
pub mod pushes;
pub mod target;

pub use arguments::PushArgs;
pub use pushes::{Pushes, Undelivered};
