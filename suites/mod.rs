//! What is checked: one folder per suite, one file per check.
//!
//! A check uses facts and nothing else: no client, no clock, no I/O.

pub mod addons;
pub mod authn_authz;
pub mod cloud_identity;
pub mod cni;
pub mod control_plane;
pub mod discovery;
pub mod dns;
pub mod ha;
pub mod kubeadm_phase;
mod node_changes;
mod node_path;
pub mod node_ranges;
pub mod nodes;
pub mod pki;
mod pods;
pub mod rights;
pub mod service_network;
mod shortfall;

use crate::check::{Check, Suite};

/// Every suite, in the order of reports.
pub static ALL: &[&Suite] = &[
    &control_plane::SUITE,
    &authn_authz::SUITE,
    &pki::SUITE,
    &discovery::SUITE,
    &service_network::SUITE,
    &dns::SUITE,
    &cni::SUITE,
    &nodes::SUITE,
    &addons::SUITE,
    &ha::SUITE,
    &cloud_identity::SUITE,
];

/// Every check, in the order of reports.
pub fn checks() -> impl Iterator<Item = &'static Check> {
    ALL.iter().flat_map(|suite| suite.checks.iter().copied())
}

/// The check with this id, in any case.
pub fn check(id: &str) -> Option<&'static Check> {
    checks().find(|check| check.id.eq_ignore_ascii_case(id))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::fact::Facts;
    use crate::fact::node::Origin;

    #[test]
    fn every_check_explains_itself() {
        for check in checks() {
            let documentation = check.documentation();
            for (part, text) in [
                ("title", &documentation.title),
                ("Why", &documentation.why),
                ("Fix", &documentation.fix),
                ("Source", &documentation.source),
            ] {
                assert!(!text.is_empty(), "{} has no {part}: {}", check.id, check.file);
            }
        }
    }

    #[test]
    fn ids_and_names_are_unique_and_in_order() {
        let ids: BTreeSet<_> = checks().map(|check| check.id).collect();
        let names: BTreeSet<_> = checks().map(|check| check.name).collect();
        assert_eq!((ids.len(), names.len()), (checks().count(), checks().count()));
        for suite in ALL {
            assert!(suite.checks.is_sorted_by_key(|check| check.id), "{} is not in order", suite.name);
            assert!(
                suite.checks.iter().all(|check| check.suite == suite.name),
                "{} holds another suite's check",
                suite.name
            );
        }
    }

    #[test]
    fn every_check_of_the_compliance_view_exists() {
        let covered = crate::compliance::frameworks().iter().flat_map(|(key, framework)| {
            let ids = framework.sections().flat_map(|(_, ids)| ids).collect::<Vec<_>>();
            ids.into_iter().flat_map(|id| crate::compliance::covering(key, &id))
        });
        let unknown: BTreeSet<_> = covered.filter(|id| !checks().any(|check| check.id == *id)).collect();
        assert!(unknown.is_empty(), "suites/compliance.yaml: there is no {unknown:?}");
    }

    #[test]
    fn every_fact_that_a_check_rests_on_is_recorded() {
        for check in checks() {
            let mut open = (check.needs)();
            while let Some(need) = open.pop() {
                let node = (need.node)();
                match node.origin {
                    Origin::Derived(_) => open.extend((node.needs)()),
                    Origin::Observed(_) | Origin::Given => {
                        assert!(node.record.is_some(), "{} takes {}, which is not recorded", check.id, node.name);
                    }
                }
            }
        }
    }

    #[test]
    fn no_two_facts_share_a_name() {
        let facts = Facts::closure(checks().flat_map(|check| (check.needs)()));
        let mut names: BTreeMap<_, usize> = BTreeMap::new();
        for name in facts.names() {
            *names.entry(name).or_default() += 1;
        }
        names.retain(|_, count| *count > 1);
        assert!(names.is_empty(), "{names:?}");
    }
}
