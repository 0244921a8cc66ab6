//! A live run, as facts see it: the cluster, what the run was given, and what it must remove again.

mod head_start;
mod inputs;
mod ledger;
mod run_id;
#[cfg(test)]
pub(crate) mod testing;

use crate::cluster::Cluster;

pub(crate) use crate::cluster::Progress;
pub(crate) use head_start::HeadStart;
pub(crate) use inputs::Inputs;
pub(crate) use ledger::{Footprint, Ledger, Outlying};
pub(crate) use run_id::RunId;

/// What observing a fact has at hand.
pub struct Live {
    /// The cluster, to send requests to.
    pub cluster: Cluster,
    /// What the run was given.
    pub inputs: Inputs,
    /// What the run has created and must remove.
    pub ledger: Ledger,
    /// Whether what is observed first is under way.
    pub head_start: HeadStart,
}
