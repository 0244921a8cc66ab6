//! Compares the verdicts of a run that met faults with those of runs that met none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;
use seaworthy::check::{Finding, Judged, Outcome};

/// The id of a run, in names of what it creates.
static ID: LazyLock<Regex> = LazyLock::new(|| Regex::new("seaworthy-[a-z0-9]{5}").expect("it is valid"));
/// Times and counts.
static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new("[0-9]+").expect("it is valid"));

/// What runs without faults show.
pub(crate) struct Calm(BTreeMap<String, Known>);

/// What they show of one check.
struct Known {
    outcomes: BTreeSet<Outcome>,
    /// The findings of every run.
    always: BTreeSet<String>,
    /// The findings of any run.
    ever: BTreeSet<String>,
}

/// What a check finds, without what differs from run to run: everything that a finding is about, with what was expected.
fn findings(check: &Judged) -> BTreeMap<String, &Finding> {
    let mut all = BTreeMap::new();
    for finding in &check.findings {
        for subject in &finding.subjects {
            let subject = format!("{} {}", subject.kind, subject.name);
            let name = format!("{}: {}", ID.replace_all(&subject, "_"), NUMBER.replace_all(&finding.expected, "_"));
            all.insert(name, finding);
        }
    }
    all
}

/// Why these checks could not be decided: the reasons, each with the checks that state it first.
pub(crate) fn reasons<'a>(run: &'a [Judged], checks: &[&'a str]) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut reasons: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for check in run.iter().filter(|check| checks.contains(&check.id.as_str())) {
        let why = check.unseen.first().map(|unseen| unseen.why.as_str()).or(check.reason.as_deref());
        reasons.entry(why.unwrap_or("it states no reason")).or_default().push(check.id.as_str());
    }
    reasons
}

impl Calm {
    /// What these runs show.
    pub(crate) fn of(runs: &[Vec<Judged>]) -> Self {
        let mut checks: BTreeMap<String, Known> = BTreeMap::new();
        for check in runs.iter().flatten() {
            let found: BTreeSet<_> = findings(check).into_keys().collect();
            let known = checks.entry(check.id.clone()).or_insert_with(|| Known {
                outcomes: BTreeSet::new(),
                always: found.clone(),
                ever: BTreeSet::new(),
            });
            known.outcomes.insert(check.outcome);
            known.always.retain(|finding| found.contains(finding));
            known.ever.extend(found);
        }
        Self(checks)
    }

    /// How many checks there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The checks whose outcomes differ between runs without faults.
    pub(crate) fn unsteady(&self) -> Vec<&str> {
        self.0.iter().filter(|(_, known)| known.outcomes.len() > 1).map(|(id, _)| id.as_str()).collect()
    }

    /// The checks that always have such an outcome.
    pub(crate) fn with(&self, outcome: Outcome) -> Vec<&str> {
        let always = |known: &Known| known.outcomes.iter().eq([&outcome]);
        self.0.iter().filter(|(_, known)| always(known)).map(|(id, _)| id.as_str()).collect()
    }

    /// What a run asserts or hides only because it met faults.
    pub(crate) fn wrong(&self, run: &[Judged]) -> Vec<String> {
        let mut wrong = Vec::new();
        for check in run {
            match self.0.get(&check.id) {
                Some(known) => wrong.extend(known.wrong(check).into_iter().map(|what| format!("{}: {what}", check.id))),
                None => wrong.push(format!("{}: it is not checked without faults", check.id)),
            }
        }
        let judged: BTreeSet<_> = run.iter().map(|check| &check.id).collect();
        wrong.extend(self.0.keys().filter(|id| !judged.contains(id)).map(|id| format!("{id}: it is not reported")));
        wrong
    }

    /// The checks that a run could not decide because of faults.
    pub(crate) fn lost<'a>(&self, run: &'a [Judged]) -> Vec<&'a str> {
        let is_lost = |check: &&Judged| {
            let known = self.0.get(&check.id);
            matches!(check.outcome, Outcome::Error | Outcome::Blocked | Outcome::Skip)
                && !known.is_some_and(|known| known.outcomes.contains(&check.outcome))
        };
        run.iter().filter(is_lost).map(|check| check.id.as_str()).collect()
    }
}

impl Known {
    fn wrong(&self, check: &Judged) -> Vec<String> {
        let found = findings(check);
        let mut wrong: Vec<_> = found
            .iter()
            .filter(|(name, _)| !self.ever.contains(*name))
            .map(|(name, finding)| {
                format!("this finding does not exist without faults: {name}; seen: {}", finding.seen)
            })
            .collect();
        let outcome = check.outcome;
        if matches!(outcome, Outcome::Pass | Outcome::Skip) && !self.outcomes.contains(&outcome) {
            let why = check.reason.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
            let outcomes: Vec<_> = self.outcomes.iter().map(ToString::to_string).collect();
            wrong.push(format!("it is {outcome}{why}, but {} without faults", outcomes.join(" or ")));
        }
        // A check that reports a finding and nothing that could not be checked claims to have seen everything.
        if matches!(outcome, Outcome::Fail | Outcome::Warn) && check.unseen.is_empty() {
            let missing = self.always.iter().filter(|name| !found.contains_key(*name));
            wrong.extend(
                missing.map(|finding| format!("this finding is missing, and nothing is inconclusive: {finding}")),
            );
        }
        wrong
    }
}
