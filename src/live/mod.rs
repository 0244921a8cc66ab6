//! A live run, as facts see it: the cluster, what the run was given, and what it must remove again.

mod inputs;
mod ledger;
mod phase;
mod run_id;
#[cfg(test)]
pub(crate) mod testing;

use crate::cluster::{Cluster, Cost};

pub(crate) use crate::cluster::Progress;
pub(crate) use inputs::Inputs;
pub(crate) use ledger::{Footprint, Ledger, Outlying};
pub(crate) use phase::Phase;
pub(crate) use run_id::RunId;

/// What observing a fact has at hand.
pub struct Live {
    /// The cluster, to send requests to.
    pub cluster: Cluster,
    /// What the run was given.
    pub inputs: Inputs,
    /// What the run has created and must remove.
    pub ledger: Ledger,
    /// The head start of what is observed first: it ends when that is under way, and everything else may begin.
    pub head_start: Phase,
    /// Everything that asks the cluster: when it ends, what the run created is needed no more.
    pub observation: Phase,
}

impl Live {
    /// What the run has cost so far.
    pub fn cost(&self) -> Cost {
        let Self { cluster, ledger, .. } = self;
        Cost {
            requests: cluster.requests(),
            retries: cluster.retries(),
            kubelet_requests: cluster.kubelet_requests(),
            received_bytes: cluster.received(),
            pods: ledger.pods(),
        }
    }
}
