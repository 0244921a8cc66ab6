//! All targets of a run.

use futures_util::future::join_all;
use reqwest::Certificate;
use secrecy::SecretString;

use super::delivery::deliver;
use super::message::Message;
use super::target::Target;
use crate::event::Event;
use crate::report::Gathered;

/// All targets of a run, with what they get.
#[derive(Debug, Default)]
pub struct Pushes {
    targets: Vec<Target>,
    token: Option<SecretString>,
    authorities: Option<Vec<Certificate>>,
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
    ) -> Self {
        Self { targets, token, authorities, run: Gathered::default() }
    }

    /// Takes the next event, without secrets.
    pub fn event(&mut self, event: &Event) {
        if !self.targets.is_empty() {
            self.run.event(event);
        }
    }

    /// Sends the verdict to all targets at once, and returns those that did not get it.
    pub async fn deliver(self) -> Vec<Undelivered> {
        let Self { targets, token, authorities, run } = &self;
        let deliveries = targets.iter().map(async |target| {
            let message = Message::new(target, run);
            let done = deliver(target, token.as_ref(), authorities.as_deref(), message).await;
            done.err().map(|why| Undelivered { target: target.to_string(), why })
        });
        join_all(deliveries).await.into_iter().flatten().collect()
    }
}
