//! The PodDisruptionBudgets, and what the disruption controller computed from them.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::policy::v1 as policy;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, Serialize};

use super::label_selector::{Requirement, requirements};
use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::manager::Manager;
use crate::object_ref::NamespacedName;
use crate::seen::{Access, Seen};

/// All PodDisruptionBudgets.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct PodDisruptionBudgets(pub BTreeMap<NamespacedName, PodDisruptionBudget>);

/// The parts of a budget that checks use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PodDisruptionBudget {
    /// How many pods it keeps; none in a budget that sets neither field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// The pods of its namespace that it is about: without requirements all, without a selector none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<Vec<Requirement>>,
    /// The `unhealthyPodEvictionPolicy`, where it is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unhealthy_pods: Option<String>,
    /// What the disruption controller computed; none until it has seen the budget as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Why the disruption controller cannot compute it, where that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_failed: Option<String>,
    /// What applies it again, so that an edit in place does not last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager: Option<Manager>,
}

/// How many pods a budget keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Limit {
    /// At most this amount may be unavailable.
    MaxUnavailable(Amount),
    /// At least this amount must be available.
    MinAvailable(Amount),
}

/// An amount of pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Amount {
    /// So many.
    Pods(i32),
    /// A percentage, as `50%`, of the replicas that their controllers ask for.
    Percent(String),
}

/// What the disruption controller computed from a budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// How many pods there should be.
    pub expected_pods: i32,
    /// How many of them must be healthy.
    pub desired_healthy: i32,
    /// How many are.
    pub current_healthy: i32,
    /// How many may be evicted now.
    pub disruptions_allowed: i32,
}

impl PodDisruptionBudget {
    /// Whether it is about the pods of its namespace with these labels.
    pub(crate) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.selector.as_ref().is_some_and(|all| all.iter().all(|requirement| requirement.is_met(labels)))
    }
}

impl From<IntOrString> for Amount {
    fn from(value: IntOrString) -> Self {
        match value {
            IntOrString::Int(pods) => Self::Pods(pods),
            IntOrString::String(percent) => Self::Percent(percent),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxUnavailable(amount) => write!(f, "maxUnavailable {amount}"),
            Self::MinAvailable(amount) => write!(f, "minAvailable {amount}"),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pods(pods) => pods.fmt(f),
            Self::Percent(percent) => percent.fmt(f),
        }
    }
}

impl Observe for PodDisruptionBudgets {
    type Needs<'a> = ();
    const NAME: &'static str = "pod-disruption-budgets";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::cluster("policy", "poddisruptionbudgets", &["list"])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let budgets = cluster.list(Call::list::<policy::PodDisruptionBudget>(), trim).await?;
        Ok(Self(budgets.into_iter().collect()))
    }
}

fn trim(budget: policy::PodDisruptionBudget) -> (NamespacedName, PodDisruptionBudget) {
    let metadata = budget.metadata;
    let spec = budget.spec.unwrap_or_default();
    let status = budget.status.unwrap_or_default();
    let allowed = status.conditions.iter().flatten().find(|condition| condition.type_ == "DisruptionAllowed");
    let sync_failed = allowed.filter(|condition| condition.reason == "SyncFailed");
    let is_current = metadata.generation.is_some() && status.observed_generation == metadata.generation;
    let trimmed = PodDisruptionBudget {
        manager: Manager::of(&metadata),
        limit: match (spec.max_unavailable, spec.min_available) {
            (Some(most), _) => Some(Limit::MaxUnavailable(most.into())),
            (None, Some(least)) => Some(Limit::MinAvailable(least.into())),
            (None, None) => None,
        },
        selector: spec.selector.map(requirements),
        unhealthy_pods: spec.unhealthy_pod_eviction_policy,
        sync_failed: sync_failed.map(|condition| condition.message.clone()),
        // In a status that was computed, a number that is left out is 0.
        status: is_current.then(|| Status {
            expected_pods: status.expected_pods.unwrap_or_default(),
            desired_healthy: status.desired_healthy.unwrap_or_default(),
            current_healthy: status.current_healthy.unwrap_or_default(),
            disruptions_allowed: status.disruptions_allowed.unwrap_or_default(),
        }),
    };
    let key = NamespacedName::new(metadata.namespace.unwrap_or_default(), metadata.name.unwrap_or_default());
    (key, trimmed)
}

crate::observed!(PodDisruptionBudgets);

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn trimmed(spec: Value, status: Value) -> PodDisruptionBudget {
        let metadata = json!({"namespace": "shop", "name": "web", "generation": 2});
        let budget = json!({"metadata": metadata, "spec": spec, "status": status});
        trim(serde_json::from_value(budget).unwrap()).1
    }

    #[test]
    fn a_status_counts_once_the_controller_has_seen_the_newest_budget() {
        let status =
            |generation: i64| json!({"observedGeneration": generation, "expectedPods": 3, "desiredHealthy": 3});
        let known = Status { expected_pods: 3, desired_healthy: 3, current_healthy: 0, disruptions_allowed: 0 };
        assert_eq!(trimmed(json!({}), status(2)).status, Some(known));
        assert_eq!(trimmed(json!({}), status(1)).status, None);
        assert_eq!(trimmed(json!({}), json!({})).status, None);
    }

    #[test]
    fn why_the_controller_failed_is_kept() {
        let failed = |reason: &str| {
            let condition = json!({
                "type": "DisruptionAllowed",
                "status": "False",
                "reason": reason,
                "message": "found no controllers for pod \"web-0\"",
                "lastTransitionTime": "2026-11-22T10:00:00Z",
            });
            trimmed(json!({}), json!({"conditions": [condition]})).sync_failed
        };
        assert_eq!(failed("SyncFailed").as_deref(), Some("found no controllers for pod \"web-0\""));
        assert_eq!(failed("InsufficientPods"), None);
    }

    #[test]
    fn a_limit_is_written_as_in_the_manifest() {
        let limit = |spec: Value| trimmed(spec, json!({})).limit.map(|limit| limit.to_string());
        assert_eq!(limit(json!({"maxUnavailable": 0})).as_deref(), Some("maxUnavailable 0"));
        assert_eq!(limit(json!({"minAvailable": "100%"})).as_deref(), Some("minAvailable 100%"));
        assert_eq!(limit(json!({})), None);
    }

    #[test]
    fn an_empty_selector_matches_all_pods_and_none_matches_no_pod() {
        let matches = |spec: Value| trimmed(spec, json!({})).matches(&[("app".to_owned(), "web".to_owned())].into());
        assert!(matches(json!({"selector": {}})) && !matches(json!({})));
        assert!(matches(json!({"selector": {"matchLabels": {"app": "web"}}})));
        assert!(!matches(json!({"selector": {"matchLabels": {"app": "db"}}})));
    }

    #[test]
    fn what_is_recorded_is_read_again() {
        let budget = trimmed(json!({"maxUnavailable": "0%", "selector": {}}), json!({"observedGeneration": 2}));
        let text = serde_json::to_string(&budget).unwrap();
        assert_eq!(serde_json::from_str::<PodDisruptionBudget>(&text).unwrap(), budget);
    }
}
