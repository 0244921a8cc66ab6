//! Label selectors, as facts keep them: the requirements that labels must all meet.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::{Deserialize, Serialize};

/// A requirement of a label selector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Requirement {
    /// The label's key.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// The values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

impl Requirement {
    /// Whether labels meet it.
    pub(crate) fn is_met(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let is_listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator.as_str() {
            "In" => is_listed,
            "NotIn" => !is_listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    }
}

/// The requirements of a selector; none for one that selects everything.
pub(super) fn requirements(selector: LabelSelector) -> Vec<Requirement> {
    let equal = selector.match_labels.unwrap_or_default().into_iter();
    let equal = equal.map(|(key, value)| Requirement { key, operator: "In".into(), values: vec![value] });
    let more = selector.match_expressions.unwrap_or_default().into_iter().map(|requirement| Requirement {
        key: requirement.key,
        operator: requirement.operator,
        values: requirement.values.unwrap_or_default(),
    });
    equal.chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_met_as_selectors_say() {
        let labels = [("a".to_owned(), "1".to_owned())].into();
        let met = |key: &str, operator: &str, values: &[&str]| {
            let values = values.iter().map(ToString::to_string).collect();
            Requirement { key: key.into(), operator: operator.into(), values }.is_met(&labels)
        };
        assert!(met("a", "In", &["1", "2"]) && !met("a", "In", &["2"]) && !met("b", "In", &["1"]));
        assert!(!met("a", "NotIn", &["1"]) && met("b", "NotIn", &["1"]));
        assert!(met("a", "Exists", &[]) && met("b", "DoesNotExist", &[]) && !met("a", "DoesNotExist", &[]));
    }
}
