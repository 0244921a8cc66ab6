//! What is kept of one cluster: its outcomes, in a few words each.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::check::{Judged, Outcome, Severity};
use crate::cluster::ClusterSummary;
use crate::report::Gathered;
use crate::report::plain;
use crate::run::ExitCode;

/// How many characters are kept of a line about a check.
const LINE: usize = 300;

/// A cluster of a fleet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Member {
    /// How reports call it. No other cluster of the fleet is called so.
    pub label: String,
    /// Where it comes from, in words: a kubeconfig, a Secret, a recording.
    pub origin: String,
    /// The recording that its run makes.
    pub recording: Option<PathBuf>,
    /// The event stream of its run.
    pub events: Option<PathBuf>,
}

/// A cluster whose run is over.
#[derive(Debug)]
pub(crate) struct Row {
    /// The cluster.
    pub member: Member,
    /// What it is called where it comes from, its server and its version.
    pub cluster: ClusterSummary,
    /// When the run began; for a recording, when that was made.
    pub at: Option<Timestamp>,
    /// The profile of the run.
    pub profile: String,
    /// Findings of this severity and above fail the run.
    pub gate: Option<Severity>,
    /// The checks, in the order of the plan.
    pub checks: Vec<Line>,
    /// Why nothing could be observed.
    pub failed: Option<String>,
    /// What a run on this cluster alone would end with.
    pub exit_code: ExitCode,
    /// The worst finding that fails the run.
    pub worst: Option<Severity>,
    /// How many results are not among the causes, because there are too many.
    pub further: usize,
}

/// A check of a cluster.
#[derive(Debug)]
pub(crate) struct Line {
    /// The check's id.
    pub id: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The worst of it in one line; nothing for what passed.
    pub words: String,
}

/// What can be said of a cluster as a whole, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// It has findings at or above the gate.
    NotSeaworthy,
    /// It was not asked: it cannot be reached, or its kubeconfig or recording cannot be used.
    NotChecked,
    /// Something could not be checked.
    Inconclusive,
    /// Its run was stopped.
    Interrupted,
    /// All is well.
    Seaworthy,
}

impl Verdict {
    /// Every verdict, the worst first.
    pub(crate) const ALL: [Self; 5] =
        [Self::NotSeaworthy, Self::NotChecked, Self::Inconclusive, Self::Interrupted, Self::Seaworthy];

    /// The words that reports use.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NotSeaworthy => "not seaworthy",
            Self::NotChecked => "not checked",
            Self::Inconclusive => "inconclusive",
            Self::Interrupted => "interrupted",
            Self::Seaworthy => "seaworthy",
        }
    }
}

impl Row {
    /// A cluster whose run is over, with what was gathered of it.
    pub(super) fn new(member: Member, run: &Gathered, exit_code: ExitCode) -> Self {
        let started = run.started.as_ref();
        let findings = run.with(Outcome::Fail).into_iter().filter_map(|check| check.findings.first());
        Self {
            cluster: started.map(|started| started.cluster.clone()).unwrap_or_default(),
            at: started.map(|started| started.at),
            profile: started.map(|started| started.profile.clone()).unwrap_or_default(),
            gate: started.map(|started| started.gate),
            checks: run.checks().into_iter().map(|timed| Line::new(&timed.check)).collect(),
            failed: started.and_then(|started| started.failed.clone()),
            worst: findings.map(|finding| finding.severity).max(),
            further: 0,
            member,
            exit_code,
        }
    }

    /// A cluster without a run, and why there was none.
    pub(crate) fn without_run(member: Member, why: String, exit_code: ExitCode) -> Self {
        Self { failed: Some(why), ..Self::new(member, &Gathered::default(), exit_code) }
    }

    /// How many checks have this outcome.
    pub(crate) fn number(&self, outcome: Outcome) -> usize {
        self.checks.iter().filter(|line| line.outcome == outcome).count()
    }

    /// The checks with this outcome.
    pub(crate) fn with(&self, outcome: Outcome) -> impl Iterator<Item = &Line> {
        self.checks.iter().filter(move |line| line.outcome == outcome)
    }

    /// What can be said of it as a whole.
    pub(crate) fn verdict(&self) -> Verdict {
        match self.exit_code {
            ExitCode::Interrupted => Verdict::Interrupted,
            _ if self.failed.is_some() => Verdict::NotChecked,
            ExitCode::Findings => Verdict::NotSeaworthy,
            // A verdict that could not be delivered is one.
            ExitCode::Seaworthy | ExitCode::Undelivered => Verdict::Seaworthy,
            ExitCode::Usage | ExitCode::Inconclusive | ExitCode::NothingSelected => Verdict::Inconclusive,
        }
    }
}

impl Line {
    fn new(check: &Judged) -> Self {
        let words = if check.outcome == Outcome::Pass { String::new() } else { cut(&plain::line(check), LINE) };
        Self { id: check.id.clone(), outcome: check.outcome, words }
    }
}

/// The text, or its beginning.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}\u{2026}", &text[..end]),
        None => text.to_owned(),
    }
}
