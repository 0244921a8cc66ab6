//! Which recommendations and controls of published catalogues a check covers, by their ids. `suites/compliance.yaml` has all of it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    crate::yaml::first_document(include_str!("../suites/compliance.yaml")).expect("a test reads the same table")
});

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    frameworks: BTreeMap<String, Framework>,
    checks: BTreeMap<String, Maps>,
}

/// The ids that a check covers, by the key of their framework, such as `cis-1.12`.
pub type Maps = BTreeMap<String, Vec<String>>;

/// A catalogue of recommendations or controls.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Framework {
    /// Its name.
    pub name: String,
    separator: String,
    /// The numbers of each section, such as `1-8 10`.
    ids: BTreeMap<String, String>,
}

impl Framework {
    /// Each section with all of its ids.
    pub fn sections(&self) -> impl Iterator<Item = (&str, Vec<String>)> {
        self.ids.iter().map(|(section, numbers)| {
            let ids = numbers.split(' ').flat_map(range).map(|number| format!("{section}{}{number}", self.separator));
            (section.as_str(), ids.collect())
        })
    }
}

/// The numbers of `7`, or of `1-8`.
fn range(text: &str) -> std::ops::RangeInclusive<u32> {
    let number = |text: &str| text.parse().expect("a test reads every range");
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    number(first)..=number(last)
}

/// The ids that a check covers; none of a check that covers none.
pub fn of(check: &str) -> &'static Maps {
    static NONE: Maps = Maps::new();
    TABLE.checks.get(check).unwrap_or(&NONE)
}

/// Every framework, by its key.
pub fn frameworks() -> &'static BTreeMap<String, Framework> {
    &TABLE.frameworks
}

/// The checks that cover an id of a framework.
pub fn covering(framework: &str, id: &str) -> Vec<&'static str> {
    let covers = |maps: &Maps| maps.get(framework).is_some_and(|ids| ids.iter().any(|one| one == id));
    TABLE.checks.iter().filter(|(_, maps)| covers(maps)).map(|(check, _)| check.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_id_exists_in_its_framework() {
        let known: BTreeMap<&str, BTreeSet<String>> = frameworks()
            .iter()
            .map(|(key, framework)| (key.as_str(), framework.sections().flat_map(|(_, ids)| ids).collect()))
            .collect();
        assert_eq!((known["cis-1.12"].len(), known["cis-1.12"].contains("1.2.30")), (131, true));
        assert!(known["nist-800-53"].contains("AC-6") && !known["nist-800-53"].contains("AC-9"));
        for (check, maps) in &TABLE.checks {
            assert!(!maps.is_empty(), "{check} maps to nothing");
            for (framework, ids) in maps {
                for id in ids {
                    assert!(known[framework.as_str()].contains(id), "{check}: {framework} has no {id}");
                }
                let unique: BTreeSet<_> = ids.iter().collect();
                assert!(!ids.is_empty() && unique.len() == ids.len(), "{check}: {ids:?}");
            }
        }
    }

    #[test]
    fn a_check_is_asked_by_its_id() {
        assert_eq!(of("AA-19")["cis-1.12"], ["5.1.1"]);
        assert!(of("none").is_empty());
        assert_eq!(covering("cis-1.12", "1.2.7"), ["AA-02", "AA-03"]);
        assert_eq!(covering("cis-1.12", "5.6.4"), [""; 0]);
    }
}
