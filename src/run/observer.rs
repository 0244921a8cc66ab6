//! The observer: settles each needed fact once, from a live cluster or from a recording.

use std::collections::BTreeSet;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;

use super::ExitCode;
use super::in_time::in_time;
use crate::event::{Event, Events};
use crate::fact::facts::expectations::Expectations;
use crate::fact::node::{Observation, Origin, Slot};
use crate::fact::{Facts, Need, Node, Stage};
use crate::live::{Live, Progress};
use crate::milliseconds::milliseconds;
use crate::recording::Recording;
use crate::seen::{Access, Obstacle, Unobserved};

/// Where facts come from.
pub enum Source {
    /// A live cluster.
    Live {
        /// The run, or why it could not begin: then every fact is unobserved for that reason.
        live: Result<Arc<Live>, NotBegun>,
        /// What the profile expects of the cluster.
        expectations: Expectations,
        /// What observing may do.
        allowed: BTreeSet<Access>,
        /// The name of the profile that allows it.
        profile: String,
    },
    /// A recording of an earlier run.
    Recorded(Recording),
}

/// Why a run on a live cluster could not begin.
#[derive(Clone, Debug)]
pub struct NotBegun {
    /// Why, in one line.
    pub cause: String,
    /// What the process should end with.
    pub exit_code: ExitCode,
}

impl NotBegun {
    fn why(&self) -> Unobserved {
        Unobserved::Barred { obstacle: Obstacle::Cluster, cause: self.cause.clone() }
    }
}

/// Settles facts, everything that is ready at once.
pub struct Observer {
    facts: Arc<Facts>,
    source: Source,
    events: Events,
}

impl Observer {
    /// An observer of these facts.
    pub fn new(facts: Arc<Facts>, source: Source, events: Events) -> Arc<Self> {
        if let Source::Live { expectations, .. } = &source {
            facts.give(expectations.clone());
        }
        Arc::new(Self { facts, source, events })
    }

    /// The facts as far as they are settled.
    pub fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    /// Settles these facts and all that they need; those that do not wait for each other are observed concurrently.
    pub fn settle(self: &Arc<Self>, needs: Vec<Need>) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            self.settle_nodes(needs.iter().map(|need| (need.node)())).await;
        })
    }

    /// The same for facts without their types.
    pub(super) async fn settle_nodes(self: &Arc<Self>, nodes: impl Iterator<Item = Node>) {
        join_all(nodes.map(|node| self.settle_node(node))).await;
    }

    async fn settle_node(self: &Arc<Self>, node: Node) {
        self.facts
            .settle(&node, async {
                // A fact beyond what is allowed needs nothing: what it rests on is not asked for its sake.
                if let Some(forbidden) = self.forbidden(&node) {
                    return Err(forbidden);
                }
                self.settle((node.needs)()).await;
                match node.origin {
                    Origin::Derived(derive) => self.derive(node.name, derive).await,
                    Origin::Observed(observation) => self.observe(&node, observation).await,
                    Origin::Given => match &self.source {
                        Source::Recorded(recording) => recorded(recording, &node),
                        Source::Live { .. } => Err(Unobserved::invalid(node.name, "the run was not given it")),
                    },
                }
            })
            .await;
    }

    /// Derives a fact. In a live run that happens on a thread of its own, since a run must end in time.
    async fn derive(&self, name: &'static str, derive: fn(&Facts) -> Slot) -> Slot {
        let facts = self.facts.clone();
        let derive = move || {
            catch_unwind(AssertUnwindSafe(|| derive(&facts)))
                .unwrap_or_else(|_| Err(Unobserved::invalid(name, "deriving it panicked")))
        };
        match &self.source {
            Source::Recorded(_) | Source::Live { live: Err(_), .. } => derive(),
            Source::Live { live: Ok(live), .. } => in_time(live, &format!("deriving {name}"), derive).await?,
        }
    }

    fn forbidden(&self, node: &Node) -> Option<Unobserved> {
        match (&self.source, node.origin) {
            (Source::Live { allowed, profile, .. }, Origin::Observed(observation))
                if !allowed.contains(&observation.access) =>
            {
                Some(Unobserved::NotAllowed { access: observation.access, profile: profile.clone() })
            }
            _ => None,
        }
    }

    async fn observe(&self, node: &Node, observation: Observation) -> Slot {
        let name = node.name;
        match &self.source {
            Source::Recorded(recording) => recorded(recording, node),
            Source::Live { live: Err(not_begun), .. } => Err(not_begun.why()),
            Source::Live { live: Ok(live), .. } => {
                self.events.send(Event::FactStarted { fact: name.into() });
                let start = Instant::now();
                let slot = observed(name, observation, live.clone(), self.facts.clone()).await;
                self.events.send(Event::FactObserved {
                    fact: name.into(),
                    elapsed_ms: milliseconds(start.elapsed()),
                    unobserved: slot.as_ref().err().map(ToString::to_string),
                });
                slot
            }
        }
    }
}

/// What a recording holds of a fact.
fn recorded(recording: &Recording, node: &Node) -> Slot {
    recording.slot(node).unwrap_or_else(|| Err(Unobserved::NotRecorded { fact: node.name.into() }))
}

/// Observes in a task of its own, so that a panic becomes an error of this fact alone.
async fn observed(name: &'static str, observation: Observation, live: Arc<Live>, facts: Arc<Facts>) -> Slot {
    let start = Instant::now();
    let (cancelled, over) = (live.cluster.cancelled(), live.cluster.over());
    let progress = Progress::begin();
    let mut task = tokio::spawn(progress.of((observation.observe)(live.clone(), facts)));
    let may_be_cut_off = observation.stage != Stage::Alone;
    tokio::select! {
        done = &mut task => done.unwrap_or_else(|panic| Err(Unobserved::invalid(format!("observing {name}"), panic))),
        () = progress.stalled(observation.deadline), if may_be_cut_off => {
            task.abort();
            Err(Unobserved::timed_out(format!("observing {name}"), observation.deadline))
        }
        () = over, if may_be_cut_off => {
            task.abort();
            let late = || Unobserved::timed_out(format!("observing {name}"), start.elapsed());
            Err(live.cluster.out_of_time().unwrap_or_else(late))
        }
        () = cancelled, if may_be_cut_off => {
            task.abort();
            Err(Unobserved::Interrupted)
        }
    }
}
