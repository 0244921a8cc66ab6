//! The admission policies that API servers evaluate themselves, and their bindings.

use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1 as admission;
use serde::{Deserialize, Serialize};

use crate::cluster::{Call, Cluster};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::manager::Manager;
use crate::seen::{Access, Seen};

const GROUP: &str = "admissionregistration.k8s.io";

/// The policies of both kinds. A kind that the cluster does not serve is absent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AdmissionPolicies {
    /// ValidatingAdmissionPolicies, from 1.30 on.
    pub validating: Seen<Policies>,
    /// MutatingAdmissionPolicies, from 1.36 on.
    pub mutating: Seen<Policies>,
}

/// The policies and bindings of a kind, by name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Policies {
    /// The policies.
    pub policies: BTreeMap<String, Policy>,
    /// Their bindings.
    pub bindings: BTreeMap<String, PolicyBinding>,
}

/// A policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Policy {
    /// The kind of its parameters, as `rules.example.com/v1 Replicas`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<String>,
    /// The warnings of API servers about its expressions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What manages it, if something does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager: Option<Manager>,
}

/// A binding of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PolicyBinding {
    /// The policy's name.
    pub policy: String,
    /// Its parameters, as `NAMESPACE/NAME`, `NAME` or `those that a selector finds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<String>,
    /// What manages it, if something does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager: Option<Manager>,
}

impl Observe for AdmissionPolicies {
    type Needs<'a> = ();
    const NAME: &'static str = "admission-policies";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[
        Rule::cluster(GROUP, "validatingadmissionpolicies", &["list"]),
        Rule::cluster(GROUP, "validatingadmissionpolicybindings", &["list"]),
        Rule::cluster(GROUP, "mutatingadmissionpolicies", &["list"]),
        Rule::cluster(GROUP, "mutatingadmissionpolicybindings", &["list"]),
    ];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let (validating, mutating) = tokio::join!(validating(cluster), mutating(cluster));
        Ok(Self { validating, mutating })
    }
}

async fn validating(cluster: &Cluster) -> Seen<Policies> {
    type Kind = admission::ValidatingAdmissionPolicy;
    type Binding = admission::ValidatingAdmissionPolicyBinding;
    let policies = cluster.list(Call::list::<Kind>(), |policy: Kind| {
        let warnings =
            policy.status.and_then(|status| status.type_checking).and_then(|types| types.expression_warnings);
        let warnings = warnings.unwrap_or_default().into_iter();
        let trimmed = Policy {
            parameters: policy.spec.and_then(|spec| spec.param_kind).map(kind),
            warnings: warnings.map(|warning| format!("{}: {}", warning.field_ref, warning.warning)).collect(),
            manager: Manager::of(&policy.metadata),
        };
        (policy.metadata.name.unwrap_or_default(), trimmed)
    });
    let bindings = cluster.list(Call::list::<Binding>(), |binding: Binding| {
        let spec = binding.spec;
        let (parameters, manager) = (spec.param_ref.map(reference), Manager::of(&binding.metadata));
        let trimmed = PolicyBinding { policy: spec.policy_name, parameters, manager };
        (binding.metadata.name.unwrap_or_default(), trimmed)
    });
    let (policies, bindings) = tokio::try_join!(policies, bindings)?;
    Ok(Policies { policies: policies.into_iter().collect(), bindings: bindings.into_iter().collect() })
}

async fn mutating(cluster: &Cluster) -> Seen<Policies> {
    type Kind = admission::MutatingAdmissionPolicy;
    type Binding = admission::MutatingAdmissionPolicyBinding;
    let policies = cluster.list(Call::list::<Kind>(), |policy: Kind| {
        let parameters = policy.spec.and_then(|spec| spec.param_kind).map(kind);
        let trimmed = Policy { parameters, manager: Manager::of(&policy.metadata), ..Policy::default() };
        (policy.metadata.name.unwrap_or_default(), trimmed)
    });
    let bindings = cluster.list(Call::list::<Binding>(), |binding: Binding| {
        let spec = binding.spec.unwrap_or_default();
        let policy = spec.policy_name.unwrap_or_default();
        let (parameters, manager) = (spec.param_ref.map(reference), Manager::of(&binding.metadata));
        let trimmed = PolicyBinding { policy, parameters, manager };
        (binding.metadata.name.unwrap_or_default(), trimmed)
    });
    let (policies, bindings) = tokio::try_join!(policies, bindings)?;
    Ok(Policies { policies: policies.into_iter().collect(), bindings: bindings.into_iter().collect() })
}

fn kind(kind: admission::ParamKind) -> String {
    [kind.api_version, kind.kind].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn reference(reference: admission::ParamRef) -> String {
    match reference.name {
        Some(name) => [reference.namespace, Some(name)].into_iter().flatten().collect::<Vec<_>>().join("/"),
        None => "those that a selector finds".into(),
    }
}

crate::observed!(AdmissionPolicies);
