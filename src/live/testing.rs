//! Live runs for tests.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{Inputs, Ledger, Live, Phase};
use crate::cluster::{Cluster, testing};

/// A run on a cluster that does not exist, which ends after this time and can be stopped.
pub(crate) fn live(timeout: Option<Duration>, cancel: watch::Receiver<bool>) -> Arc<Live> {
    Arc::new(on(testing::stoppable("http://127.0.0.1:1", timeout, cancel)))
}

/// A run on this cluster.
pub(crate) fn on(cluster: Cluster) -> Live {
    let run = "x7f4k".parse().unwrap();
    let inputs = Inputs { run, image: String::new(), namespace: None, power: None };
    let (head_start, observation) = (Phase::default(), Phase::default());
    Live { cluster, inputs, ledger: Ledger::default(), head_start, observation }
}
