//! Permissions without repetition, by where they are granted.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::rule::{Impersonation, Rule, Scope};

/// Where permissions are granted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// In the whole cluster, by a ClusterRole.
    Cluster,
    /// In a namespace, by a Role.
    Namespace(String),
}

type Verbs = BTreeSet<&'static str>;

/// What is granted in one place.
#[derive(Clone, Debug, Default)]
struct Grants {
    /// By API group and resource: the verbs for each name; no name stands for all of them.
    resources: BTreeMap<(&'static str, &'static str), BTreeMap<Option<&'static str>, Verbs>>,
    /// The verbs for each URL.
    urls: BTreeMap<&'static str, Verbs>,
}

/// Permissions, by where they are granted.
#[derive(Clone, Debug)]
pub(crate) struct Permissions(BTreeMap<Place, Grants>);

impl Permissions {
    /// The union of these rules, for runs whose probes are in this namespace, or in one that each run makes, and that
    /// send requests as another user by this kind of impersonation.
    pub(crate) fn new(rules: &BTreeSet<Rule>, namespace: Option<&str>, impersonation: Impersonation) -> Self {
        let mut places: BTreeMap<Place, Grants> = BTreeMap::new();
        for rule in rules {
            let place = match (rule.scope, namespace) {
                (Scope::OwnNamespace, Some(_)) => continue,
                (Scope::Impersonation(kind), _) if kind != impersonation => continue,
                (Scope::Cluster | Scope::OwnNamespace | Scope::Impersonation(_), _) | (Scope::Probes, None) => {
                    Place::Cluster
                }
                (Scope::Namespace(namespace), _) | (Scope::Probes, Some(namespace)) => {
                    Place::Namespace(namespace.into())
                }
            };
            places.entry(place).or_default().add(rule);
        }
        let everywhere = places.get(&Place::Cluster).cloned().unwrap_or_default();
        for (place, grants) in &mut places {
            if *place != Place::Cluster {
                grants.remove(&everywhere);
            }
            grants.simplify();
        }
        places.retain(|_, grants| !grants.is_empty());
        Self(places)
    }

    /// The places, with the rules to be granted in each.
    pub(crate) fn rules(&self) -> impl Iterator<Item = (&Place, Vec<PolicyRule>)> {
        self.0.iter().map(|(place, grants)| (place, grants.rules()))
    }

    /// Whether nothing needs to be granted.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Grants {
    fn add(&mut self, rule: &Rule) {
        for url in rule.urls {
            self.urls.entry(url).or_default().extend(rule.verbs);
        }
        if rule.resource.is_empty() {
            return;
        }
        let names = self.resources.entry((rule.api_group, rule.resource)).or_default();
        if rule.names.is_empty() {
            names.entry(None).or_default().extend(rule.verbs);
        }
        for name in rule.names {
            names.entry(Some(name)).or_default().extend(rule.verbs);
        }
    }

    /// Takes away what is granted elsewhere already.
    fn remove(&mut self, others: &Self) {
        for (resource, names) in &mut self.resources {
            let Some(granted) = others.resources.get(resource) else { continue };
            for (name, verbs) in names {
                for covering in [granted.get(&None), granted.get(name)].into_iter().flatten() {
                    verbs.retain(|verb| !covering.contains(verb));
                }
            }
        }
    }

    /// What is granted for all names need not be granted for some.
    fn simplify(&mut self) {
        for names in self.resources.values_mut() {
            let all = names.get(&None).cloned().unwrap_or_default();
            for (name, verbs) in names.iter_mut() {
                verbs.retain(|verb| name.is_none() || !all.contains(verb));
            }
            names.retain(|_, verbs| !verbs.is_empty());
        }
        self.resources.retain(|_, names| !names.is_empty());
    }

    fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.urls.is_empty()
    }

    /// The fewest rules that grant the same.
    fn rules(&self) -> Vec<PolicyRule> {
        // Names of a resource that share their verbs, then resources of a group that share names and verbs.
        let mut merged: BTreeMap<(&str, Vec<&str>, &Verbs), Vec<&str>> = BTreeMap::new();
        for ((group, resource), names) in &self.resources {
            let mut by_verbs: BTreeMap<(bool, &Verbs), Vec<&str>> = BTreeMap::new();
            for (name, verbs) in names {
                by_verbs.entry((name.is_some(), verbs)).or_default().extend(name);
            }
            for ((_, verbs), names) in by_verbs {
                merged.entry((group, names, verbs)).or_default().push(resource);
            }
        }
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let some = |words: &[&str]| (!words.is_empty()).then(|| owned(words));
        let verbs = |verbs: &Verbs| verbs.iter().map(|verb| (*verb).to_owned()).collect();
        let mut rules: Vec<_> = merged
            .into_iter()
            .map(|((group, names, granted), resources)| PolicyRule {
                api_groups: Some(vec![group.into()]),
                resources: Some(owned(&resources)),
                resource_names: some(&names),
                non_resource_urls: None,
                verbs: verbs(granted),
            })
            .collect();
        rules.sort_by(|a, b| {
            (&a.api_groups, &a.resources, &a.resource_names).cmp(&(&b.api_groups, &b.resources, &b.resource_names))
        });
        let mut urls: BTreeMap<&Verbs, Vec<&str>> = BTreeMap::new();
        for (url, granted) in &self.urls {
            urls.entry(granted).or_default().push(url);
        }
        rules.extend(urls.into_iter().map(|(granted, urls)| PolicyRule {
            non_resource_urls: Some(owned(&urls)),
            verbs: verbs(granted),
            ..PolicyRule::default()
        }));
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permissions(rules: &[Rule], namespace: Option<&str>) -> Vec<(Place, String)> {
        let permissions = Permissions::new(&rules.iter().copied().collect(), namespace, Impersonation::Legacy);
        permissions
            .rules()
            .flat_map(|(place, rules)| rules.into_iter().map(move |rule| (place.clone(), in_words(&rule))))
            .collect()
    }

    fn in_words(rule: &PolicyRule) -> String {
        let words = |words: &Option<Vec<String>>| words.clone().unwrap_or_default().join(",");
        let on = words(&rule.resources) + &words(&rule.non_resource_urls);
        format!("{} {on} {} in {:?}", rule.verbs.join(","), words(&rule.resource_names), words(&rule.api_groups))
    }

    #[test]
    fn rules_that_say_the_same_are_one() {
        let rules = [
            Rule::cluster("", "pods", &["list"]),
            Rule::cluster("", "nodes", &["list"]),
            Rule::cluster("", "pods", &["list", "watch"]),
            Rule::cluster("", "nodes", &["watch"]),
            Rule::cluster("apps", "daemonsets", &["list"]),
            Rule::urls(&["/version"]),
            Rule::urls(&["/readyz", "/version"]),
        ];
        let merged: Vec<_> = permissions(&rules, None).into_iter().map(|(_, rule)| rule).collect();
        let expected =
            [r#"list,watch nodes,pods  in """#, r#"list daemonsets  in "apps""#, r#"get /readyz,/version  in """#];
        assert_eq!(merged, expected);
    }

    #[test]
    fn names_are_not_repeated_where_all_are_granted() {
        let rules = [
            Rule::namespaced("kube-system", "", "configmaps", &["get"]).named(&["kubeadm-config"]),
            Rule::namespaced("kube-system", "", "configmaps", &["get"]).named(&["coredns"]),
            Rule::namespaced("kube-public", "", "configmaps", &["get"]).named(&["cluster-info"]),
            Rule::namespaced("kube-public", "", "configmaps", &["get", "list"]),
            Rule::namespaced("default", "", "pods", &["get"]),
            Rule::cluster("", "pods", &["get"]),
        ];
        let merged = permissions(&rules, None);
        let place = |name: &str| Place::Namespace(name.into());
        assert_eq!(
            merged,
            [
                (Place::Cluster, r#"get pods  in """#.to_owned()),
                (place("kube-public"), r#"get,list configmaps  in """#.into()),
                (place("kube-system"), r#"get configmaps coredns,kubeadm-config in """#.into()),
            ]
        );
    }

    #[test]
    fn one_kind_of_impersonation_is_granted() {
        let rules = [
            Rule::impersonation(Impersonation::Legacy, "", "users", &["impersonate"]),
            Rule::as_node("", "nodes", &["impersonate-on:arbitrary-node:get"]),
        ];
        let granted = |kind| {
            let permissions = Permissions::new(&rules.into(), None, kind);
            permissions.rules().flat_map(|(_, rules)| rules).map(|rule| in_words(&rule)).collect::<Vec<_>>()
        };
        assert_eq!(granted(Impersonation::Legacy), [r#"impersonate users  in """#]);
        assert_eq!(granted(Impersonation::Constrained), [r#"impersonate-on:arbitrary-node:get nodes  in """#]);
    }

    #[test]
    fn a_given_namespace_needs_no_right_to_make_one() {
        let rules = [Rule::probes("", "pods", &["create"]), Rule::own_namespace("", "namespaces", &["create"])];
        let own: Vec<_> = permissions(&rules, None).into_iter().map(|(place, _)| place).collect();
        assert_eq!(own, [Place::Cluster]);
        let given = permissions(&rules, Some("probes"));
        assert_eq!(given, [(Place::Namespace("probes".into()), r#"create pods  in """#.to_owned())]);
    }
}
