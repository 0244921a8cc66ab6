//! # Only administrators and the control plane can become administrator
//!
//! ## Why
//! Some rights are worth more than they look. An account that may create pods beside the control plane, tokens for its
//! service accounts or bindings of any role, that may impersonate others, or that may read a kubelet through the proxy
//! can become administrator at any time. Monitoring and deployment tools often hold such rights, and so do all of their
//! pods.
//!
//! ## Fix
//! The finding names the binding, the path and what to grant instead. List what should stay under `expect.powerful` of
//! the profile, as `Group NAME`, `User NAME` or `ServiceAccount NAMESPACE/NAME`.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/registry/rbac/escalation_check.go`, `pkg/kubelet/server/auth.go` (a GET that is upgraded
//! runs commands: `get` on `nodes/proxy` is enough);
//! <https://kubernetes.io/docs/concepts/security/rbac-good-practices/>. Roles, the roles aggregated into them, groups,
//! and the service accounts of pods are combined into the shortest path of each subject. Administrators are AA-19's.
//! Subjects that may read the control plane's Secrets are information: this leads to more only if a Secret there does.
//! Pods of other namespaces that may reach their nodes are a matter of Pod Security (AA-23).

use std::collections::BTreeSet;

use super::helpers::expected_holders::ADMINISTRATORS;
use super::helpers::power_paths::{End, Graph, Held, Path};
use super::helpers::powers::{IN_NAMESPACES, Power};
use crate::check::finding::Difference;
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::expectations::Expectations;
use crate::fact::facts::pods::Pods;
use crate::fact::facts::rbac::{CLUSTER_ROLE, Grant, Rbac};
use crate::holder::Holder;
use crate::object_ref::ObjectRef;
use crate::seen::Unobserved;
use crate::suites::rights::{about, object};

crate::check!("AA-20", "escalation", Major, judge, builds_on: ["AA-04", "AA-18"]);

/// The ClusterRoles for users, which API servers write, and those aggregated into them: a right that is removed from
/// one is removed for everyone, and comes back.
const FOR_USERS: [&str; 4] = ["admin", "edit", "view", "cluster-admin"];
const PARTS_OF_THEM: &str = "system:aggregate-to-";

fn judge(rbac: &Rbac, pods: Result<&Pods, &Unobserved>, expectations: &Expectations) -> Verdict {
    let mut verdict = Verdict::new();
    let pods = verdict.seen(Subject::cluster, &pods.map_err(Clone::clone)).copied();
    let graph = Graph::new(rbac, pods);
    let paths = graph.paths();
    for holder in graph.grants.keys() {
        let mut known = ADMINISTRATORS.iter().chain(&expectations.cluster_admins).chain(&expectations.powerful);
        if graph.is_administrator(holder) || known.any(|known| known == holder) {
            verdict.confirm();
            continue;
        }
        let mut shortest: Option<(Path, Held<'_>)> = None;
        for held in graph.own_powers(holder) {
            if let Some(why) = held.expected {
                verdict.note_about(about(holder), format!("powerful, as expected: {why}"));
                continue;
            }
            let Some(path) = graph.path(&held, &paths) else { continue };
            if shortest.as_ref().is_none_or(|(other, _)| path.weight() < other.weight()) {
                shortest = Some((path, held));
            }
        }
        match shortest {
            None => verdict.confirm(),
            Some((path, held)) => {
                let bindings = held.grants.iter().map(|grant| grant.object.into());
                verdict.find_together(bindings, 1, finding(&graph, holder, &path, &held));
            }
        }
    }
    verdict
}

fn finding(graph: &Graph<'_>, holder: &Holder, path: &Path, Held { power, grants, .. }: &Held<'_>) -> Difference {
    let fixes: BTreeSet<_> = grants.iter().map(|grant| managed_fix(graph, path, grant, power)).collect();
    let finding = Finding::new(
        "only administrators and the control plane can become administrator",
        format!("the binding leads further: {}", path.words()),
    )
    .evidence([format!("held by {}", graph.described(holder))])
    .evidence(grants.iter().map(|grant| format!("granted by {}", graph.origin(grant, power))))
    .fix(fixes.into_iter().collect::<Vec<_>>().join("; and "));
    match path.end {
        End::Administrator => finding.impact("anyone with this subject's credential can become cluster administrator"),
        End::Commands => finding.impact("anyone with this subject's credential has the rights of every pod"),
        End::Secrets => {
            finding.impact("anyone with this subject's credential has whatever rights those Secrets give").info()
        }
    }
}

/// How to reduce this grant, and where to, if something manages what is changed.
fn managed_fix(graph: &Graph<'_>, path: &Path, grant: &Grant<'_>, power: &Power) -> String {
    let (changed, fix) = fix(graph, path, grant, power);
    match graph.rbac.manager(&changed) {
        Some(manager) => manager.add_to(&fix),
        None => fix,
    }
}

/// How to reduce this grant: by its role, or by its binding where the role belongs to everyone; and which it changes.
fn fix(graph: &Graph<'_>, path: &Path, grant: &Grant<'_>, power: &Power) -> (ObjectRef, String) {
    let (namespace, role) = (grant.namespace(), &grant.binding.role);
    let source = graph.source(grant, power).map(|source| ObjectRef::cluster(CLUSTER_ROLE, source.to_owned()));
    let changed = source.as_ref().unwrap_or(role);
    let is_for_users = changed.kind == CLUSTER_ROLE
        && (FOR_USERS.contains(&changed.name.as_ref()) || changed.name.starts_with(PARTS_OF_THEM));
    let apart = path.account().filter(|_| namespace.is_some());
    let apart = apart
        .map(|account| format!("move ServiceAccount {account} to a namespace of its own, or "))
        .unwrap_or_default();
    let binding = object(grant.object);
    let fix = match (is_for_users, namespace) {
        (true, Some(_)) => format!("{apart}remove the subject from the binding: kubectl edit {binding}"),
        (true, None) => format!(
            "bind {role} to the subject by RoleBindings in the namespaces that need it, then remove the subject from \
             this binding: kubectl edit {binding}"
        ),
        (false, namespace) => {
            let less = match namespace {
                // It is granted in one namespace already.
                Some(_) if power.instead == IN_NAMESPACES => "remove the right",
                _ => power.instead,
            };
            format!("{apart}{less}: kubectl edit {}", object(changed))
        }
    };
    let edited = if is_for_users { grant.object } else { changed };
    (edited.clone(), fix)
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
        assert_eq!(
            crate::check::testing::notes(&verdict),
            ["ServiceAccount kube-system/clusterrole-aggregation-controller, deployment-controller: powerful, as \
              expected: the controller-manager"]
        );
    }

    #[test]
    fn a_role_of_many_rules_that_many_hold_is_judged_in_no_time() {
        let rules = (0..2000).map(|i| rule(&["get"], &format!("g{i}"), &["widgets"])).collect();
        let users: Vec<String> = (0..2000).map(|i| format!("User u{i:04}")).collect();
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        let mut rbac = healthy().with_role("wide", rules);
        for i in 0..20 {
            rbac = rbac.with_binding(&format!("wide-{i:02}"), "ClusterRole wide", &users);
        }
        let start = std::time::Instant::now();
        assert_eq!(seen(&rbac), Vec::<String>::new());
        // It took minutes when each holder's rules were looked at.
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
    }

    #[test]
    fn a_controller_that_was_given_more_is_found() {
        let rbac = healthy()
            .with_role("helper", vec![rule(&["create"], RBAC, &["clusterrolebindings"]), rule(&["bind"], RBAC, &["*"])])
            .with_binding("helper", "ClusterRole helper", &["ServiceAccount kube-system/deployment-controller"]);
        let findings = judged(&rbac).findings(Severity::Major);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].subjects[0].to_string(), "ClusterRoleBinding helper");
        assert!(findings[0].seen.ends_with("binds cluster-admin to any subject (bind) → everything"), "{findings:?}");
    }

    #[test]
    fn a_monitoring_account_that_reads_kubelets_by_proxy_is_found() {
        let rbac = healthy()
            .with_role("prometheus", vec![rule(&["get", "list"], "", &["nodes", "nodes/proxy"])])
            .with_binding("prometheus", "ClusterRole prometheus", &["ServiceAccount ops/prometheus"]);
        let findings = judged(&rbac).findings(Severity::Major);
        assert!(findings[0].seen.contains("runs commands in every pod"), "{findings:?}");
        assert!(findings[0].impact.as_ref().unwrap().contains("the rights of every pod"));
        assert!(
            findings[0].fix.starts_with("grant nodes/metrics")
                && findings[0].fix.ends_with("kubectl edit clusterrole prometheus")
        );
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
        let findings = judged(&rbac).findings(Severity::Major);
        let seen: Vec<_> = findings.iter().map(|finding| finding.seen.as_str()).collect();
        assert_eq!(
            seen,
            [
                "the binding leads further: runs pods with any service account in ops → ServiceAccount ops/deployer → \
                 creates tokens for any service account (serviceaccounts/token) → ServiceAccount \
                 kube-system/clusterrole-aggregation-controller → writes any right into ClusterRoles (escalate) → \
                 everything",
                "the binding leads further: creates tokens for any service account (serviceaccounts/token) → \
                 ServiceAccount kube-system/clusterrole-aggregation-controller → writes any right into ClusterRoles \
                 (escalate) → everything",
            ]
        );
        assert_eq!(findings[0].evidence, ["granted by ClusterRole edit", "held by Group developers"]);
        assert_eq!(findings[1].evidence[1], "held by ServiceAccount ops/deployer (pods that use it: 1)");
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
        assert!(findings[0].fix.ends_with(": kubectl edit role runner -n kube-system"));
    }

    #[test]
    fn an_aggregated_right_is_found_with_its_source() {
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
        assert_eq!(
            findings[0].evidence,
            [
                "granted by ClusterRole view, which aggregates it from ClusterRole view-kubelets",
                "held by Group support"
            ]
        );
        let fix = &findings[0].fix;
        assert!(
            fix.starts_with("grant nodes/metrics") && fix.ends_with("kubectl edit clusterrole view-kubelets"),
            "{fix}"
        );
    }

    #[test]
    fn the_fix_shows_what_manages_the_object_that_it_changes() {
        let fix = |managed: &str| {
            let rbac = healthy()
                .with_role("prometheus", vec![rule(&["get"], "", &["nodes/proxy"])])
                .with_binding("prometheus", "ClusterRole prometheus", &["ServiceAccount ops/prometheus"])
                .with_manager(managed);
            judged(&rbac).findings(Severity::Major)[0].fix.clone()
        };
        let advice = "kubectl edit clusterrole prometheus; change it in the source of Argo CD Application access, \
                      because the next sync reverts an edit in place";
        assert!(fix("ClusterRole prometheus").ends_with(advice), "{}", fix("ClusterRole prometheus"));
        assert!(fix("ClusterRoleBinding prometheus").ends_with("kubectl edit clusterrole prometheus"));
    }

    #[test]
    fn the_roles_for_users_are_left_alone() {
        let rbac = healthy()
            .with_role("edit", vec![rule(&["create"], "", &["pods"])])
            .with_role("tokens", vec![rule(&["create"], "", &["serviceaccounts/token"])])
            .with_binding("ops/developers", "ClusterRole edit", &["Group developers"])
            .with_binding("everyone", "ClusterRole edit", &["Group staff"])
            .with_binding("deployer", "ClusterRole tokens", &["ServiceAccount ops/deployer"]);
        let findings = judged(&rbac).findings(Severity::Major);
        let fixes: Vec<_> = findings.iter().map(|finding| finding.fix.as_str()).collect();
        let apart = "move ServiceAccount ops/deployer to a namespace of its own, or remove the subject from the \
                     binding: kubectl edit rolebinding developers -n ops";
        assert!(fixes.contains(&apart), "{fixes:?}");
        assert!(fixes.iter().any(|fix| fix.contains("kubectl edit clusterrolebinding everyone")), "{fixes:?}");
        assert!(fixes.iter().all(|fix| !fix.contains("edit clusterrole edit")), "{fixes:?}");
    }

    #[test]
    fn readers_of_secrets_are_information() {
        let rbac = healthy().with_role("backup", vec![rule(&["list"], "", &["secrets"])]).with_binding(
            "backup",
            "ClusterRole backup",
            &["ServiceAccount ops/backup"],
        );
        let findings = judged(&rbac).findings(Severity::Major);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Info));
    }

    #[test]
    fn a_subject_that_the_profile_expects_is_not_found() {
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
    fn without_pods_it_is_inconclusive() {
        let verdict = judge(&healthy(), Err(&Unobserved::Interrupted), &Expectations::default());
        assert_eq!(verdict.gaps().len(), 1);
    }
}
