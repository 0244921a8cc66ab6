//! What every topic needs to ask.

use std::net::IpAddr;
use std::time::Duration;

use super::http::Strangers;
use super::terms::Terms;
use crate::live::RunId;
use crate::probe::batch::Batch;
use crate::probe::fault::Got;

/// What every topic needs to ask.
pub struct Asker {
    /// How long questions may take.
    pub terms: Terms,
    /// The run that asks.
    pub run: RunId,
    /// The addresses of the probe's own node.
    pub node_addresses: Vec<IpAddr>,
    /// A client that asks any server.
    pub strangers: Got<Strangers>,
}

impl Asker {
    /// An asker whose time begins now.
    pub fn new(batch: &Batch) -> Self {
        let milliseconds = Duration::from_millis;
        let terms =
            Terms::new(milliseconds(batch.settle_ms), milliseconds(batch.answer_ms), milliseconds(batch.deadline_ms));
        Self {
            run: batch.run.clone(),
            node_addresses: batch.node_addresses.clone(),
            strangers: Strangers::client(terms.answer),
            terms,
        }
    }

    /// The status of a request without credentials.
    pub async fn status(&self, url: &str) -> Got<u16> {
        let strangers = self.strangers.as_ref().map_err(Clone::clone)?;
        self.terms.answered(strangers.status(url)).await
    }
}
