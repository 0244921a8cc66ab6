//! Which checks build on which.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::Check;

/// Checks, by id.
type Ids = &'static [&'static str];

/// The checks of a run, each with the checks below it.
pub(crate) struct Graph {
    direct: BTreeMap<&'static str, Ids>,
    blocked_by: BTreeMap<&'static str, Ids>,
    below: BTreeMap<&'static str, BTreeSet<&'static str>>,
    layers: BTreeMap<&'static str, usize>,
}

impl Graph {
    /// The graph of these checks. A check that none of them builds on directly may still connect two of them.
    pub(crate) fn new(checks: impl IntoIterator<Item = &'static Check>) -> Self {
        let lower: BTreeMap<&str, _> =
            checks.into_iter().map(|check| (check.id, (check.builds_on, check.blocked_by))).collect();
        let direct = lower.iter().map(|(id, (builds_on, _))| (*id, *builds_on)).collect();
        let blocked_by = lower.iter().map(|(id, (_, blocked_by))| (*id, *blocked_by)).collect();
        let mut graph = Self { direct, blocked_by, below: BTreeMap::new(), layers: BTreeMap::new() };
        for id in lower.keys() {
            graph.add(id, &lower);
        }
        graph
    }

    fn add(&mut self, id: &'static str, all: &BTreeMap<&'static str, (Ids, Ids)>) {
        if self.below.contains_key(id) {
            return;
        }
        let (builds_on, blocked_by) = all.get(id).copied().unwrap_or_default();
        let mut below = BTreeSet::new();
        for lower in builds_on.iter().chain(blocked_by) {
            self.add(lower, all);
            below.insert(*lower);
            below.extend(&self.below[lower]);
        }
        let layer = builds_on.iter().map(|lower| self.layers[lower] + 1).max().unwrap_or_default();
        self.below.insert(id, below);
        self.layers.insert(id, layer);
    }

    /// The checks that this one builds on directly.
    pub(crate) fn direct(&self, id: &str) -> Ids {
        self.direct.get(id).copied().unwrap_or_default()
    }

    /// The checks that this one builds on directly, and those that may block it.
    pub(crate) fn direct_or_blocking(&self, id: &str) -> impl Iterator<Item = &'static str> {
        self.direct(id).iter().chain(self.blocked_by.get(id).copied().unwrap_or_default()).copied()
    }

    /// The checks below this one, directly or not, and those that may block it.
    pub(crate) fn below(&self, id: &str) -> impl Iterator<Item = &'static str> {
        self.below.get(id).into_iter().flatten().copied()
    }

    /// How many checks this one builds on, each on the next: 0 for one that builds on none.
    pub(crate) fn layer(&self, id: &str) -> usize {
        self.layers.get(id).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suites;

    /// Whether a check is below itself, which `Graph::new` would not survive.
    fn circle(id: &'static str, path: &mut Vec<&'static str>) -> Option<Vec<&'static str>> {
        if path.contains(&id) {
            return Some([path.as_slice(), &[id]].concat());
        }
        path.push(id);
        let check = suites::check(id).unwrap_or_else(|| panic!("{path:?}: there is no check {id}"));
        let found = check.builds_on.iter().chain(check.blocked_by).find_map(|lower| circle(lower, path));
        path.pop();
        found
    }

    #[test]
    fn no_check_builds_on_itself() {
        let circles: Vec<_> = suites::checks().filter_map(|check| circle(check.id, &mut Vec::new())).collect();
        assert!(circles.is_empty(), "{circles:?}");
    }

    #[test]
    fn what_is_below_includes_what_is_below_that() {
        let graph = Graph::new(suites::checks());
        let below: BTreeSet<_> = graph.below("DN-06").collect();
        assert!(below.contains("DN-04") && below.contains("KL-01"), "{below:?}");
        assert!(graph.layer("KL-01") < graph.layer("CN-04") && graph.layer("CN-04") < graph.layer("DN-04"));
        assert_eq!(graph.layer("CI-99"), 0);
    }
}
