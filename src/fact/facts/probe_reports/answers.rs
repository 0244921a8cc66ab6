//! What the reports hold, in the words of the topics that probes are asked about: this is what checks take of probes.

pub use crate::probe::answer::*;
pub use crate::probe::collect::Times;
pub use crate::probe::endpoint::Endpoint;
pub use crate::probe::fault::{Fault, Got};
pub use crate::probe::object::MANY_PORTS;
pub use crate::probe::reached::{Met, Reached, TlsMet, is_open};
