//! What the reports hold, in the words of the topics that probes are asked about: this is what checks take of probes.

pub(crate) use crate::probe::answer::*;
#[cfg(test)]
pub(crate) use crate::probe::collect::Times;
pub(crate) use crate::probe::endpoint::Endpoint;
pub(crate) use crate::probe::fault::{Fault, Got};
pub(crate) use crate::probe::object::MANY_PORTS;
pub(crate) use crate::probe::reached::{Met, Reached, TlsMet, is_open};
