//! A run, gathered from its events so far.

use crate::check::{Judged, Outcome, Root};
use crate::event::{Event, Planned, RunFinished, RunStarted, Survey};

/// A run, gathered from its events so far.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// How it began.
    pub started: Option<RunStarted>,
    /// The facts, in the order in which they were observed.
    pub facts: Vec<FactTime>,
    /// How it ended.
    pub finished: Option<RunFinished>,
    /// The checks that name root causes, in the order of reports.
    pub roots: Vec<Root>,
    /// What was seen of the cluster, as far as there is a picture of it.
    pub survey: Survey,
    checks: Vec<Timed>,
    /// When the last of them was judged.
    last_ms: u64,
}

/// A check with its outcome.
#[derive(Clone, Debug)]
pub struct Timed {
    /// How long after the check that was judged before it, or after the run began, in milliseconds.
    pub took_ms: u64,
    /// The check and its outcome.
    pub check: Judged,
}

/// What observing a fact cost.
#[derive(Clone, Debug)]
pub struct FactTime {
    /// The fact's name.
    pub fact: String,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// Why it was not observed.
    pub unobserved: Option<String>,
}

impl Gathered {
    /// Takes the next event.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::RunStarted(started) => self.started = Some(started.clone()),
            Event::FactStarted { .. } | Event::CleanedUp(_) => {}
            Event::FactObserved { fact, elapsed_ms, unobserved } => self.facts.push(FactTime {
                fact: fact.clone(),
                elapsed_ms: *elapsed_ms,
                unobserved: unobserved.clone(),
            }),
            Event::CheckJudged { at_ms, check } => {
                let took_ms = at_ms.saturating_sub(std::mem::replace(&mut self.last_ms, *at_ms));
                self.checks.push(Timed { took_ms, check: check.clone() });
            }
            Event::CausesFound { roots, checks } => {
                self.roots.clone_from(roots);
                for timed in &mut self.checks {
                    if let Some(now) = checks.iter().find(|now| now.id == timed.check.id) {
                        timed.check = now.clone();
                    }
                }
            }
            Event::Surveyed(survey) => self.survey.clone_from(survey),
            Event::RunFinished(finished) => self.finished = Some(finished.clone()),
        }
    }

    /// The selected checks.
    pub fn planned(&self) -> &[Planned] {
        self.started.as_ref().map_or(&[], |started| &started.checks)
    }

    /// The judged checks, in the order of the plan, whenever they were judged.
    pub fn checks(&self) -> Vec<&Timed> {
        let place = |id: &str| self.planned().iter().position(|planned| planned.id == id).unwrap_or(usize::MAX);
        let mut checks: Vec<_> = self.checks.iter().collect();
        checks.sort_by_cached_key(|timed| (place(&timed.check.id), timed.check.id.clone()));
        checks
    }

    /// The judged checks with this outcome, in the order of the plan.
    pub fn with(&self, outcome: Outcome) -> Vec<&Judged> {
        self.checks().into_iter().map(|timed| &timed.check).filter(|check| check.outcome == outcome).collect()
    }

    /// The checks that fail: in the order of their root causes, or of the plan where a run was cut off before these were
    /// looked for.
    pub fn failing(&self) -> Vec<&Judged> {
        let mut failing = self.with(Outcome::Fail);
        failing.sort_by_key(|check| self.roots.iter().position(|root| root.check == check.id));
        failing
    }

    /// A check that was judged.
    pub fn check(&self, id: &str) -> Option<&Judged> {
        self.checks.iter().map(|timed| &timed.check).find(|check| check.id == id)
    }

    /// The selected checks that the run did not come to judge.
    pub fn unjudged(&self) -> Vec<&Planned> {
        let judged = |id: &str| self.checks.iter().any(|timed| timed.check.id == id);
        self.planned().iter().filter(|planned| !judged(&planned.id)).collect()
    }
}
