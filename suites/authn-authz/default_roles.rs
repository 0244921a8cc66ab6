//! # The default roles and bindings of Kubernetes say what they should
//!
//! ## Why
//! The control plane, kube-proxy and every user live on roles that the API server itself writes. One that was emptied,
//! narrowed or taken from its holder, and that API servers were told to leave alone, breaks a component at its next restart
//! or upgrade, with refusals in a log that nobody reads.
//!
//! ## Fix
//! `kubectl annotate --overwrite clusterrole NAME rbac.authorization.kubernetes.io/autoupdate=true` (or `clusterrolebinding`),
//! then restart an API server: it puts the object right when it starts. It adds what is missing and takes nothing away.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/rbac/bootstrappolicy` (`policy.go`, `controller_policy.go`);
//! <https://kubernetes.io/docs/reference/access-authn-authz/rbac/#auto-reconciliation>. Of each role only a few rights are
//! looked at, without which its holder does not work in any version. An object that was deleted comes back when an API server
//! starts; what stays broken is one that was changed and is left alone.

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::rbac::{AUTOUPDATE, CLUSTER_BINDING, CLUSTER_ROLE, PolicyRule, Rbac};
use crate::holder::Holder;
use crate::object_ref::{NamespacedName, ObjectRef};
use crate::suites::rights::{self, listed};

crate::check!("AA-21", "default-roles", Minor, judge);

/// A default role.
struct Default {
    role: &'static str,
    /// What it permits at least: verb, API group and resource; a verb and a path for a non-resource URL.
    permits: &'static [Right],
    /// Who holds it, by the binding of the same name.
    holder: Option<Holder>,
    /// What does not work without it.
    so: &'static str,
}

enum Right {
    Resource(&'static str, &'static str, &'static str),
    Url(&'static str),
}
use Right::{Resource, Url};

const CERTIFICATES: &str = "certificates.k8s.io";
const DEFAULTS: &[Default] = &[
    Default {
        role: "cluster-admin",
        permits: &[Resource("*", "*", "*")],
        holder: Some(Holder::group("system:masters")),
        so: "administrators are none",
    },
    Default {
        role: "system:discovery",
        permits: &[Url("/api"), Url("/apis"), Url("/version")],
        holder: Some(Holder::group("system:authenticated")),
        so: "clients do not learn which APIs there are, and kubectl fails for everybody but administrators",
    },
    Default {
        role: "system:basic-user",
        permits: &[Resource("create", "authorization.k8s.io", "selfsubjectaccessreviews")],
        holder: Some(Holder::group("system:authenticated")),
        so: "nobody may ask what they may do: kubectl auth can-i, dashboards and operators fail",
    },
    Default {
        role: "system:public-info-viewer",
        permits: &[Url("/healthz"), Url("/livez"), Url("/readyz"), Url("/version")],
        holder: Some(Holder::group("system:unauthenticated")),
        so: "probes and load balancers that ask for health without a credential see a dead API server",
    },
    Default {
        role: "system:kube-controller-manager",
        permits: &[Resource("create", "", "serviceaccounts/token"), Resource("watch", "", "pods")],
        holder: Some(Holder::user("system:kube-controller-manager")),
        so: "the controller-manager cannot run its controllers",
    },
    Default {
        role: "system:kube-scheduler",
        permits: &[
            Resource("create", "", "pods/binding"),
            Resource("watch", "", "pods"),
            Resource("watch", "", "nodes"),
            Resource("update", "", "pods/status"),
        ],
        holder: Some(Holder::user("system:kube-scheduler")),
        so: "no pod is scheduled",
    },
    Default {
        role: "system:volume-scheduler",
        permits: &[Resource("watch", "", "persistentvolumes")],
        holder: Some(Holder::user("system:kube-scheduler")),
        so: "no pod with a volume is scheduled",
    },
    Default {
        role: "system:node-proxier",
        permits: &[
            Resource("watch", "", "services"),
            Resource("watch", "", "nodes"),
            Resource("watch", "discovery.k8s.io", "endpointslices"),
        ],
        holder: None,
        so: "kube-proxy does not learn of services and their endpoints",
    },
    Default {
        role: "system:kubelet-api-admin",
        permits: &[Resource("create", "", "nodes/proxy"), Resource("get", "", "nodes/log")],
        holder: None,
        so: "the API server cannot fetch logs from kubelets, or run commands there",
    },
    Default {
        role: "system:node-bootstrapper",
        permits: &[Resource("create", CERTIFICATES, "certificatesigningrequests")],
        holder: None,
        so: "no node joins with a bootstrap token",
    },
    Default {
        role: "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        permits: &[Resource("create", CERTIFICATES, "certificatesigningrequests/nodeclient")],
        holder: None,
        so: "new nodes are not approved",
    },
    Default {
        role: "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        permits: &[Resource("create", CERTIFICATES, "certificatesigningrequests/selfnodeclient")],
        holder: None,
        so: "nodes do not get a new certificate, and drop out when theirs expires",
    },
    Default {
        role: "system:auth-delegator",
        permits: &[
            Resource("create", "authentication.k8s.io", "tokenreviews"),
            Resource("create", "authorization.k8s.io", "subjectaccessreviews"),
        ],
        holder: None,
        so: "aggregated API servers cannot tell who asks them",
    },
    Default {
        role: "admin",
        permits: &[Resource("create", "rbac.authorization.k8s.io", "rolebindings"), Resource("create", "", "pods")],
        holder: None,
        so: "administrators of a namespace cannot work",
    },
    Default {
        role: "edit",
        permits: &[Resource("create", "", "pods"), Resource("update", "apps", "deployments")],
        holder: None,
        so: "those who deploy into a namespace cannot work",
    },
    Default {
        role: "view",
        permits: &[Resource("get", "", "pods"), Resource("list", "apps", "deployments")],
        holder: None,
        so: "those who look at a namespace see nothing",
    },
];

/// The prefix of the roles of the controller-manager's controllers, each of which has a service account of that name.
const CONTROLLER: &str = "system:controller:";
/// Those that every version has.
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
        judge_role(&mut verdict, rbac, default.role, default.permits, default.so);
        if let Some(holder) = &default.holder {
            judge_binding(&mut verdict, rbac, default.role, holder, default.so);
        }
    }
    // Others borrow the prefix for roles that are bound in another way, as GKE does; those are theirs.
    let roles = rbac.roles.keys().filter(|role| role.kind == CLUSTER_ROLE).map(|role| role.name.as_ref());
    let found = roles.filter(|name| rbac.cluster_binding(name).is_some());
    let found = found.filter_map(|name| name.strip_prefix(CONTROLLER));
    let mut controllers: Vec<&str> = CONTROLLERS.into_iter().chain(found).collect();
    controllers.sort_unstable();
    controllers.dedup();
    for controller in controllers {
        let name = format!("{CONTROLLER}{controller}");
        let so = format!("the {controller} of the controller-manager does not work");
        judge_role(&mut verdict, rbac, &name, &[], &so);
        let account = Holder::ServiceAccount(NamespacedName::new("kube-system", controller.to_owned()));
        judge_binding(&mut verdict, rbac, &name, &account, &so);
    }
    for object in &rbac.marks.left_alone {
        verdict.find(
            object.into(),
            Finding::new("API servers keep it up to date", format!("{AUTOUPDATE} is false"))
                .so("upgrades do not give it the rights that new versions need")
                .mend(updated(object))
                .info(),
        );
    }
    verdict
}

fn judge_role(verdict: &mut Verdict, rbac: &Rbac, name: &str, permits: &[Right], so: &str) {
    let role = ObjectRef::cluster(CLUSTER_ROLE, name.to_owned());
    let Some(rules) = rbac.rules(&role) else {
        let finding = Finding::new("Kubernetes' own ClusterRole", "it does not exist").so(so);
        return verdict.find(role.into(), finding.mend("restart an API server: it makes it again"));
    };
    let missing: Vec<_> = permits.iter().filter(|right| !right.is_in(rules)).map(Right::words).collect();
    let expected = match permits {
        [] => "it permits something".to_owned(),
        all => format!("it permits {}", all.iter().map(Right::words).collect::<Vec<_>>().join(", ")),
    };
    verdict.expect(Subject::from(&role), missing.is_empty() && !rules.is_empty(), || {
        let seen = match (rules.is_empty(), missing.as_slice()) {
            (true, _) => "it has no rules".to_owned(),
            (false, missing) => format!("it does not permit {}", missing.join(", ")),
        };
        Finding::new(expected, seen).so(so).mend(updated(&role))
    });
}

fn judge_binding(verdict: &mut Verdict, rbac: &Rbac, name: &str, holder: &Holder, so: &str) {
    let object = ObjectRef::cluster(CLUSTER_BINDING, name.to_owned());
    let role = ObjectRef::cluster(CLUSTER_ROLE, name.to_owned());
    let Some(binding) = rbac.bindings.get(&object) else {
        let finding = Finding::new(format!("it gives {role} to {holder}"), "it does not exist").so(so);
        return verdict.find(object.into(), finding.mend("restart an API server: it makes it again"));
    };
    let holds = binding.role == role && binding.holders.contains(holder);
    verdict.expect(Subject::from(&object), holds, || {
        let holders: Vec<_> = binding.holders.iter().collect();
        let to = if holders.is_empty() { "nobody".to_owned() } else { listed(&holders) };
        Finding::new(format!("it gives {role} to {holder}"), format!("it gives {} to {to}", binding.role))
            .so(so)
            .mend(updated(&object))
    });
}

fn updated(role_or_binding: &ObjectRef) -> String {
    format!(
        "kubectl annotate --overwrite {} {AUTOUPDATE}=true, then restart an API server",
        rights::object(role_or_binding)
    )
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
    fn the_defaults_are_right() {
        let verdict = judge(&healthy());
        assert!(verdict.findings(Severity::Minor).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), DEFAULTS.len() + 7 + 2 * CONTROLLERS.len());
    }

    #[test]
    fn an_emptied_role_is_found_and_so_is_a_narrowed_one() {
        let rbac = healthy()
            .with_role("system:node-proxier", Vec::new())
            .with_role("system:kube-scheduler", vec![rule(&["get", "list", "watch", "update"], "", &["*"])])
            .with_role("system:controller:job-controller", Vec::new());
        assert_eq!(
            found(&rbac),
            [
                ("ClusterRole system:kube-scheduler".into(), "it does not permit create pods/binding".into()),
                ("ClusterRole system:node-proxier".into(), "it has no rules".into()),
                ("ClusterRole system:controller:job-controller".into(), "it has no rules".into()),
            ]
        );
    }

    #[test]
    fn a_role_that_only_looks_like_a_controllers_is_not_ours() {
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
                    "it gives ClusterRole system:basic-user to nobody".into()
                ),
            ]
        );
    }

    #[test]
    fn a_role_that_is_left_alone_is_told() {
        let marks = Marks { left_alone: [object("ClusterRole view")].into(), ..Marks::default() };
        let findings = judge(&Rbac { marks, ..healthy() }).findings(Severity::Minor);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Info));
    }
}
