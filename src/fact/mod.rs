//! Facts: what was observed about a cluster, at most once in a run.
//!
//! An [`Observe`]d fact asks the cluster and is recorded. A [`Derive`]d fact is a pure function of other facts and
//! never recorded, so that today's derivation applies to last year's recording. Both state what they need in their
//! types, as checks do, so the whole graph is known before anything is sent. A [`Given`] fact is what the run is given;
//! a [held](crate::held) one is observed for other observations alone, and never recorded.

pub mod access_review;
pub mod facts;
pub mod need;
pub mod node;
pub mod stage;
pub mod store;

pub use crate::cluster::answered;
pub use crate::rule::Rule;
pub use need::{Need, Needs, Parameter};
pub use node::{Derive, Fact, Given, Node, Observe};
pub use stage::Stage;
pub use store::Facts;
