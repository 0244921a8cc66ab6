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

/// The suites about what the whole cluster depends on.
const CONTROL_PLANE: [&str; 2] = ["control-plane", "ha"];

/// Gives every result the root that it follows from, and every check the outcome that remains. Returns the checks that
/// are left with a failure or an error: what others build on first, then by severity, then by how much they explain.
///
/// A finding that only in part follows from another becomes two: one about what is explained, and one about the rest.
/// Findings below the gate explain nothing, and neither does what could not be checked.
pub(crate) fn fold(judged: &mut [Judged], graph: &Graph, places: &Places, gate: Severity) -> Vec<Root> {
    let mut fold = Fold { graph, places, gate, faults: BTreeMap::new(), reasons: BTreeMap::new() };
    let mut order: Vec<&mut Judged> = judged.iter_mut().collect();
    order.sort_by_key(|check| graph.below(&check.id).count());
    for check in &mut order {
        fold.findings(check);
    }
    for check in order {
        fold.unseen(check);
        check.outcome = fold.outcome(check);
    }
    roots(judged, graph, places)
}

fn roots(judged: &[Judged], graph: &Graph, places: &Places) -> Vec<Root> {
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
            place: places.nodes(check.unexplained()).and_then(|nodes| places.common(&nodes)),
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
            let elsewhere = self.lowest(finding.same_as, &check.id, |_| true);
            let parts = match elsewhere {
                Some(root) => BTreeMap::from([(Some(root), finding.subjects.clone())]),
                None => self.parts(&check.id, &finding.subjects, self.graph.direct(&check.id)),
            };
            for (cause, subjects) in parts {
                let to = if cause.is_some() { &mut explained } else { &mut own };
                to.push(Finding { subjects, cause, ..finding.clone() });
            }
        }
        own.append(&mut explained);
        check.findings = own;
        self.remember(check);
    }

    fn unseen(&mut self, check: &mut Judged) {
        let below: Vec<_> =
            self.graph.below(&check.id).chain(ALWAYS_BELOW).filter(|lower| *lower != check.id).collect();
        for unseen in std::mem::take(&mut check.unseen) {
            for (cause, subjects) in self.parts(&check.id, &unseen.subjects, &below) {
                let cause = cause.or_else(|| self.known(&check.id, &unseen.why));
                check.unseen.push(Unseen { subjects, cause, ..unseen.clone() });
            }
        }
    }

    /// The things that a result is about, by the root that it follows from where they are; none first.
    fn parts(&self, id: &str, subjects: &[Subject], below: &[&str]) -> BTreeMap<Option<Cause>, Vec<Subject>> {
        if subjects.is_empty() {
            return BTreeMap::from([(self.lowest(below, id, |fault| fault.covers(None)), Vec::new())]);
        }
        let mut parts: BTreeMap<_, Vec<Subject>> = BTreeMap::new();
        for subject in subjects {
            let node = self.places.node(subject);
            parts.entry(self.lowest(below, id, |fault| fault.covers(node))).or_default().push(subject.clone());
        }
        parts
    }

    /// The lowest root among those of the faults of some checks.
    fn lowest(&self, checks: &[&str], id: &str, covers: impl Fn(&Fault) -> bool) -> Option<Cause> {
        let faults = checks.iter().filter_map(|lower| self.faults.get(*lower)).flatten();
        let roots = faults.filter(|fault| covers(fault)).map(|fault| &fault.root);
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
            nodes: self.reach(check, finding),
            root: finding.cause.clone().unwrap_or_else(|| Cause { check: check.id.clone(), finding: Some(place) }),
        });
        let mut faults: Vec<Fault> = faults.collect();
        // What could not be checked for a known reason hands that on, so that a chain does not break there.
        let below: Vec<_> = self.graph.below(&check.id).collect();
        for unseen in &check.unseen {
            for (cause, subjects) in self.parts(&check.id, &unseen.subjects, &below) {
                let nodes = self.places.nodes(&subjects).map(|nodes| nodes.into_iter().map(str::to_owned).collect());
                faults.extend(cause.map(|root| Fault { nodes, root }));
            }
        }
        self.faults.insert(check.id.clone(), faults);
    }

    /// The nodes on which a finding may explain others; none for all. What is wrong with the whole control plane, or with
    /// every address of the API, is felt everywhere.
    fn reach(&self, check: &Judged, finding: &Finding) -> Option<BTreeSet<String>> {
        let nodes = self.places.nodes(&finding.subjects)?;
        let of_control_plane = CONTROL_PLANE.contains(&check.suite.as_str())
            || finding.subjects.iter().all(|subject| *subject == Subject::address(&subject.name));
        if of_control_plane && self.places.are_control_plane(&nodes) {
            return None;
        }
        Some(nodes.into_iter().map(str::to_owned).collect())
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
