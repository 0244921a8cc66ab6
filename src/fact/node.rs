//! Facts as nodes of a graph, whatever their type.

use std::any::{Any, TypeId};
use std::future::{Future, ready};
use std::io::{BufReader, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{Facts, Need, Needs, Rule, Stage};
use crate::live::Live;
use crate::redaction::Redaction;
use crate::seen::{Access, Seen, Unobserved};

/// Something observed about a cluster, or derived from what was observed.
///
/// Implemented by [`observed!`](crate::observed) or [`held!`](crate::held) for types that implement [`Observe`], by
/// [`derived!`](crate::derived) for types that implement [`Derive`] and by [`given!`](crate::given) for types that
/// implement [`Given`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a fact",
    label = "not a fact",
    note = "below `impl Observe for {Self}` write `crate::observed!({Self});`, below `impl Derive for {Self}` write \
            `crate::derived!({Self});`"
)]
pub trait Fact: Any + Send + Sync + Sized {
    /// The fact as a node of the graph.
    fn node() -> Node;
}

/// A fact that asks the cluster: one that is [recorded](crate::observed), or one that is only [held](crate::held) for
/// other observations.
#[diagnostic::on_unimplemented(
    message = "nothing says how the fact `{Self}` is observed",
    label = "does not implement `Observe`",
    note = "implement `Observe` for it; if it follows from other facts, implement `Derive` and write `crate::derived!`"
)]
pub trait Observe: Fact {
    /// The facts that observing needs.
    type Needs<'a>: Needs<'a>;
    /// The name, as in recordings; never reused for something else.
    const NAME: &'static str;
    /// The worst effect that observing has.
    const ACCESS: Access;
    /// When it is observed.
    const STAGE: Stage = Stage::Any;
    /// The RBAC that observing needs beyond what every authenticated user has.
    const RULES: &'static [Rule] = &[];
    /// How long observing may take once its needs are there.
    const DEADLINE: Duration = Duration::from_secs(15);
    /// Asks the cluster.
    fn observe(live: &Live, needs: Self::Needs<'_>) -> impl Future<Output = Seen<Self>> + Send;
}

/// A fact that is a pure function of others. It is never recorded.
#[diagnostic::on_unimplemented(
    message = "nothing says how the fact `{Self}` is derived",
    label = "does not implement `Derive`",
    note = "implement `Derive` for it; if it asks the cluster, implement `Observe` and write `crate::observed!`"
)]
pub trait Derive: Fact {
    /// The facts that it is derived from.
    type Needs<'a>: Needs<'a>;
    /// The name in messages.
    const NAME: &'static str;
    /// Derives it.
    fn derive(needs: Self::Needs<'_>) -> Seen<Self>;
}

/// A fact from the profile of the run. It is recorded, so that a recording is judged by the same.
pub trait Given: Fact + Serialize + DeserializeOwned {
    /// The name in recordings; never reused for something else.
    const NAME: &'static str;
}

/// Makes a type that implements [`Observe`] a fact that is recorded. One that may be longer than all others together is
/// decoded while its text is read: write `streamed` after it.
#[macro_export]
macro_rules! observed {
    ($fact:ty) => {
        impl $crate::fact::Fact for $fact {
            fn node() -> $crate::fact::Node {
                $crate::fact::Node::observed::<Self>()
            }
        }
    };
    ($fact:ty, streamed) => {
        impl $crate::fact::Fact for $fact {
            fn node() -> $crate::fact::Node {
                $crate::fact::Node::streamed::<Self>()
            }
        }
    };
}

/// Makes a type that implements [`Observe`] a fact that is held while the run lasts, and never recorded: a credential
/// that one observation hands to another. No check takes it.
#[macro_export]
macro_rules! held {
    ($fact:ty) => {
        impl $crate::fact::Fact for $fact {
            fn node() -> $crate::fact::Node {
                $crate::fact::Node::held::<Self>()
            }
        }
    };
}

/// Makes a type that implements [`Derive`] a fact.
#[macro_export]
macro_rules! derived {
    ($fact:ty) => {
        impl $crate::fact::Fact for $fact {
            fn node() -> $crate::fact::Node {
                $crate::fact::Node::derived::<Self>()
            }
        }
    };
}

/// Makes a type that implements [`Given`] a fact.
#[macro_export]
macro_rules! given {
    ($fact:ty) => {
        impl $crate::fact::Fact for $fact {
            fn node() -> $crate::fact::Node {
                $crate::fact::Node::given::<Self>()
            }
        }
    };
}

/// A fact without its type, or why it was not observed.
pub(crate) type Slot = Seen<Arc<dyn Any + Send + Sync>>;

type Observing = Pin<Box<dyn Future<Output = Slot> + Send>>;

/// A fact without its type.
#[derive(Clone, Copy)]
pub struct Node {
    /// The fact's type.
    pub id: TypeId,
    /// The fact's name.
    pub name: &'static str,
    /// Its needs.
    pub needs: fn() -> Vec<Need>,
    /// Where it comes from.
    pub origin: Origin,
    /// How it is recorded; none of a derived or held fact, which never is.
    pub record: Option<Record>,
}

/// Where a fact comes from.
#[derive(Clone, Copy)]
pub enum Origin {
    /// From the cluster.
    Observed(Observation),
    /// From other facts.
    Derived(fn(&Facts) -> Slot),
    /// From the profile of the run.
    Given,
}

/// How a fact is observed.
#[derive(Clone, Copy)]
pub struct Observation {
    /// The worst effect.
    pub access: Access,
    /// When it is observed.
    pub stage: Stage,
    /// The RBAC needed.
    pub rules: &'static [Rule],
    /// How long it may take.
    pub deadline: Duration,
    /// Asks the cluster.
    pub observe: fn(Arc<Live>, Arc<Facts>) -> Observing,
}

/// How a fact is recorded.
#[derive(Clone, Copy)]
pub struct Record {
    pub(super) encode: fn(&(dyn Any + Send + Sync), &Redaction, &mut dyn Write) -> serde_json::Result<()>,
    /// Reads it back.
    pub decode: fn(&RawValue) -> Slot,
    /// Reads it back from a text that is too long to be held.
    pub read: fn(&mut dyn Read) -> Slot,
}

impl Record {
    fn of<F: Fact + Serialize + DeserializeOwned>() -> Self {
        Self {
            encode: |fact, redaction, to| redaction.write(&fact.downcast_ref::<F>(), to),
            // As bytes, like objects of the API: from a text, each type would be decoded by code of its own.
            decode: |raw| decoded::<F>(serde_json::from_slice(raw.get().as_bytes())),
            read: |text| {
                let mut whole = Vec::new();
                text.read_to_end(&mut whole).map_err(|e| undecoded::<F>(&e))?;
                decoded::<F>(serde_json::from_slice(&whole))
            },
        }
    }

    /// The same for a fact that is decoded while its text is read.
    fn streamed<F: Fact + Serialize + DeserializeOwned>() -> Self {
        let read = |text: &mut dyn Read| decoded::<F>(serde_json::from_reader(BufReader::new(text)));
        Self { read, ..Self::of::<F>() }
    }
}

impl Node {
    /// When it is observed; what is not observed comes at any time.
    pub fn stage(&self) -> Stage {
        match self.origin {
            Origin::Observed(observation) => observation.stage,
            Origin::Derived(_) | Origin::Given => Stage::Any,
        }
    }

    /// The node of an observed fact that is recorded.
    pub fn observed<F: Observe + Serialize + DeserializeOwned>() -> Self {
        Self { record: Some(Record::of::<F>()), ..Self::held::<F>() }
    }

    /// The same of a fact that may be longer than all others together.
    pub fn streamed<F: Observe + Serialize + DeserializeOwned>() -> Self {
        Self { record: Some(Record::streamed::<F>()), ..Self::held::<F>() }
    }

    /// The node of an observed fact that is not recorded.
    pub fn held<F: Observe>() -> Self {
        Self {
            id: TypeId::of::<F>(),
            name: F::NAME,
            needs: <F::Needs<'static> as Needs>::list,
            origin: Origin::Observed(Observation {
                access: F::ACCESS,
                stage: F::STAGE,
                rules: F::RULES,
                deadline: F::DEADLINE,
                observe: |live, facts| Box::pin(async move { observe::<F>(&live, &facts).await }),
            }),
            record: None,
        }
    }

    /// The node of a derived fact.
    pub fn derived<F: Derive>() -> Self {
        Self {
            id: TypeId::of::<F>(),
            name: F::NAME,
            needs: <F::Needs<'static> as Needs>::list,
            origin: Origin::Derived(|facts| erase(F::derive(F::Needs::take(facts)?))),
            record: None,
        }
    }

    /// The node of a given fact.
    pub fn given<F: Given>() -> Self {
        Self {
            id: TypeId::of::<F>(),
            name: F::NAME,
            needs: Vec::new,
            origin: Origin::Given,
            record: Some(Record::of::<F>()),
        }
    }
}

/// Takes what a fact needs and observes it. Not in an async block: older versions of Rust do not see that such a one may be
/// sent to another thread (rust-lang/rust issue 100013).
fn observe<'a, F: Observe>(live: &'a Live, facts: &'a Facts) -> Pin<Box<dyn Future<Output = Slot> + Send + 'a>> {
    match F::Needs::<'a>::take(facts) {
        Ok(needs) => Box::pin(F::observe(live, needs).map(erase)),
        Err(why) => Box::pin(ready(Err(why))),
    }
}

fn decoded<F: Fact>(read: serde_json::Result<Seen<F>>) -> Slot {
    erase(read.map_err(|e| undecoded::<F>(&e))?)
}

fn undecoded<F: Fact>(cause: &dyn std::error::Error) -> Unobserved {
    Unobserved::invalid(format!("the recorded fact {}", F::node().name), cause)
}

fn erase<F: Fact>(seen: Seen<F>) -> Slot {
    seen.map(|fact| Arc::new(fact) as Arc<dyn Any + Send + Sync>)
}
