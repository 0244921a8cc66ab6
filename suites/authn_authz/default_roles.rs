//! # The default roles and bindings of Kubernetes are complete
//!
//! ## Why
//! The control plane, kube-proxy and every user depend on roles that the API server itself writes. If one was emptied,
//! narrowed or taken from its holder, and API servers leave it alone, a component breaks at its next
//! restart or upgrade, and only its log shows why.
//!
//! ## Fix
//! `kubectl annotate --overwrite clusterrole NAME rbac.authorization.kubernetes.io/autoupdate=true` (or
//! `clusterrolebinding`), then restart an API server, which restores the object when it starts. It adds what is missing
//! and removes nothing.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/rbac/bootstrappolicy` (`policy.go`, `controller_policy.go`);
//! <https://kubernetes.io/docs/reference/access-authn-authz/rbac/#auto-reconciliation>. Only a few rights of each role
//! are checked, those that its holder needs in every version. A deleted object is created again when an API server
//! starts; one that was changed and is left alone stays broken.

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::rbac::{AUTOUPDATE, CLUSTER_BINDING, CLUSTER_ROLE, PolicyRule, Rbac};
use crate::holder::Holder;
use crate::object_ref::{NamespacedName, ObjectRef};
use crate::suites::rights::{RESTART, object};

crate::check!("AA-21", "default-roles", Minor, judge);

/// A default role.
struct DefaultRole {
    role: &'static str,
    /// What it permits at least: verb, API group and resource; a verb and a path for a non-resource URL.
    permits: &'static [Right],
    /// The holder, by the binding of the same name.
    holder: Option<Holder>,
    /// What does not work without it.
    without: &'static str,
}

enum Right {
    Resource(&'static str, &'static str, &'static str),
    Url(&'static str),
}
use Right::{Resource, Url};

const CERTIFICATES: &str = "certificates.k8s.io";
const DEFAULTS: &[DefaultRole] = &[
    DefaultRole {
        role: "cluster-admin",
        permits: &[Resource("*", "*", "*")],
        holder: Some(Holder::group("system:masters")),
        without: "cluster-admin grants nothing: administrators have no rights",
    },
    DefaultRole {
        role: "system:discovery",
        permits: &[Url("/api"), Url("/apis"), Url("/version")],
        holder: Some(Holder::group("system:authenticated")),
        without: "clients cannot discover the APIs, and kubectl fails for everyone except administrators",
    },
    DefaultRole {
        role: "system:basic-user",
        permits: &[Resource("create", "authorization.k8s.io", "selfsubjectaccessreviews")],
        holder: Some(Holder::group("system:authenticated")),
        without: "users cannot query their own rights: kubectl auth can-i, dashboards and operators fail",
    },
    DefaultRole {
        role: "system:public-info-viewer",
        permits: &[Url("/healthz"), Url("/livez"), Url("/readyz"), Url("/version")],
        holder: Some(Holder::group("system:unauthenticated")),
        without: "probes and load balancers without a credential see an unhealthy API server",
    },
    DefaultRole {
        role: "system:kube-controller-manager",
        permits: &[Resource("create", "", "serviceaccounts/token"), Resource("watch", "", "pods")],
        holder: Some(Holder::user("system:kube-controller-manager")),
        without: "the controller-manager cannot run its controllers",
    },
    DefaultRole {
        role: "system:kube-scheduler",
        permits: &[
            Resource("create", "", "pods/binding"),
            Resource("watch", "", "pods"),
            Resource("watch", "", "nodes"),
            Resource("update", "", "pods/status"),
        ],
        holder: Some(Holder::user("system:kube-scheduler")),
        without: "no pod is scheduled",
    },
    DefaultRole {
        role: "system:volume-scheduler",
        permits: &[Resource("watch", "", "persistentvolumes")],
        holder: Some(Holder::user("system:kube-scheduler")),
        without: "no pod with a volume is scheduled",
    },
    DefaultRole {
        role: "system:node-proxier",
        permits: &[
            Resource("watch", "", "services"),
            Resource("watch", "", "nodes"),
            Resource("watch", "discovery.k8s.io", "endpointslices"),
        ],
        holder: None,
        without: "kube-proxy does not see Services and their endpoints",
    },
    DefaultRole {
        role: "system:kubelet-api-admin",
        permits: &[Resource("create", "", "nodes/proxy"), Resource("get", "", "nodes/log")],
        holder: None,
        without: "the API server cannot fetch logs from kubelets, or run commands there",
    },
    DefaultRole {
        role: "system:node-bootstrapper",
        permits: &[Resource("create", CERTIFICATES, "certificatesigningrequests")],
        holder: None,
        without: "no node joins with a bootstrap token",
    },
    DefaultRole {
        role: "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        permits: &[Resource("create", CERTIFICATES, "certificatesigningrequests/nodeclient")],
        holder: None,
        without: "certificates of new nodes are not approved",
    },
    DefaultRole {
        role: "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        permits: &[Resource("create", CERTIFICATES, "certificatesigningrequests/selfnodeclient")],
        holder: None,
        without: "nodes cannot renew their certificates, and drop out when these expire",
    },
    DefaultRole {
        role: "system:auth-delegator",
        permits: &[
            Resource("create", "authentication.k8s.io", "tokenreviews"),
            Resource("create", "authorization.k8s.io", "subjectaccessreviews"),
        ],
        holder: None,
        without: "aggregated API servers cannot authenticate their clients",
    },
    DefaultRole {
        role: "admin",
        permits: &[Resource("create", "rbac.authorization.k8s.io", "rolebindings"), Resource("create", "", "pods")],
        holder: None,
        without: "administrators of a namespace cannot work",
    },
    DefaultRole {
        role: "edit",
        permits: &[Resource("create", "", "pods"), Resource("update", "apps", "deployments")],
        holder: None,
        without: "users who deploy into a namespace cannot work",
    },
    DefaultRole {
        role: "view",
        permits: &[Resource("get", "", "pods"), Resource("list", "apps", "deployments")],
        holder: None,
        without: "users with read access to a namespace see nothing",
    },
];

/// The prefix of the roles of the controller-manager's controllers, each of which has a service account of that name.
const CONTROLLER: &str = "system:controller:";
/// Those of every version.
const CONTROLLERS: [&str; 12] = [
    "attachdetach-controller",
    "cronjob-controller",
    "daemon-set-controller",
    "deployment-controller",
    "endpointslice-controller",
    "generic-garbage-collector",
    "job-controller",
    "namespace-controller",
    "node-controller",
    "replicaset-controller",
    "service-account-controller",
    "statefulset-controller",
];

fn judge(rbac: &Rbac) -> Verdict {
    let mut verdict = Verdict::new();
    for default in DEFAULTS {
        judge_role(&mut verdict, rbac, default.role, default.permits, default.without);
        if let Some(holder) = &default.holder {
            judge_binding(&mut verdict, rbac, default.role, holder, default.without);
        }
    }
    // Others, such as GKE, use the prefix for roles that are bound in another way; those are not checked.
    let roles = rbac.roles.keys().filter(|role| role.kind == CLUSTER_ROLE).map(|role| role.name.as_ref());
    let found = roles.filter(|name| rbac.cluster_binding(name).is_some());
    let found = found.filter_map(|name| name.strip_prefix(CONTROLLER));
    let mut controllers: Vec<&str> = CONTROLLERS.into_iter().chain(found).collect();
    controllers.sort_unstable();
    controllers.dedup();
    for controller in controllers {
        let name = format!("{CONTROLLER}{controller}");
        let without = format!("the {controller} of the controller-manager does not work");
        judge_role(&mut verdict, rbac, &name, &[], &without);
        let account = Holder::ServiceAccount(NamespacedName::new("kube-system", controller.to_owned()));
        judge_binding(&mut verdict, rbac, &name, &account, &without);
    }
    for left_alone in &rbac.marks.left_alone {
        verdict.find(
            left_alone.into(),
            Finding::new("API servers keep the object up to date", format!("its annotation {AUTOUPDATE} is false"))
                .impact("upgrades do not give it the rights that new versions need")
                .fix(updated(left_alone))
                .managed_by(rbac.manager(left_alone))
                .info(),
        );
    }
    verdict
}

fn judge_role(verdict: &mut Verdict, rbac: &Rbac, name: &str, permits: &[Right], without: &str) {
    let role = ObjectRef::cluster(CLUSTER_ROLE, name.to_owned());
    let Some(rules) = rbac.rules(&role) else {
        let finding = Finding::new("the default ClusterRole exists", "it does not exist").impact(without);
        return verdict.find(role.into(), finding.fix(RESTART));
    };
    let missing: Vec<_> = permits.iter().filter(|right| !right.is_in(rules)).map(Right::words).collect();
    verdict.expect(Subject::from(&role), missing.is_empty() && !rules.is_empty(), || {
        let seen = if rules.is_empty() { "it has no rules" } else { "it lacks some of them" };
        Finding::new("the default ClusterRole has the rights that its holders need", seen)
            .evidence(missing.iter().map(|right| format!("missing right: {right}")))
            .impact(without)
            .fix(updated(&role))
            .managed_by(rbac.manager(&role))
    });
}

fn judge_binding(verdict: &mut Verdict, rbac: &Rbac, name: &str, holder: &Holder, without: &str) {
    let binding_ref = ObjectRef::cluster(CLUSTER_BINDING, name.to_owned());
    let role = ObjectRef::cluster(CLUSTER_ROLE, name.to_owned());
    let expected = format!("the default binding grants {role} to {holder}");
    let Some(binding) = rbac.bindings.get(&binding_ref) else {
        let finding = Finding::new(expected, "it does not exist").impact(without);
        return verdict.find(binding_ref.into(), finding.fix(RESTART));
    };
    let holds = binding.role == role && binding.holders.contains(holder);
    verdict.expect(Subject::from(&binding_ref), holds, || {
        let whom = if binding.holders.is_empty() { "no subject" } else { "other subjects" };
        Finding::new(expected, format!("it grants {} to {whom}", binding.role))
            .evidence(binding.holders.iter().map(|holder| format!("granted to {holder}")))
            .impact(without)
            .fix(updated(&binding_ref))
            .managed_by(rbac.manager(&binding_ref))
    });
}

fn updated(role_or_binding: &ObjectRef) -> String {
    format!("kubectl annotate --overwrite {} {AUTOUPDATE}=true; then {RESTART}", object(role_or_binding))
}

impl Right {
    fn is_in(&self, rules: &[PolicyRule]) -> bool {
        match self {
            Resource(verb, group, resource) => {
                rules.iter().any(|rule| rule.names.is_empty() && rule.permits(verb, group, resource))
            }
            Url(path) => rules.iter().any(|rule| rule.urls.iter().any(|url| url == path || url == "*")),
        }
    }

    fn words(&self) -> String {
        match self {
            Resource("*", "*", "*") => "everything".to_owned(),
            Resource(verb, _, resource) => format!("{verb} {resource}"),
            Url(path) => format!("get {path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::rbac::Marks;
    use crate::fact::facts::rbac::testing::rule;
    use crate::object_ref::testing::object;

    fn healthy() -> Rbac {
        let mut rbac = Rbac::default();
        for default in DEFAULTS {
            let rules = default.permits.iter().map(|right| match right {
                Resource(verb, group, resource) => rule(&[verb], group, &[resource]),
                Url(path) => PolicyRule { urls: vec![(*path).into()], ..rule(&["get"], "", &[]) },
            });
            rbac = rbac.with_role(default.role, rules.collect());
            if let Some(holder) = &default.holder {
                let role = format!("ClusterRole {}", default.role);
                rbac = rbac.with_binding(default.role, &role, &[&holder.to_string()]);
            }
        }
        for controller in CONTROLLERS {
            let (name, holder) =
                (format!("{CONTROLLER}{controller}"), format!("ServiceAccount kube-system/{controller}"));
            rbac = rbac.with_role(&name, vec![rule(&["list"], "", &["pods"])]).with_binding(
                &name,
                &format!("ClusterRole {name}"),
                &[&holder],
            );
        }
        rbac
    }

    fn found(rbac: &Rbac) -> Vec<(String, String)> {
        let findings = judge(rbac).findings(Severity::Minor);
        findings.into_iter().map(|finding| (finding.subjects[0].to_string(), finding.seen)).collect()
    }

    #[test]
    fn the_defaults_pass() {
        let verdict = judge(&healthy());
        assert!(verdict.findings(Severity::Minor).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), DEFAULTS.len() + 7 + 2 * CONTROLLERS.len());
    }

    #[test]
    fn emptied_and_narrowed_roles_are_found() {
        let rbac = healthy()
            .with_role("system:node-proxier", Vec::new())
            .with_role("system:kube-scheduler", vec![rule(&["get", "list", "watch", "update"], "", &["*"])])
            .with_role("system:controller:job-controller", Vec::new());
        assert_eq!(
            found(&rbac),
            [
                ("ClusterRole system:kube-scheduler".into(), "it lacks some of them".into()),
                ("ClusterRole system:node-proxier".into(), "it has no rules".into()),
                ("ClusterRole system:controller:job-controller".into(), "it has no rules".into()),
            ]
        );
    }

    #[test]
    fn a_role_of_another_with_the_prefix_is_not_checked() {
        let rbac = healthy().with_role("system:controller:glbc", vec![rule(&["get"], "", &["services"])]);
        assert!(found(&rbac).is_empty());
    }

    #[test]
    fn a_binding_without_its_holder_is_found() {
        let rbac = healthy()
            .with_binding("system:basic-user", "ClusterRole system:basic-user", &[])
            .without_binding("system:discovery");
        assert_eq!(
            found(&rbac),
            [
                ("ClusterRoleBinding system:discovery".into(), "it does not exist".into()),
                (
                    "ClusterRoleBinding system:basic-user".into(),
                    "it grants ClusterRole system:basic-user to no subject".into()
                ),
            ]
        );
    }

    #[test]
    fn a_role_that_is_left_alone_is_information() {
        let marks = Marks { left_alone: [object("ClusterRole view")].into(), ..Marks::default() };
        let findings = judge(&Rbac { marks, ..healthy() }).findings(Severity::Minor);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Info));
    }
}
