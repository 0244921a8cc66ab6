//! All clusters of a fleet, as their runs end.

use std::collections::{BTreeMap, BTreeSet};

use super::cause::{Cause, Found, Key, MOST};
use super::row::{Member, Row, Verdict};
use crate::check::{Judged, Outcome, Severity};
use crate::report::Gathered;
use crate::report::documentation::link;
use crate::run::ExitCode;

/// All clusters of a fleet, as far as their runs are over.
#[derive(Debug, Default)]
pub(crate) struct Joint {
    rows: BTreeMap<usize, Row>,
    checks: BTreeMap<String, Described>,
    causes: BTreeMap<Key, Cause>,
}

/// What a check asserts.
#[derive(Debug)]
pub(crate) struct Described {
    /// The check's name.
    pub name: String,
    /// The suite that it belongs to.
    pub suite: String,
    /// What it asserts.
    pub title: String,
    /// Where it is documented.
    pub documentation: String,
}

impl Joint {
    /// Adds the cluster at this place of the fleet, with all that was gathered of its run.
    pub(crate) fn add(&mut self, place: usize, member: Member, run: &Gathered, exit_code: ExitCode) {
        let mut row = Row::new(member, run, exit_code);
        for timed in run.checks() {
            self.describe(&timed.check);
        }
        // That it was not asked is one cause, and its own.
        if row.failed.is_none() {
            row.further = self.fold(place, &row, run);
        }
        self.rows.insert(place, row);
    }

    /// Adds a cluster without a run.
    pub(crate) fn add_without_run(&mut self, place: usize, member: Member, why: String, exit_code: ExitCode) {
        self.rows.insert(place, Row::without_run(member, why, exit_code));
    }

    fn describe(&mut self, check: &Judged) {
        if !self.checks.contains_key(&check.id) {
            let described = Described {
                name: check.name.clone(),
                suite: check.suite.clone(),
                title: check.title.clone(),
                documentation: link(check),
            };
            self.checks.insert(check.id.clone(), described);
        }
    }

    /// Folds the causes of a cluster into those of the others; returns how many there were too many.
    fn fold(&mut self, place: usize, row: &Row, run: &Gathered) -> usize {
        let server = row.cluster.server.as_str();
        let host = server.split_once("://").map_or(server, |(_, host)| host);
        // A name that is a word stands for something else in most texts.
        let is_word = row.cluster.name.chars().all(char::is_alphabetic);
        let names = [if is_word { "" } else { row.cluster.name.as_str() }, host, server];
        let gate = row.gate.unwrap_or(Severity::Minor);
        let mut found: Vec<Found> =
            run.checks().into_iter().flat_map(|timed| Found::all(&timed.check, gate, &names)).collect();
        // Stable: the same causes are left out whenever this is judged again.
        found.sort_by_key(|found| (found.outcome, std::cmp::Reverse(found.key.severity)));
        let further = found.len().saturating_sub(MOST);
        for found in found.into_iter().take(MOST) {
            match self.causes.get_mut(&found.key) {
                Some(cause) => cause.add(found, place),
                None => _ = self.causes.insert(found.key.clone(), Cause::new(found, place)),
            }
        }
        further
    }

    /// The clusters, in the order of the fleet.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// The same with their places in the fleet.
    pub(crate) fn places(&self) -> impl Iterator<Item = (usize, &Row)> {
        self.rows.iter().map(|(place, row)| (*place, row))
    }

    /// The clusters, the worst first; of those that are equally bad, in the order of the fleet.
    pub(crate) fn worst_first(&self) -> Vec<&Row> {
        let mut rows: Vec<_> = self.rows().collect();
        rows.sort_by_key(|row| {
            let (fail, error) = (row.number(Outcome::Fail), row.number(Outcome::Error));
            (row.verdict(), std::cmp::Reverse((row.worst, fail, error)))
        });
        rows
    }

    /// The cluster at a place of the fleet.
    pub(crate) fn row(&self, place: usize) -> Option<&Row> {
        self.rows.get(&place)
    }

    /// How many clusters there are.
    pub(crate) fn number(&self) -> usize {
        self.rows.len()
    }

    /// How many clusters have this verdict.
    pub(crate) fn with(&self, verdict: Verdict) -> usize {
        self.rows().filter(|row| row.verdict() == verdict).count()
    }

    /// What a check asserts.
    pub(crate) fn check(&self, id: &str) -> Option<&Described> {
        self.checks.get(id)
    }

    /// All checks, by id.
    pub(crate) fn checks(&self) -> impl Iterator<Item = (&String, &Described)> {
        self.checks.iter()
    }

    /// The causes, the worst first: what fails, then what could not be checked, then what is below the gate; the more severe
    /// first, and of these the one of the most clusters.
    pub(crate) fn causes(&self) -> Vec<(&Key, &Cause)> {
        let mut causes: Vec<_> = self.causes.iter().collect();
        causes.sort_by_key(|(key, cause)| {
            let most = (std::cmp::Reverse(key.severity), std::cmp::Reverse(cause.clusters.len()));
            (cause.outcome, most, *key)
        });
        causes
    }

    /// The same by check, in the order of the worst cause of each.
    pub(crate) fn causes_by_check(&self) -> Vec<Vec<(&Key, &Cause)>> {
        let mut groups: Vec<Vec<(&Key, &Cause)>> = Vec::new();
        for (key, cause) in self.causes() {
            let is_same = |group: &&mut Vec<(&Key, &Cause)>| {
                let (first, other) = group[0];
                first.check == key.check && other.outcome == cause.outcome
            };
            match groups.iter_mut().find(is_same) {
                Some(group) => group.push((key, cause)),
                None => groups.push(vec![(key, cause)]),
            }
        }
        groups
    }

    /// What the process ends with: the worst of its clusters.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::worst(self.rows().map(|row| row.exit_code))
    }

    /// The labels of clusters, each with what a cause is about there.
    pub(crate) fn labelled<'a>(&'a self, cause: &'a Cause) -> impl Iterator<Item = (&'a str, &'a str)> {
        cause
            .clusters
            .iter()
            .filter_map(|(place, about)| Some((self.rows.get(place)?.member.label.as_str(), about.as_str())))
    }

    /// How many checks had an outcome in any cluster.
    pub(crate) fn judged(&self) -> usize {
        self.rows().map(|row| row.checks.len()).sum()
    }

    /// The clusters that have one of these causes.
    pub(crate) fn affected<'a>(causes: &[(&'a Key, &'a Cause)]) -> BTreeSet<usize> {
        causes.iter().flat_map(|(_, cause)| cause.clusters.keys().copied()).collect()
    }
}
