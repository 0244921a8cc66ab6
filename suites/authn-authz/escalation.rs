//! # Nobody but administrators and the control plane can become administrator
//!
//! ## Why
//! Some rights are worth more than they look: who may create pods beside the control plane, tokens of its service accounts
//! or bindings of any role, who may impersonate, or who may read a kubelet by proxy, is administrator whenever they like.
//! Monitoring and deployment tools often hold such rights, and every one of their pods carries them.
//!
//! ## Fix
//! The finding names the binding, the path and what to give instead. What should stay is listed under `expect.powerful` of the
//! profile, as `Group NAME`, `User NAME` or `ServiceAccount NAMESPACE/NAME`.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/registry/rbac/escalation_check.go`, `pkg/kubelet/server/auth.go` (a GET that is upgraded runs
//! commands: `get` on `nodes/proxy` is enough); <https://kubernetes.io/docs/concepts/security/rbac-good-practices/>. Roles,
//! what is gathered into them, groups, and the service accounts that pods have, are put together to the shortest path of each
//! subject. Administrators are AA-19's. Who may read the control plane's Secrets is told: it leads to more only if a Secret
//! there does. That pods of other namespaces may reach their nodes is a matter of Pod Security (AA-23), and is not told here.

use std::collections::{BTreeMap, BTreeSet};

use super::expected_holders::ADMINISTRATORS;
use super::power_paths::{End, Graph, Path};
use super::powers::{IN_NAMESPACES, Power};
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::expectations::Expectations;
use crate::fact::facts::pods::Pods;
use crate::fact::facts::rbac::{CLUSTER_ROLE, Grant, Rbac};
use crate::holder::Holder;
use crate::object_ref::ObjectRef;
use crate::seen::Unobserved;
use crate::suites::rights;

crate::check!("AA-20", "escalation", Major, judge);

/// The ClusterRoles for users, which API servers bring, and what these gather: to take a right out of one takes it from
/// everybody, and not for long.
const FOR_USERS: [&str; 4] = ["admin", "edit", "view", "cluster-admin"];
const PARTS_OF_THEM: &str = "system:aggregate-to-";

/// Who gets there in one way, by which grants, and what it comes to.
type Found<'a> = (Vec<&'a Holder>, Vec<Grant<'a>>, &'a Power);

fn judge(rbac: &Rbac, pods: Result<&Pods, &Unobserved>, expectations: &Expectations) -> Verdict {
    let mut verdict = Verdict::new();
    let pods = verdict.seen(Subject::cluster, &pods.map_err(Clone::clone)).copied();
    let graph = Graph::new(rbac, pods);
    let paths = graph.paths();
    let mut expected: BTreeMap<&str, BTreeSet<&Holder>> = BTreeMap::new();
    let mut found: BTreeMap<(Path, Vec<&ObjectRef>), Found<'_>> = BTreeMap::new();
    for holder in graph.grants.keys() {
        let mut known = ADMINISTRATORS.iter().chain(&expectations.cluster_admins).chain(&expectations.powerful);
        if graph.is_administrator(holder) || known.any(|known| known == holder) {
            verdict.confirm();
            continue;
        }
        let mut shortest: Option<(Path, &Power, Vec<Grant<'_>>)> = None;
        for held in graph.own_powers(holder) {
            if let Some(why) = held.expected {
                expected.entry(why).or_default().insert(holder);
                continue;
            }
            let Some(path) = graph.path(&held, &paths) else { continue };
            if shortest.as_ref().is_none_or(|(other, ..)| path.weight() < other.weight()) {
                shortest = Some((path, held.power, held.grants));
            }
        }
        match shortest {
            None => verdict.confirm(),
            Some((path, power, grants)) => {
                let bindings = grants.iter().map(|grant| grant.object).collect();
                found.entry((path, bindings)).or_insert((Vec::new(), grants, power)).0.push(holder);
            }
        }
    }
    for ((path, _), (holders, grants, power)) in &found {
        tell(&mut verdict, &graph, path, holders, grants, power);
    }
    for (why, holders) in expected {
        let holders: Vec<_> = holders.into_iter().collect();
        verdict.note(format!("expected of {why}: {}", crate::check::names(&holders)));
    }
    verdict
}

fn tell(
    verdict: &mut Verdict,
    graph: &Graph<'_>,
    path: &Path,
    holders: &[&Holder],
    grants: &[Grant<'_>],
    power: &Power,
) {
    let holders: Vec<_> = holders.iter().map(|holder| graph.described(holder)).collect();
    let roles: BTreeSet<_> = grants.iter().map(|grant| graph.origin(grant, power)).collect();
    let roles = roles.into_iter().collect::<Vec<_>>().join(" and ");
    let about = grants.first().map_or_else(Subject::cluster, |grant| grant.object.into());
    let finding = Finding::new(
        "only administrators and the control plane can become administrator",
        format!("{} by {roles}: {}", holders.join(", "), path.words()),
    );
    let mends: BTreeSet<_> = grants.iter().map(|grant| mend(graph, path, grant, power)).collect();
    let finding = finding.mend(mends.into_iter().collect::<Vec<_>>().join("; and "));
    let finding = match path.end {
        End::Administrator => finding.so("whoever has its credential is administrator whenever they like"),
        End::Commands => finding.so("whoever has its credential is every pod, whatever those may do"),
        End::Secrets => finding.so("whoever has its credential is whatever those Secrets let them be").info(),
    };
    verdict.find(about, finding);
}

/// How this grant is made less: its role changed, where it is somebody's own; else its binding.
fn mend(graph: &Graph<'_>, path: &Path, grant: &Grant<'_>, power: &Power) -> String {
    let (ObjectRef { namespace, name, .. }, role) = (grant.object, &grant.binding.role);
    let source = graph.source(grant, power).map(|source| ObjectRef::cluster(CLUSTER_ROLE, source.to_owned()));
    let changed = source.as_ref().unwrap_or(role);
    let is_for_users = changed.kind == CLUSTER_ROLE
        && (FOR_USERS.contains(&changed.name.as_ref()) || changed.name.starts_with(PARTS_OF_THEM));
    let apart = path.account().filter(|_| namespace.is_some());
    let apart = apart
        .map(|account| format!("move ServiceAccount {account} to a namespace of its own, or "))
        .unwrap_or_default();
    match (is_for_users, namespace) {
        (true, Some(namespace)) => {
            format!(
                "{apart}take the subject out of the binding: kubectl -n {namespace} edit rolebinding {name} (or delete it, if \
                 nobody else is in it)"
            )
        }
        (true, None) => format!(
            "bind {role} to the subject by RoleBindings in the namespaces that are meant, then take it out of the other: \
             kubectl edit clusterrolebinding {name} (or delete it, if nobody else is in it)"
        ),
        (false, namespace) => {
            let less = match namespace {
                // It is given in one namespace already.
                Some(_) if power.instead == IN_NAMESPACES => "take the right away",
                _ => power.instead,
            };
            format!("{apart}kubectl edit {}: {less}", rights::object(changed))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::pods::Pod;
    use crate::fact::facts::rbac::Marks;
    use crate::fact::facts::rbac::testing::rule;
    use crate::object_ref::testing::named;

    const RBAC: &str = "rbac.authorization.k8s.io";

    fn healthy() -> Rbac {
        let controller = "system:controller:deployment-controller";
        let aggregation = "system:controller:clusterrole-aggregation-controller";
        Rbac::default()
            .with_role("cluster-admin", vec![rule(&["*"], "*", &["*"])])
            .with_binding("cluster-admin", "ClusterRole cluster-admin", &["Group system:masters"])
            .with_role(controller, vec![rule(&["create", "update"], "apps", &["replicasets"])])
            .with_binding(
                controller,
                &format!("ClusterRole {controller}"),
                &["ServiceAccount kube-system/deployment-controller"],
            )
            .with_role(aggregation, vec![rule(&["escalate", "update"], RBAC, &["clusterroles"])])
            .with_binding(
                aggregation,
                &format!("ClusterRole {aggregation}"),
                &["ServiceAccount kube-system/clusterrole-aggregation-controller"],
            )
    }

    fn pods() -> Pods {
        let pod = |namespace: &str, account: &str| Pod {
            namespace: namespace.into(),
            service_account: account.into(),
            ..Pod::default()
        };
        Pods([(named("ops/a"), pod("ops", "deployer")), (named("web/a"), pod("web", "default"))].into())
    }

    fn judged(rbac: &Rbac) -> Verdict {
        judge(rbac, Ok(&pods()), &Expectations::default())
    }

    fn seen(rbac: &Rbac) -> Vec<String> {
        judged(rbac).findings(Severity::Major).into_iter().map(|finding| finding.seen).collect()
    }

    #[test]
    fn the_control_plane_is_expected() {
        let verdict = judged(&healthy());
        assert!(verdict.findings(Severity::Major).is_empty(), "{:?}", verdict.findings(Severity::Major));
        assert_eq!(verdict.observations(), 3);
        assert!(
            crate::check::testing::notes(&verdict)[0].contains("kube-system/deployment-controller"),
            "{:?}",
            crate::check::testing::notes(&verdict)
        );
    }

    #[test]
    fn a_controller_that_was_given_more_is_found() {
        let rbac = healthy()
            .with_role("helper", vec![rule(&["create"], RBAC, &["clusterrolebindings"]), rule(&["bind"], RBAC, &["*"])])
            .with_binding("helper", "ClusterRole helper", &["ServiceAccount kube-system/deployment-controller"]);
        let findings = judged(&rbac).findings(Severity::Major);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].subjects[0].to_string(), "ClusterRoleBinding helper");
        assert!(findings[0].seen.ends_with("binds cluster-admin to whom it likes (bind) → everything"), "{findings:?}");
    }

    #[test]
    fn a_monitoring_account_that_reads_kubelets_by_proxy_is_found() {
        let rbac = healthy()
            .with_role("prometheus", vec![rule(&["get", "list"], "", &["nodes", "nodes/proxy"])])
            .with_binding("prometheus", "ClusterRole prometheus", &["ServiceAccount ops/prometheus"]);
        let findings = judged(&rbac).findings(Severity::Major);
        assert!(findings[0].seen.contains("runs commands in every pod"), "{findings:?}");
        assert!(findings[0].impact.as_ref().unwrap().contains("every pod"));
        assert!(findings[0].fix.starts_with("kubectl edit clusterrole prometheus: give nodes/metrics"));
        let mirror = Pod {
            namespace: "kube-system".into(),
            labels: [("component".to_owned(), "etcd".to_owned())].into(),
            annotations: [("kubernetes.io/config.mirror".to_owned(), "a".to_owned())].into(),
            ..Pod::default()
        };
        let pods = Pods([(named("kube-system/etcd"), mirror)].into());
        let findings = judge(&rbac, Ok(&pods), &Expectations::default()).findings(Severity::Major);
        assert!(findings[0].seen.ends_with("→ the pods of the control plane → everything"), "{findings:?}");
    }

    #[test]
    fn a_path_leads_over_service_accounts() {
        let rbac = healthy()
            .with_role("edit", vec![rule(&["create"], "", &["pods"])])
            .with_role("tokens", vec![rule(&["create"], "", &["serviceaccounts/token"])])
            .with_binding("ops/developers", "ClusterRole edit", &["Group developers"])
            .with_binding("web/developers", "ClusterRole edit", &["Group developers"])
            .with_binding("deployer", "ClusterRole tokens", &["User system:serviceaccount:ops:deployer"]);
        assert_eq!(
            seen(&rbac),
            [
                "ServiceAccount ops/deployer (pods that have it: 1) by ClusterRole tokens: creates tokens of any service \
                 account (serviceaccounts/token) → ServiceAccount kube-system/clusterrole-aggregation-controller → \
                 writes any right into ClusterRoles (escalate) → everything",
                "Group developers by ClusterRole edit: runs pods with any service account \
                 in ops → ServiceAccount ops/deployer → creates tokens of any service account (serviceaccounts/token) → \
                 ServiceAccount kube-system/clusterrole-aggregation-controller → writes any right into ClusterRoles \
                 (escalate) → everything",
            ]
        );
    }

    #[test]
    fn pods_of_a_namespace_without_powerful_accounts_lead_nowhere() {
        let rbac = healthy()
            .with_role("edit", vec![rule(&["*"], "", &["pods", "pods/exec", "secrets", "serviceaccounts/token"])])
            .with_binding("web/developers", "ClusterRole edit", &["Group developers"]);
        assert!(seen(&rbac).is_empty());
    }

    #[test]
    fn pods_beside_the_control_plane_lead_everywhere() {
        let rbac = healthy().with_role("kube-system/runner", vec![rule(&["create"], "", &["pods"])]).with_binding(
            "kube-system/runner",
            "Role runner",
            &["ServiceAccount kube-system/default"],
        );
        let findings = judged(&rbac).findings(Severity::Major);
        assert!(
            findings[0].seen.ends_with("in kube-system → a pod beside the control plane → everything"),
            "{findings:?}"
        );
        assert!(findings[0].fix.starts_with("kubectl edit role runner -n kube-system"));
    }

    #[test]
    fn a_gathered_right_is_told_with_its_source() {
        let label = || [("rbac.example.com/aggregate-to-view".to_owned(), "true".to_owned())].into();
        let marks = Marks {
            gathered: [("view".to_owned(), vec![label()])].into(),
            labels: [("view-kubelets".to_owned(), label())].into(),
            ..Marks::default()
        };
        let proxy = || vec![rule(&["get"], "", &["nodes/proxy"])];
        let rbac = healthy().with_role("view", proxy()).with_role("view-kubelets", proxy()).with_binding(
            "support",
            "ClusterRole view",
            &["Group support"],
        );
        let findings = judged(&Rbac { marks, ..rbac }).findings(Severity::Major);
        let seen: Vec<_> = findings.iter().map(|finding| finding.seen.as_str()).collect();
        assert!(
            seen[0].starts_with("Group support by ClusterRole view, which gathers it from ClusterRole view-kubelets")
        );
        let mend = &findings[0].fix;
        assert!(mend.starts_with("kubectl edit clusterrole view-kubelets: give nodes/metrics"), "{mend}");
    }

    #[test]
    fn the_roles_for_users_are_left_alone() {
        let rbac = healthy()
            .with_role("edit", vec![rule(&["create"], "", &["pods"])])
            .with_role("tokens", vec![rule(&["create"], "", &["serviceaccounts/token"])])
            .with_binding("ops/developers", "ClusterRole edit", &["Group developers"])
            .with_binding("everybody", "ClusterRole edit", &["Group staff"])
            .with_binding("deployer", "ClusterRole tokens", &["ServiceAccount ops/deployer"]);
        let findings = judged(&rbac).findings(Severity::Major);
        let mends: Vec<_> = findings.iter().map(|finding| finding.fix.as_str()).collect();
        let apart = "move ServiceAccount ops/deployer to a namespace of its own, or take the subject out of the \
                     binding: kubectl -n ops edit rolebinding developers (or delete it, if nobody else is in it)";
        assert!(mends.contains(&apart), "{mends:?}");
        assert!(mends.iter().any(|mend| mend.contains("kubectl edit clusterrolebinding everybody")), "{mends:?}");
        assert!(mends.iter().all(|mend| !mend.contains("edit clusterrole edit")), "{mends:?}");
    }

    #[test]
    fn readers_of_secrets_are_told() {
        let rbac = healthy().with_role("backup", vec![rule(&["list"], "", &["secrets"])]).with_binding(
            "backup",
            "ClusterRole backup",
            &["ServiceAccount ops/backup"],
        );
        let findings = judged(&rbac).findings(Severity::Major);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Info));
    }

    #[test]
    fn who_is_expected_by_the_profile_is_not_found() {
        let rbac = healthy().with_role("deployer", vec![rule(&["create"], "", &["pods"])]).with_binding(
            "deployer",
            "ClusterRole deployer",
            &["ServiceAccount ops/deployer"],
        );
        assert_eq!(seen(&rbac).len(), 1);
        let expectations =
            Expectations { powerful: vec![Holder::account("ops", "deployer")], ..Expectations::default() };
        assert!(judge(&rbac, Ok(&pods()), &expectations).findings(Severity::Major).is_empty());
    }

    #[test]
    fn without_pods_it_is_undecided() {
        let verdict = judge(&healthy(), Err(&Unobserved::Interrupted), &Expectations::default());
        assert_eq!(verdict.gaps().len(), 1);
    }
}
