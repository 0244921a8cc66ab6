//! Many clusters: how they are called, what is kept of each once its run is over, and the joint report.
//!
//! A run's facts and verdicts are dropped with its end. What is kept of a cluster is a row of outcomes, and its causes, which are
//! kept once for all clusters that have them.

pub(crate) mod cause;
pub(crate) mod format;
pub(crate) mod joint;
pub(crate) mod label;
pub(crate) mod progress;
pub(crate) mod row;
mod same;
pub(crate) mod secrets;

pub(crate) use joint::Joint;
pub(crate) use row::{Member, Row};
