//! The plan of a run, known before anything is sent.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::check::Check;
use crate::fact::node::Origin;
use crate::fact::{Facts, Rule};
use crate::seen::Access;

/// Which checks run, and all that follows from their parameters.
pub struct Plan {
    /// The checks, in the registry's order.
    pub checks: Vec<&'static Check>,
    /// The facts that they need, directly or not.
    pub facts: Arc<Facts>,
}

impl Plan {
    /// The plan for these checks.
    pub fn new(checks: Vec<&'static Check>) -> Self {
        let facts = Facts::closure(checks.iter().flat_map(|check| (check.needs)()));
        Self { checks, facts: Arc::new(facts) }
    }

    /// The accesses that observing all of it takes.
    pub fn accesses(&self) -> BTreeSet<Access> {
        self.facts.nodes().values().filter_map(|node| observation(node.origin)).map(|(access, _)| access).collect()
    }

    /// The permissions that observing takes, as far as it is allowed.
    pub fn rules(&self, allowed: &BTreeSet<Access>) -> BTreeSet<Rule> {
        self.facts
            .nodes()
            .values()
            .filter_map(|node| observation(node.origin))
            .filter(|(access, _)| allowed.contains(access))
            .flat_map(|(_, rules)| rules.iter().copied())
            .collect()
    }
}

fn observation(origin: Origin) -> Option<(Access, &'static [Rule])> {
    match origin {
        Origin::Observed(observation) => Some((observation.access, observation.rules)),
        Origin::Derived(_) | Origin::Given => None,
    }
}
