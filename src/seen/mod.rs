//! What every other module may use: what was seen or why it was not, and what observing does to a cluster.

mod access;
mod obstacle;
mod unobserved;

pub(crate) use access::Access;
pub(crate) use obstacle::Obstacle;
pub(crate) use unobserved::{Seen, Unobserved};
