//! Events: all that the outside sees of a run.
//!
//! Every report is a consumer of this stream, `run.jsonl` is the stream itself, and replaying it reproduces every
//! report.

pub mod reading;
pub mod survey;
mod visible;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::check::{Check, Judged, Outcome, Root, Severity};
use crate::cluster::ClusterSummary;
use crate::recording::Recording;
use crate::redaction::Redaction;

pub use self::survey::Survey;

pub(crate) use crate::cluster::Cost;

/// One event of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The run began.
    RunStarted(RunStarted),
    /// A fact is being observed.
    FactStarted {
        /// Its name.
        fact: String,
    },
    /// A fact was observed, or not.
    FactObserved {
        /// Its name.
        fact: String,
        /// How long it took, in milliseconds.
        elapsed_ms: u64,
        /// Why it was not observed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unobserved: Option<String>,
    },
    /// A check was judged.
    CheckJudged {
        /// How long after the run began, in milliseconds.
        at_ms: u64,
        /// The check and its outcome.
        check: Judged,
    },
    /// Root causes were found among what was judged.
    CausesFound {
        /// The checks that name them, in the order of reports.
        roots: Vec<Root>,
        /// The checks that follow from them in whole or in part, as they are now.
        checks: Vec<Judged>,
    },
    /// What was seen of the cluster that reports draw.
    Surveyed(Survey),
    /// What became of the objects that the run created.
    CleanedUp(CleanedUp),
    /// The run ended.
    RunFinished(RunFinished),
}

/// The beginning of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStarted {
    /// The program's version.
    pub seaworthy: String,
    /// When the run began; for a recording, when that was made.
    pub at: Timestamp,
    /// The cluster, in words.
    pub cluster: ClusterSummary,
    /// The profile's name.
    pub profile: String,
    /// Findings of this severity and above fail the run.
    pub gate: Severity,
    /// The selected checks, in the order of reports.
    pub checks: Vec<Planned>,
    /// The namespace in which objects are created, if any are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Why nothing can be observed, in one line: the kubeconfig cannot be used, or no API server answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// The file that is judged instead of a live cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<String>,
}

impl RunStarted {
    /// The beginning of a run that judges these checks as the recorded one would have done.
    pub fn judging(recording: &Recording, checks: &[&Check]) -> Self {
        Self {
            seaworthy: recording.seaworthy.clone(),
            at: recording.header.at,
            cluster: recording.header.cluster.clone(),
            profile: recording.header.profile.clone(),
            gate: recording.header.gate,
            checks: checks.iter().copied().map(Planned::from).collect(),
            namespace: None,
            failed: None,
            recording: None,
        }
    }
}

/// A check that was selected, before anything is known about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The suite that it belongs to.
    pub suite: String,
}

impl From<&Check> for Planned {
    fn from(check: &Check) -> Self {
        Self { id: check.id.into(), name: check.name.into(), suite: check.suite.into() }
    }
}

/// What became of objects that a run created.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanedUp {
    /// The namespace that held them; none where they are in none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What is left behind, in words; nothing when all that has an effect is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
    /// Whether the namespace, in which nothing of the run is left, is still being deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub finalizing: bool,
    /// Whether an earlier run had left them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub earlier: bool,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFinished {
    /// How many checks had each outcome.
    pub counts: BTreeMap<Outcome, usize>,
    /// How many things the passes rest on.
    pub observations: usize,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// What the run cost the cluster until then.
    #[serde(flatten)]
    pub cost: Cost,
    /// The exit code.
    pub exit_code: u8,
    /// Whether the run was stopped before its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
}

/// Where a run sends its events.
#[derive(Clone)]
pub struct Events(mpsc::UnboundedSender<Event>);

impl Events {
    /// A stream of events and its receiving end.
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Sends an event. A receiver that is gone wants no more of them.
    pub fn send(&self, event: Event) {
        let _ = self.0.send(event);
    }
}

impl Event {
    /// Whether all that there is to judge is judged; what comes after is the clean-up.
    pub fn is_verdict(&self) -> bool {
        matches!(self, Self::RunFinished(_))
    }

    /// The same event as it leaves the program: without anything secret, and without characters that hide others.
    pub fn redacted(self, redaction: &Redaction) -> Self {
        // Values that went through a string go back into the type that they came from, so no step fails.
        self.cleaned(redaction).expect("an event serialises, and a redacted string is a string")
    }

    /// Through a text, because that is how recordings are written and event streams are read, by the same code.
    fn cleaned(&self, redaction: &Redaction) -> serde_json::Result<Self> {
        let mut text = Vec::new();
        redaction.write(self, &mut text)?;
        let mut value = serde_json::from_slice(&text)?;
        visible::write_out(&mut value);
        serde_json::from_slice(&serde_json::to_vec(&value)?)
    }
}
