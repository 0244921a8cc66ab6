//! The permissions that probes take, by what they are for.

use super::object::Level;
use crate::rule::Rule;

/// A namespace, where a run makes its own.
const NAMESPACE: Rule = Rule::own_namespace("", "namespaces", &["create", "delete", "get"]);
/// The service account that everything else belongs to.
const ACCOUNT: Rule = Rule::probes("", "serviceaccounts", &["create", "delete"]);
/// Pods, and their termination messages.
const PODS: Rule = Rule::probes("", "pods", &["create", "deletecollection", "watch"]);
/// What the cluster reports about pods that do not start.
const EVENTS: Rule = Rule::probes("", "events", &["list"]);
/// The policy that opens the pods to all traffic, and those that are tried.
const POLICIES: Rule = Rule::probes("networking.k8s.io", "networkpolicies", &["create", "deletecollection"]);
/// Services in front of pods.
const SERVICES: Rule = Rule::probes("", "services", &["create", "deletecollection"]);
/// The tries that watching pods report.
const LOGS: Rule = Rule::probes("", "pods/log", &["get"]);
/// The cluster's CA, as it is published in each namespace.
const AUTHORITY: Rule = Rule::probes("", "configmaps", &["get"]).named(&["kube-root-ca.crt"]);
/// The account, to which a drill writes as well.
const WRITTEN_ACCOUNT: Rule = Rule::probes("", "serviceaccounts", &["create", "delete", "patch"]);

const RESTRICTED: &[Rule] = &[NAMESPACE, ACCOUNT, PODS, POLICIES, SERVICES, AUTHORITY, EVENTS];
const PRIVILEGED: &[Rule] = &[NAMESPACE, ACCOUNT, PODS];
const POLICED: &[Rule] = &[NAMESPACE, ACCOUNT, PODS, POLICIES, LOGS];
const SERVED: &[Rule] = &[NAMESPACE, ACCOUNT, PODS, POLICIES, SERVICES, LOGS];
const WATCHING: &[Rule] = &[NAMESPACE, WRITTEN_ACCOUNT, PODS, POLICIES, LOGS];
/// A run in an existing namespace grants nothing, and takes none of this.
const MONITORING: &[Rule] = &[
    NAMESPACE,
    ACCOUNT.in_own_namespace(),
    PODS.in_own_namespace(),
    POLICIES.in_own_namespace(),
    Rule::own_namespace("rbac.authorization.k8s.io", "clusterroles", &["create", "delete"]),
    Rule::own_namespace("rbac.authorization.k8s.io", "clusterrolebindings", &["create", "delete"]),
];

impl Level {
    /// The permissions that take its objects, from the first to their removal.
    pub const fn rules(self) -> &'static [Rule] {
        match self {
            Self::Restricted => RESTRICTED,
            Self::Privileged => PRIVILEGED,
            Self::Policed => POLICED,
            Self::Served => SERVED,
            Self::Watching => WATCHING,
            Self::Monitoring => MONITORING,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Scope;

    #[test]
    fn every_level_may_make_and_remove_what_it_makes() {
        for level in Level::ALL {
            let rules = level.rules();
            let may = |verb: &str, resource: &str| {
                rules.iter().any(|rule| rule.resource == resource && rule.verbs.contains(&verb))
            };
            assert!(may("create", "namespaces") && may("delete", "namespaces"), "{level:?}");
            assert!(may("create", "serviceaccounts") && may("delete", "serviceaccounts"), "{level:?}");
            assert!(may("create", "pods") && may("deletecollection", "pods") && may("watch", "pods"), "{level:?}");
            assert!(!level.is_open() || may("create", "networkpolicies"), "{level:?}");
            assert_eq!(may("create", "services"), may("deletecollection", "services"), "{level:?}");
        }
    }

    #[test]
    fn nothing_is_granted_to_a_run_in_an_existing_namespace_for_a_right_on_nodes() {
        assert!(Level::Monitoring.rules().iter().all(|rule| rule.scope == Scope::OwnNamespace));
    }
}
