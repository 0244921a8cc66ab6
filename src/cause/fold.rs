//! Finds for each result the root that it follows from.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{Graph, Places};
use crate::check::outcome::Unseen;
use crate::check::{Cause, Finding, Judged, Outcome, Root, Severity, Subject};

/// Something that is wrong somewhere, and may explain what builds on it.
struct Fault {
    /// The nodes that it is about; none for the whole cluster.
    nodes: Option<BTreeSet<String>>,
    /// The root: itself, or what it follows from.
    root: Cause,
}

impl Fault {
    fn covers(&self, node: Option<&str>) -> bool {
        match (&self.nodes, node) {
            (Some(nodes), Some(node)) => nodes.contains(node),
            _ => true,
        }
    }
}

/// Without an API server nothing can be seen, and nothing on a node that is down.
const ALWAYS_BELOW: [&str; 2] = ["CP-01", "KL-01"];

/// Gives every result the root that it follows from, and every check the outcome that remains. Returns the checks that
/// are left with a failure or an error: what others build on first, then by severity, then by how much they explain.
///
/// A finding that only in part follows from another becomes two: one about what is explained, and one about the rest.
/// Findings below the gate explain nothing, and neither does what could not be checked.
pub(crate) fn fold(judged: &mut [Judged], graph: &Graph, places: &Places, gate: Severity) -> Vec<Root> {
    let mut fold = Fold { graph, places, gate, faults: BTreeMap::new(), reasons: BTreeMap::new() };
    let mut order: Vec<&mut Judged> = judged.iter_mut().collect();
    order.sort_by_key(|check| graph.layer(&check.id));
    for check in &mut order {
        fold.findings(check);
    }
    for check in order {
        fold.unseen(check);
        check.outcome = fold.outcome(check);
    }
    roots(judged, graph)
}

fn roots(judged: &[Judged], graph: &Graph) -> Vec<Root> {
    let mut explains: BTreeMap<&str, usize> = BTreeMap::new();
    for cause in judged.iter().flat_map(Judged::causes) {
        *explains.entry(&cause.check).or_default() += 1;
    }
    let left = judged.iter().filter(|check| matches!(check.outcome, Outcome::Fail | Outcome::Error));
    let mut roots: Vec<Root> = left
        .map(|check| Root {
            check: check.id.clone(),
            severity: check.findings.first().map_or(check.severity, |worst| worst.severity),
            explains: explains.get(check.id.as_str()).copied().unwrap_or_default(),
        })
        .collect();
    roots.sort_by_key(|root| (graph.layer(&root.check), Reverse(root.severity), Reverse(root.explains)));
    roots
}

struct Fold<'a> {
    graph: &'a Graph,
    places: &'a Places,
    gate: Severity,
    /// By check, what may explain results of checks above it.
    faults: BTreeMap<String, Vec<Fault>>,
    /// By reason, the first check that could not decide for it.
    reasons: BTreeMap<String, Cause>,
}

impl Fold<'_> {
    fn findings(&mut self, check: &mut Judged) {
        let (mut own, mut explained) = (Vec::new(), Vec::new());
        for finding in std::mem::take(&mut check.findings) {
            for (cause, subjects) in self.parts(&check.id, &finding.subjects, &[]) {
                let to = if cause.is_some() { &mut explained } else { &mut own };
                to.push(Finding { subjects, cause, ..finding.clone() });
            }
        }
        own.append(&mut explained);
        check.findings = own;
        self.remember(check);
    }

    fn unseen(&mut self, check: &mut Judged) {
        for unseen in std::mem::take(&mut check.unseen) {
            for (cause, subjects) in self.parts(&check.id, &unseen.subjects, &ALWAYS_BELOW) {
                let cause = cause.or_else(|| self.known(&check.id, &unseen.why));
                check.unseen.push(Unseen { subjects, cause, ..unseen.clone() });
            }
        }
    }

    /// The things that a result is about, by the root that it follows from where they are; none first.
    fn parts(&self, id: &str, subjects: &[Subject], also_below: &[&'static str]) -> BTreeMap<Option<Cause>, Vec<Subject>> {
        if subjects.is_empty() {
            return BTreeMap::from([(self.root(id, also_below, None), Vec::new())]);
        }
        let mut parts: BTreeMap<_, Vec<Subject>> = BTreeMap::new();
        for subject in subjects {
            let root = self.root(id, also_below, self.places.node(subject));
            parts.entry(root).or_default().push(subject.clone());
        }
        parts
    }

    /// The lowest root that explains what a check sees on a node.
    fn root(&self, id: &str, also_below: &[&'static str], node: Option<&str>) -> Option<Cause> {
        let below = self.graph.below(id).chain(also_below.iter().copied().filter(|lower| *lower != id));
        let faults = below.filter_map(|lower| self.faults.get(lower)).flatten();
        let roots = faults.filter(|fault| fault.covers(node)).map(|fault| &fault.root);
        roots.filter(|root| root.check != id).min_by_key(|root| (self.graph.layer(&root.check), *root)).cloned()
    }

    /// The check that could not decide for the same reason before, if any.
    fn known(&mut self, id: &str, why: &str) -> Option<Cause> {
        match self.reasons.get(why) {
            Some(cause) => Some(cause.clone()).filter(|cause| cause.check != id),
            None => {
                self.reasons.insert(why.to_owned(), Cause { check: id.to_owned(), finding: None });
                None
            }
        }
    }

    fn remember(&mut self, check: &Judged) {
        let failing = check.findings.iter().enumerate().filter(|(_, finding)| finding.severity >= self.gate);
        let faults = failing.map(|(place, finding)| Fault {
            nodes: self.places.nodes(&finding.subjects).map(|nodes| nodes.into_iter().map(str::to_owned).collect()),
            root: finding.cause.clone().unwrap_or_else(|| Cause { check: check.id.clone(), finding: Some(place) }),
        });
        self.faults.insert(check.id.clone(), faults.collect());
    }

    /// What is left of an outcome when what follows from a root elsewhere does not count.
    fn outcome(&self, check: &Judged) -> Outcome {
        let fails = |finding: &&Finding| finding.severity >= self.gate;
        if !matches!(check.outcome, Outcome::Fail | Outcome::Error) {
            check.outcome
        } else if check.findings.iter().filter(fails).any(|finding| finding.cause.is_none()) {
            Outcome::Fail
        } else if check.unseen.iter().any(|unseen| unseen.cause.is_none()) {
            Outcome::Error
        } else {
            Outcome::Blocked
        }
    }
}
