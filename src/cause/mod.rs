//! Root causes: which results follow from others.
//!
//! Checks build on checks: names resolve only where Services work, and those only where the nodes are up. A result follows
//! from a finding of a check below its own that is about the same place; what nothing explains is a root. Nothing is
//! dropped: a consequence names its root, and stays where it is.
//!
//! Where a component has just restarted, what nothing else explains may follow from that, for a minute: see [`Restarts`]. What
//! was deleted during the run leaves notes: see [`Departed`].

mod departed;
mod faults;
mod fold;
mod graph;
mod obstacles;
mod places;
mod restarts;

pub(crate) use departed::Departed;
pub(crate) use fold::fold;
pub(crate) use graph::Graph;
pub(crate) use obstacles::Obstacles;
pub(crate) use places::Places;
pub(crate) use restarts::Restarts;
