//! Who was given what: the objects of RBAC.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::api::rbac::v1 as rbac;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen};

/// All roles and bindings. Those of a namespace are named `NAMESPACE/NAME`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Rbac {
    /// The ClusterRoles' rules.
    pub cluster_roles: BTreeMap<String, Vec<PolicyRule>>,
    /// The Roles' rules.
    pub roles: BTreeMap<String, Vec<PolicyRule>>,
    /// The ClusterRoleBindings.
    pub cluster_role_bindings: BTreeMap<String, Binding>,
    /// The RoleBindings.
    pub role_bindings: BTreeMap<String, Binding>,
    /// What they say about themselves; unknown in old recordings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marks: Option<Marks>,
}

/// What ClusterRoles and ClusterRoleBindings say about themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Those that API servers leave as they are when they start, as `ClusterRole NAME`.
    pub left_alone: BTreeSet<String>,
    /// The ClusterRoles whose rules are gathered from others, with the labels of those; one set of labels is enough.
    pub gathered: BTreeMap<String, Vec<BTreeMap<String, String>>>,
    /// The labels by which ClusterRoles are gathered.
    pub labels: BTreeMap<String, BTreeMap<String, String>>,
}

impl Marks {
    /// The ClusterRoles from which this one is gathered.
    pub fn sources<'a>(&'a self, role: &str) -> impl Iterator<Item = &'a str> {
        let selectors = self.gathered.get(role).map(Vec::as_slice).unwrap_or_default();
        let chosen = |labels: &BTreeMap<String, String>| {
            selectors.iter().any(|all| all.iter().all(|(key, value)| labels.get(key) == Some(value)))
        };
        self.labels.iter().filter(move |(_, labels)| chosen(labels)).map(|(name, _)| name.as_str())
    }

    fn take(&mut self, kind: &str, metadata: &ObjectMeta) {
        let name = metadata.name.clone().unwrap_or_default();
        if metadata.annotations.as_ref().and_then(|all| all.get(AUTOUPDATE)).is_some_and(|value| value == "false") {
            self.left_alone.insert(format!("{kind} {name}"));
        }
        let labels = metadata.labels.iter().flatten().filter(|(key, _)| key.contains("aggregate"));
        let labels: BTreeMap<_, _> = labels.map(|(key, value)| (key.clone(), value.clone())).collect();
        if !labels.is_empty() {
            self.labels.insert(name, labels);
        }
    }
}

/// The annotation by which API servers put a default role or binding right when they start, unless it is `false`.
pub const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// What a role permits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PolicyRule {
    /// The verbs.
    pub verbs: Vec<String>,
    /// The API groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The resources, with subresources after a slash.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// The only names; empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The non-resource URLs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

/// A role given to somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// `ClusterRole` or `Role`.
    pub role_kind: String,
    /// The role's name.
    pub role: String,
    /// Who has it.
    pub holders: Vec<Holder>,
}

/// Somebody who has a role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Holder {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// The namespace of a service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

/// A binding together with what it grants.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// The namespace in which it grants; none for the whole cluster.
    pub namespace: Option<&'a str>,
    /// The binding's name.
    pub name: &'a str,
    /// The binding.
    pub binding: &'a Binding,
    /// The role's rules; none when there is no such role.
    pub rules: Option<&'a [PolicyRule]>,
}

impl PolicyRule {
    /// Whether it permits this, on some object at least. A subresource follows its resource after a slash.
    pub fn permits(&self, verb: &str, group: &str, resource: &str) -> bool {
        let any_of_subresource = resource.split_once('/').map(|(_, subresource)| format!("*/{subresource}"));
        let has = |all: &[String], one: &str| all.iter().any(|each| each == one || each == "*");
        has(&self.verbs, verb)
            && has(&self.groups, group)
            && (has(&self.resources, resource)
                || any_of_subresource.is_some_and(|wildcard| self.resources.contains(&wildcard)))
    }

    /// Whether it permits everything to be done to every resource.
    pub fn permits_everything(&self) -> bool {
        let all = |some: &[String]| some.iter().any(|one| one == "*");
        all(&self.verbs) && all(&self.groups) && all(&self.resources) && self.names.is_empty()
    }
}

impl fmt::Display for PolicyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verbs.join(","), [&self.resources[..], &self.urls[..]].concat().join(","))?;
        if self.groups.iter().any(|group| !group.is_empty()) {
            write!(f, " of {}", self.groups.join(","))?;
        }
        if !self.names.is_empty() {
            write!(f, " named {}", self.names.join(","))?;
        }
        Ok(())
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of users and groups Kubernetes overlooks a namespace.
        match &self.namespace {
            Some(namespace) if self.kind == "ServiceAccount" => write!(f, "{} {namespace}/{}", self.kind, self.name),
            _ => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

impl<'a> Grant<'a> {
    /// `ClusterRoleBinding` or `RoleBinding`.
    pub fn kind(&self) -> &'static str {
        if self.namespace.is_some() { "RoleBinding" } else { "ClusterRoleBinding" }
    }

    /// The role, as `ClusterRole view`.
    pub fn role(&self) -> String {
        format!("{} {}", self.binding.role_kind, self.binding.role)
    }

    /// The rules; none of a role that does not exist.
    pub fn existing_rules(&self) -> &'a [PolicyRule] {
        self.rules.unwrap_or_default()
    }
}

impl Rbac {
    /// Every binding with what it grants: those of the whole cluster first.
    pub fn grants(&self) -> impl Iterator<Item = Grant<'_>> {
        let cluster = self.cluster_role_bindings.iter().map(|(name, binding)| (None, name.as_str(), binding));
        let namespaced = self.role_bindings.iter().map(|(path, binding)| {
            let (namespace, name) = path.split_once('/').unwrap_or(("", path));
            (Some(namespace), name, binding)
        });
        cluster.chain(namespaced).map(|(namespace, name, binding)| Grant {
            namespace,
            name,
            binding,
            rules: self.rules(namespace, &binding.role_kind, &binding.role),
        })
    }

    /// The rules of a role, which a binding in this namespace refers to.
    pub fn rules(&self, namespace: Option<&str>, kind: &str, name: &str) -> Option<&[PolicyRule]> {
        match (kind, namespace) {
            ("Role", Some(namespace)) => self.roles.get(&format!("{namespace}/{name}")),
            _ => self.cluster_roles.get(name),
        }
        .map(Vec::as_slice)
    }
}

impl Observe for Rbac {
    type Needs<'a> = ();
    const NAME: &'static str = "rbac";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[
        Rule::cluster("rbac.authorization.k8s.io", "clusterroles", &["list"]),
        Rule::cluster("rbac.authorization.k8s.io", "clusterrolebindings", &["list"]),
        Rule::cluster("rbac.authorization.k8s.io", "roles", &["list"]),
        Rule::cluster("rbac.authorization.k8s.io", "rolebindings", &["list"]),
    ];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let (mut of_roles, mut of_bindings) = (Marks::default(), Marks::default());
        let (cluster_roles, roles, cluster_role_bindings, role_bindings) = futures_util::future::join4(
            cluster.list(Call::list::<rbac::ClusterRole>(), |role: rbac::ClusterRole| {
                of_roles.take("ClusterRole", &role.metadata);
                let name = path(role.metadata.namespace, role.metadata.name);
                if let Some(aggregation) = role.aggregation_rule {
                    of_roles.gathered.insert(name.clone(), selectors(aggregation));
                }
                (name, trim_rules(role.rules))
            }),
            cluster.list(Call::list::<rbac::Role>(), |role: rbac::Role| {
                (path(role.metadata.namespace, role.metadata.name), trim_rules(role.rules))
            }),
            cluster.list(Call::list::<rbac::ClusterRoleBinding>(), |binding: rbac::ClusterRoleBinding| {
                of_bindings.take("ClusterRoleBinding", &binding.metadata);
                let name = path(binding.metadata.namespace, binding.metadata.name);
                (name, trim_binding(binding.role_ref, binding.subjects))
            }),
            cluster.list(Call::list::<rbac::RoleBinding>(), |binding: rbac::RoleBinding| {
                let name = path(binding.metadata.namespace, binding.metadata.name);
                (name, trim_binding(binding.role_ref, binding.subjects))
            }),
        )
        .await;
        of_roles.left_alone.append(&mut of_bindings.left_alone);
        Ok(Self {
            marks: Some(of_roles),
            cluster_roles: cluster_roles?.into_iter().collect(),
            roles: roles?.into_iter().collect(),
            cluster_role_bindings: cluster_role_bindings?.into_iter().collect(),
            role_bindings: role_bindings?.into_iter().collect(),
        })
    }
}

fn path(namespace: Option<String>, name: Option<String>) -> String {
    [namespace, name].into_iter().flatten().collect::<Vec<_>>().join("/")
}

/// The labels by which roles are gathered. Expressions are rare, and what they gather shows in the role's own rules.
fn selectors(rule: rbac::AggregationRule) -> Vec<BTreeMap<String, String>> {
    let selectors = rule.cluster_role_selectors.unwrap_or_default().into_iter();
    selectors.filter_map(|selector| selector.match_labels).filter(|labels| !labels.is_empty()).collect()
}

fn trim_rules(rules: Option<Vec<rbac::PolicyRule>>) -> Vec<PolicyRule> {
    let trim = |rule: rbac::PolicyRule| PolicyRule {
        verbs: rule.verbs,
        groups: rule.api_groups.unwrap_or_default(),
        resources: rule.resources.unwrap_or_default(),
        names: rule.resource_names.unwrap_or_default(),
        urls: rule.non_resource_urls.unwrap_or_default(),
    };
    rules.unwrap_or_default().into_iter().map(trim).collect()
}

fn trim_binding(role: rbac::RoleRef, subjects: Option<Vec<rbac::Subject>>) -> Binding {
    let holder =
        |subject: rbac::Subject| Holder { kind: subject.kind, namespace: subject.namespace, name: subject.name };
    let holders = subjects.unwrap_or_default().into_iter().map(holder).collect();
    Binding { role_kind: role.kind, role: role.name, holders }
}

crate::observed!(Rbac);

#[cfg(test)]
pub(crate) mod testing {
    use super::{Binding, Holder, PolicyRule, Rbac};

    /// `["get"]` on `["", "secrets"]`.
    pub(crate) fn rule(verbs: &[&str], group: &str, resources: &[&str]) -> PolicyRule {
        let owned = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        PolicyRule {
            verbs: owned(verbs),
            groups: vec![group.into()],
            resources: owned(resources),
            ..PolicyRule::default()
        }
    }

    /// `Group system:nodes`, `User alice` or `ServiceAccount kube-system/coredns`.
    pub(crate) fn holder(text: &str) -> Holder {
        let (kind, name) = text.split_once(' ').expect("a kind and a name");
        let (namespace, name) = match name.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, name),
        };
        Holder { kind: kind.into(), namespace, name: name.into() }
    }

    impl Rbac {
        pub(crate) fn with_role(mut self, path: &str, rules: Vec<PolicyRule>) -> Self {
            let all = if path.contains('/') { &mut self.roles } else { &mut self.cluster_roles };
            all.insert(path.into(), rules);
            self
        }

        /// A binding at `NAME` or `NAMESPACE/NAME` of `ClusterRole x` or `Role x`.
        pub(crate) fn with_binding(mut self, path: &str, role: &str, holders: &[&str]) -> Self {
            let (role_kind, role) = role.split_once(' ').expect("a kind and a name");
            let holders = holders.iter().map(|text| holder(text)).collect();
            let bindings = if path.contains('/') { &mut self.role_bindings } else { &mut self.cluster_role_bindings };
            bindings.insert(path.into(), Binding { role_kind: role_kind.into(), role: role.into(), holders });
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::rule;
    use super::*;

    #[test]
    fn a_rule_permits_what_rbac_would_allow_by_it() {
        let reader = rule(&["get", "list"], "", &["secrets", "pods"]);
        assert!(reader.permits("list", "", "secrets"));
        assert!(!reader.permits("watch", "", "secrets"));
        assert!(!reader.permits("list", "apps", "secrets"));
        assert!(!reader.permits("get", "", "pods/log"));
        let wild = rule(&["*"], "*", &["*"]);
        assert!(wild.permits("impersonate", "", "users") && wild.permits_everything());
        assert!(rule(&["update"], "", &["*/status"]).permits("update", "", "nodes/status"));
        let named = PolicyRule { names: vec!["one".into()], ..wild };
        assert!(!named.permits_everything());
    }

    #[test]
    fn a_user_is_the_same_in_every_namespace() {
        let holder = |kind: &str| Holder { kind: kind.into(), namespace: Some("kube-system".into()), name: "a".into() };
        assert_eq!(holder("User").to_string(), "User a");
        assert_eq!(holder("ServiceAccount").to_string(), "ServiceAccount kube-system/a");
    }

    #[test]
    fn a_binding_finds_the_rules_of_its_role() {
        let rbac = Rbac::default()
            .with_role("view", vec![rule(&["get"], "", &["pods"])])
            .with_role("a/reader", vec![rule(&["get"], "", &["configmaps"])])
            .with_binding("everyone", "ClusterRole view", &["Group system:authenticated"])
            .with_binding("a/readers", "Role reader", &["ServiceAccount a/default"])
            .with_binding("b/readers", "Role reader", &["User alice"]);
        let grants: Vec<_> = rbac.grants().collect();
        let seen: Vec<_> = grants.iter().map(|grant| (grant.kind(), grant.name, grant.rules.is_some())).collect();
        assert_eq!(
            seen,
            [
                ("ClusterRoleBinding", "everyone", true),
                ("RoleBinding", "readers", true),
                ("RoleBinding", "readers", false)
            ]
        );
        assert_eq!(grants[1].binding.holders[0].to_string(), "ServiceAccount a/default");
        assert_eq!(grants[1].existing_rules()[0].to_string(), "get configmaps");
    }
}
