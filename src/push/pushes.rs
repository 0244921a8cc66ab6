//! All targets of a run.

use futures_util::future::{join, join_all};
use reqwest::Certificate;
use secrecy::SecretString;

use super::apply::apply;
use super::delivery::deliver;
use super::message::Message;
use super::target::Target;
use crate::cluster::Cluster;
use crate::event::Event;
use crate::report::Gathered;

/// All targets of a run, with what they get.
#[derive(Default)]
pub struct Pushes {
    targets: Vec<Target>,
    token: Option<SecretString>,
    authorities: Option<Vec<Certificate>>,
    /// Whether the cluster itself gets it.
    apply: bool,
    cluster: Option<Cluster>,
    run: Gathered,
}

/// A target that did not get the verdict.
#[derive(Debug, thiserror::Error)]
#[error("--push: {target} did not get the verdict: {why}")]
pub struct Undelivered {
    target: String,
    why: String,
}

impl Pushes {
    pub(super) fn new(
        targets: Vec<Target>,
        token: Option<SecretString>,
        authorities: Option<Vec<Certificate>>,
        apply: bool,
    ) -> Self {
        Self { targets, token, authorities, apply, cluster: None, run: Gathered::default() }
    }

    /// The cluster of the run, if it can be asked.
    pub(crate) fn of_cluster(self, cluster: Option<Cluster>) -> Self {
        Self { cluster, ..self }
    }

    /// Takes the next event, without secrets.
    pub fn event(&mut self, event: &Event) {
        if self.apply || !self.targets.is_empty() {
            self.run.event(event);
        }
    }

    /// Sends the verdict to all targets at once, and returns those that did not get it.
    pub async fn deliver(self) -> Vec<Undelivered> {
        let Self { targets, token, authorities, run, .. } = &self;
        let deliveries = targets.iter().map(async |target| {
            let message = Message::new(target, run);
            let done = deliver(target, token.as_ref(), authorities.as_deref(), message).await;
            done.err().map(|why| Undelivered { target: target.to_string(), why })
        });
        let (applied, delivered) = join(self.applied(), join_all(deliveries)).await;
        applied.into_iter().chain(delivered.into_iter().flatten()).collect()
    }

    async fn applied(&self) -> Option<Undelivered> {
        if !self.apply {
            return None;
        }
        let done = match &self.cluster {
            Some(cluster) => apply(cluster, &self.run).await,
            None => Err("the run did not reach it".into()),
        };
        done.err().map(|why| Undelivered { target: "the cluster".into(), why })
    }
}
