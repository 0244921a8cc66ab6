//! The tries that watching pods report.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::probe::ask::watch::Try;
use crate::seen::Seen;

/// The capacity of the queue.
const WAITING: usize = 64;

/// A try with the key of its pod, or why the pod reports no more.
pub(super) type Reported<K> = (K, Seen<Try>);

/// The tries that watching pods report, in the order of their arrival.
pub(super) struct Tries<K> {
    /// Keeps the queue open: the log of each pod reports its own end.
    sender: mpsc::Sender<Reported<K>>,
    queue: mpsc::Receiver<Reported<K>>,
}

impl<K> Tries<K> {
    /// A queue for them.
    pub(super) fn queue() -> Self {
        let (sender, queue) = mpsc::channel(WAITING);
        Self { sender, queue }
    }

    /// Where the log of a pod passes them on.
    pub(super) fn sender(&self) -> mpsc::Sender<Reported<K>> {
        self.sender.clone()
    }

    /// A try that has arrived already.
    pub(super) fn arrived(&mut self) -> Option<Reported<K>> {
        self.queue.try_recv().ok()
    }

    /// The next try, unless it takes longer.
    pub(super) async fn next(&mut self, patience: Duration) -> Option<Reported<K>> {
        timeout(patience, self.queue.recv()).await.ok().flatten()
    }
}
