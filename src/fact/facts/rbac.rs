//! The objects of RBAC: which subjects hold which rights.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::api::rbac::v1 as rbac;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::holder::Holder;
use crate::live::Live;
use crate::manager::Manager;
use crate::object_ref::{NamespacedName, ObjectRef};
use crate::seen::{Access, Seen};

/// The kind of a role for the whole cluster.
pub(crate) const CLUSTER_ROLE: &str = "ClusterRole";
/// The kind of a role for a namespace.
pub(crate) const ROLE: &str = "Role";
/// The kind of a binding for the whole cluster.
pub(crate) const CLUSTER_BINDING: &str = "ClusterRoleBinding";
/// The kind of a binding for a namespace.
pub(crate) const BINDING: &str = "RoleBinding";

/// All roles and bindings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Rbac {
    /// The rules of each `ClusterRole NAME` and `Role NAMESPACE/NAME`.
    pub roles: BTreeMap<ObjectRef, Vec<PolicyRule>>,
    /// Each `ClusterRoleBinding NAME` and `RoleBinding NAMESPACE/NAME`.
    pub bindings: BTreeMap<ObjectRef, Binding>,
    /// Their labels and annotations.
    pub marks: Marks,
}

/// The labels and annotations of ClusterRoles and ClusterRoleBindings, as far as checks use them, and what manages roles
/// and bindings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// The objects that API servers leave as they are when they start.
    pub left_alone: BTreeSet<ObjectRef>,
    /// The ClusterRoles whose rules are aggregated from others, with the labels of those; one set of labels is enough.
    pub gathered: BTreeMap<String, Vec<BTreeMap<String, String>>>,
    /// The labels by which ClusterRoles are aggregated.
    pub labels: BTreeMap<String, BTreeMap<String, String>>,
    /// What manages roles and bindings, those of a namespace too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub managers: BTreeMap<ObjectRef, Manager>,
    /// The labels by which charts and manifests name their add-on, of roles and bindings, those of a namespace too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub add_ons: BTreeMap<ObjectRef, BTreeMap<String, String>>,
}

/// The labels by which charts and manifests name their add-on.
const OF_ADD_ONS: [&str; 6] =
    ["app", "app.kubernetes.io/name", "app.kubernetes.io/part-of", "chart", "helm.sh/chart", "k8s-app"];

impl Marks {
    /// The ClusterRoles from which this one is aggregated.
    pub fn sources<'a>(&'a self, role: &str) -> impl Iterator<Item = &'a str> {
        let selectors = self.gathered.get(role).map(Vec::as_slice).unwrap_or_default();
        let chosen = |labels: &BTreeMap<String, String>| {
            selectors.iter().any(|all| all.iter().all(|(key, value)| labels.get(key) == Some(value)))
        };
        self.labels.iter().filter(move |(_, labels)| chosen(labels)).map(|(name, _)| name.as_str())
    }

    fn take(&mut self, object: &ObjectRef, metadata: &ObjectMeta) {
        self.take_origin(object, metadata);
        if metadata.annotations.as_ref().and_then(|all| all.get(AUTOUPDATE)).is_some_and(|value| value == "false") {
            self.left_alone.insert(object.clone());
        }
        let labels = metadata.labels.iter().flatten().filter(|(key, _)| key.contains("aggregate"));
        let labels: BTreeMap<_, _> = labels.map(|(key, value)| (key.clone(), value.clone())).collect();
        if !labels.is_empty() {
            self.labels.insert(object.name.to_string(), labels);
        }
    }

    /// What manages an object, and which add-on it belongs to.
    fn take_origin(&mut self, object: &ObjectRef, metadata: &ObjectMeta) {
        self.managers.extend(Manager::of(metadata).map(|manager| (object.clone(), manager)));
        let labels = metadata.labels.iter().flatten().filter(|(key, _)| OF_ADD_ONS.contains(&key.as_str()));
        let labels: BTreeMap<_, _> = labels.map(|(key, value)| (key.clone(), value.clone())).collect();
        if !labels.is_empty() {
            self.add_ons.insert(object.clone(), labels);
        }
    }
}

/// API servers restore their default roles and bindings when they start, except those with this annotation at `false`.
pub(crate) const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// A rule of a role.
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

/// A role and the subjects that it is granted to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The role.
    pub role: ObjectRef,
    /// Its holders.
    pub holders: Vec<Holder>,
}

/// A binding together with what it grants.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// The binding as an object.
    pub object: &'a ObjectRef,
    /// Its content.
    pub binding: &'a Binding,
    /// The role's rules; none when there is no such role.
    pub rules: Option<&'a [PolicyRule]>,
    /// What manages the binding, if something does.
    pub manager: Option<&'a Manager>,
}

impl PolicyRule {
    /// Whether it permits this on at least one object. A subresource follows its resource after a slash.
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
        write!(f, "{} {}", self.verbs.join(", "), [&self.resources[..], &self.urls[..]].concat().join(", "))?;
        if self.groups.iter().any(|group| !group.is_empty()) {
            // The API group of pods and Services has the empty name, and is called core.
            let groups: Vec<&str> =
                self.groups.iter().map(|group| if group.is_empty() { "core" } else { group }).collect();
            write!(f, " of {}", groups.join(", "))?;
        }
        if !self.names.is_empty() {
            write!(f, " named {}", self.names.join(", "))?;
        }
        Ok(())
    }
}

impl<'a> Grant<'a> {
    /// The namespace in which it grants; none for the whole cluster.
    pub fn namespace(&self) -> Option<&'a str> {
        self.object.namespace.as_deref()
    }

    /// The rules; none of a role that does not exist.
    pub fn existing_rules(&self) -> &'a [PolicyRule] {
        self.rules.unwrap_or_default()
    }
}

impl Rbac {
    /// Every binding with what it grants: those of the whole cluster first.
    pub fn grants(&self) -> impl Iterator<Item = Grant<'_>> {
        self.bindings.iter().map(|(object, binding)| Grant {
            object,
            binding,
            rules: self.rules(&binding.role),
            manager: self.manager(object),
        })
    }

    /// What manages a role or binding, if something does.
    pub fn manager(&self, role_or_binding: &ObjectRef) -> Option<&Manager> {
        self.marks.managers.get(role_or_binding)
    }

    /// The labels by which a role or binding names its add-on, if it has some.
    pub fn add_on_labels(&self, role_or_binding: &ObjectRef) -> Option<&BTreeMap<String, String>> {
        self.marks.add_ons.get(role_or_binding)
    }

    /// The rules of a role, if there is one.
    pub fn rules(&self, role: &ObjectRef) -> Option<&[PolicyRule]> {
        self.roles.get(role).map(Vec::as_slice)
    }

    /// The rules of a ClusterRole, if there is one.
    pub fn cluster_role(&self, name: &str) -> Option<&[PolicyRule]> {
        self.rules(&ObjectRef::cluster(CLUSTER_ROLE, name.to_owned()))
    }

    /// A ClusterRoleBinding, if there is one.
    pub fn cluster_binding(&self, name: &str) -> Option<&Binding> {
        self.bindings.get(&ObjectRef::cluster(CLUSTER_BINDING, name.to_owned()))
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
        let mut marks: [Marks; 4] = Default::default();
        let [of_cluster_roles, of_roles, of_cluster_bindings, of_bindings] = &mut marks;
        let (cluster_roles, roles, cluster_bindings, bindings) = futures_util::future::join4(
            cluster.list(Call::list::<rbac::ClusterRole>(), |role: rbac::ClusterRole| {
                let object = ObjectRef::cluster(CLUSTER_ROLE, role.metadata.name.clone().unwrap_or_default());
                of_cluster_roles.take(&object, &role.metadata);
                if let Some(aggregation) = role.aggregation_rule {
                    of_cluster_roles.gathered.insert(object.name.to_string(), selectors(aggregation));
                }
                (object, trim_rules(role.rules))
            }),
            cluster.list(Call::list::<rbac::Role>(), |role: rbac::Role| {
                let object = namespaced(ROLE, &role.metadata);
                of_roles.take_origin(&object, &role.metadata);
                (object, trim_rules(role.rules))
            }),
            cluster.list(Call::list::<rbac::ClusterRoleBinding>(), |binding: rbac::ClusterRoleBinding| {
                let object = ObjectRef::cluster(CLUSTER_BINDING, binding.metadata.name.clone().unwrap_or_default());
                of_cluster_bindings.take(&object, &binding.metadata);
                let trimmed = trim_binding(&object, binding.role_ref, binding.subjects);
                (object, trimmed)
            }),
            cluster.list(Call::list::<rbac::RoleBinding>(), |binding: rbac::RoleBinding| {
                let object = namespaced(BINDING, &binding.metadata);
                of_bindings.take_origin(&object, &binding.metadata);
                let trimmed = trim_binding(&object, binding.role_ref, binding.subjects);
                (object, trimmed)
            }),
        )
        .await;
        let [mut marks, of_roles, of_cluster_bindings, of_bindings] = marks;
        for origins in [of_roles, of_cluster_bindings, of_bindings] {
            marks.left_alone.extend(origins.left_alone);
            marks.managers.extend(origins.managers);
            marks.add_ons.extend(origins.add_ons);
        }
        Ok(Self {
            marks,
            roles: cluster_roles?.into_iter().chain(roles?).collect(),
            bindings: cluster_bindings?.into_iter().chain(bindings?).collect(),
        })
    }
}

fn namespaced(kind: &'static str, metadata: &ObjectMeta) -> ObjectRef {
    let [namespace, name] = [&metadata.namespace, &metadata.name].map(|part| part.clone().unwrap_or_default());
    ObjectRef::namespaced(kind, namespace, name)
}

/// The labels by which roles are aggregated. Expressions are rare, and what they select shows in the role's own rules.
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

fn trim_binding(object: &ObjectRef, role: rbac::RoleRef, subjects: Option<Vec<rbac::Subject>>) -> Binding {
    // A binding can refer to a Role only in its own namespace.
    let namespace = object.namespace.clone().filter(|_| role.kind == ROLE);
    let role = ObjectRef { kind: role.kind.into(), namespace, name: role.name.into() };
    Binding { role, holders: subjects.unwrap_or_default().into_iter().filter_map(holder).collect() }
}

/// API servers accept no other kinds, and ignore the namespace of a user or group.
fn holder(subject: rbac::Subject) -> Option<Holder> {
    match subject.kind.as_str() {
        "Group" => Some(Holder::Group(subject.name.into())),
        "User" => Some(Holder::User(subject.name.into())),
        "ServiceAccount" => {
            Some(Holder::ServiceAccount(NamespacedName::new(subject.namespace.unwrap_or_default(), subject.name)))
        }
        _ => None,
    }
}

crate::observed!(Rbac);

#[cfg(test)]
pub(crate) mod testing {
    use super::{BINDING, Binding, CLUSTER_BINDING, CLUSTER_ROLE, PolicyRule, ROLE, Rbac};
    use crate::manager::Manager;
    use crate::object_ref::ObjectRef;
    use crate::object_ref::testing::{named, object};

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

    /// An object at `NAME` or `NAMESPACE/NAME`.
    fn at(path: &str, [cluster, namespaced]: [&'static str; 2]) -> ObjectRef {
        if path.contains('/') { named(path).of(namespaced) } else { ObjectRef::cluster(cluster, path.to_owned()) }
    }

    impl Rbac {
        /// With a role at `NAME` or `NAMESPACE/NAME`.
        pub(crate) fn with_role(mut self, path: &str, rules: Vec<PolicyRule>) -> Self {
            self.roles.insert(at(path, [CLUSTER_ROLE, ROLE]), rules);
            self
        }

        /// With a binding at `NAME` or `NAMESPACE/NAME` of `ClusterRole x`, or of `Role x` in that namespace.
        pub(crate) fn with_binding(mut self, path: &str, role: &str, holders: &[&str]) -> Self {
            let (binding, mut role) = (at(path, [CLUSTER_BINDING, BINDING]), object(role));
            if role.kind == ROLE {
                role.namespace.clone_from(&binding.namespace);
            }
            let holders = holders.iter().map(|text| text.parse().unwrap()).collect();
            self.bindings.insert(binding, Binding { role, holders });
            self
        }

        /// With the Application `access` of Argo CD, which manages an object.
        pub(crate) fn with_manager(mut self, role_or_binding: &str) -> Self {
            self.marks.managers.insert(object(role_or_binding), Manager::ArgoApplication("access".into()));
            self
        }

        /// With labels, as `KEY=VALUE`, of a role or binding.
        pub(crate) fn with_labels(mut self, role_or_binding: &str, labels: &[&str]) -> Self {
            let labels = labels.iter().map(|label| label.split_once('=').unwrap());
            let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            self.marks.add_ons.insert(object(role_or_binding), labels);
            self
        }

        /// Without the binding at `NAME` or `NAMESPACE/NAME`.
        pub(crate) fn without_binding(mut self, path: &str) -> Self {
            self.bindings.remove(&at(path, [CLUSTER_BINDING, BINDING])).unwrap();
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
        let holder = |kind: &str| {
            let subject = rbac::Subject {
                kind: kind.into(),
                namespace: Some("kube-system".into()),
                name: "a".into(),
                ..Default::default()
            };
            super::holder(subject).map(|holder| holder.to_string())
        };
        assert_eq!(holder("User").as_deref(), Some("User a"));
        assert_eq!(holder("ServiceAccount").as_deref(), Some("ServiceAccount kube-system/a"));
        assert_eq!(holder("Robot"), None);
    }

    #[test]
    fn a_role_is_of_the_namespace_of_its_binding() {
        let binding = |object: &str, kind: &str| {
            let role = rbac::RoleRef { kind: kind.into(), name: "reader".into(), ..Default::default() };
            trim_binding(&object.parse().unwrap(), role, None).role.to_string()
        };
        assert_eq!(binding("RoleBinding a/readers", "Role"), "Role a/reader");
        assert_eq!(binding("RoleBinding a/readers", "ClusterRole"), "ClusterRole reader");
        assert_eq!(binding("ClusterRoleBinding readers", "ClusterRole"), "ClusterRole reader");
    }

    #[test]
    fn marks_are_recorded_with_managers_only_where_there_are_some() {
        let text = |rbac: &Rbac| serde_json::to_string(&rbac.marks).unwrap();
        assert_eq!(text(&Rbac::default()), r#"{"left_alone":[],"gathered":{},"labels":{}}"#);
        let managed = Rbac::default().with_manager("Role a/reader");
        assert_eq!(serde_json::from_str::<Marks>(&text(&managed)).unwrap(), managed.marks);
        assert_eq!(serde_json::from_str::<Marks>(&text(&Rbac::default())).unwrap(), Marks::default());
    }

    #[test]
    fn the_labels_of_add_ons_are_kept() {
        let labels = |pairs: &[(&str, &str)]| {
            let owned = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            ObjectMeta { labels: Some(owned.collect()), ..ObjectMeta::default() }
        };
        let mut marks = Marks::default();
        let object: ObjectRef = "RoleBinding a/readers".parse().unwrap();
        marks.take_origin(&object, &labels(&[("team", "blue"), ("helm.sh/chart", "keda-2.20.2")]));
        let kept: Vec<_> = marks.add_ons[&object].iter().collect();
        assert_eq!(kept, [(&"helm.sh/chart".to_owned(), &"keda-2.20.2".to_owned())]);
        let text = serde_json::to_string(&marks).unwrap();
        assert_eq!(serde_json::from_str::<Marks>(&text).unwrap(), marks);
        marks.take_origin(&"Role a/reader".parse().unwrap(), &labels(&[("team", "blue")]));
        assert_eq!(marks.add_ons.len(), 1);
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
        let seen: Vec<_> = grants.iter().map(|grant| (grant.object.to_string(), grant.rules.is_some())).collect();
        let expected =
            [("ClusterRoleBinding everyone", true), ("RoleBinding a/readers", true), ("RoleBinding b/readers", false)];
        assert_eq!(seen, expected.map(|(object, exists)| (object.to_owned(), exists)));
        assert_eq!(grants[1].binding.holders[0].to_string(), "ServiceAccount a/default");
        assert_eq!(grants[1].existing_rules()[0].to_string(), "get configmaps");
    }
}
