//! Facts: what was observed about a cluster, at most once in a run.
//!
//! An [`Observe`]d fact asks the cluster and is recorded. A [`Derive`]d fact is a pure function of other facts and
//! never recorded, so that today's derivation applies to last year's recording. Both state what they need in their
//! types, as checks do, so the whole graph is known before anything is sent. A [`Given`] fact is what the run is given;
//! a [held](crate::held) one is observed for other observations alone, and never recorded.

pub(crate) mod access_review;
pub(crate) mod facts;
pub(crate) mod need;
pub(crate) mod node;
pub(crate) mod stage;
pub(crate) mod store;

pub(crate) use crate::cluster::answered;
pub(crate) use crate::rule::Rule;
pub(crate) use need::{Need, Needs, Parameter};
pub(crate) use node::{Derive, Fact, Given, Node, Observe};
pub(crate) use stage::Stage;
pub(crate) use store::Facts;
