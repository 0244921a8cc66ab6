//! # Only administrators and the control plane can become administrator
//!
//! ## Why
//! Some rights are worth more than they look. An account that may create pods beside the control plane, tokens for its
//! service accounts or bindings of any role, that may impersonate others, or that may read a kubelet through the proxy
//! can become administrator at any time. Monitoring and deployment tools often hold such rights, and so do all of their
//! pods.
//!
//! ## Fix
//! The finding lists each subject with its path, and what to grant instead. List what should stay under
//! `expect.powerful` of the profile, as `Group NAME`, `User NAME` or `ServiceAccount NAMESPACE/NAME`: the finding
//! contains the entry.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/registry/rbac/escalation_check.go`, `pkg/kubelet/server/auth.go` (a GET that is upgraded
//! runs commands: `get` on `nodes/proxy` is enough);
//! <https://kubernetes.io/docs/concepts/security/rbac-good-practices/>. Roles, the roles aggregated into them, groups,
//! and the service accounts of pods are combined into the shortest path of each subject. Administrators are AA-19's.
//! Subjects that may read the control plane's Secrets are information: this leads to more only if a Secret there does.
//! Add-ons are recognised by the labels and names that their own manifests set, in any namespace, and only for the
//! powers that those manifests give (`helpers/add_ons.yaml` has the source of each); they are listed as notes, because
//! a label can be forged. One power more is a finding. All other holders are one finding, whatever their labels are.
//! Pods of other namespaces that may reach their nodes are a matter of Pod Security (AA-23).

use std::collections::{BTreeMap, BTreeSet};

use super::helpers::add_ons::{AddOn, origin};
use super::helpers::expected_holders::ADMINISTRATORS;
use super::helpers::path::{End, Path};
use super::helpers::power_paths::{Graph, Held, account};
use super::helpers::power_removal::fixes;
use crate::check::finding::{Difference, Draft, Unfixed};
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::expectations::Expectations;
use crate::fact::facts::pods::Pods;
use crate::fact::facts::rbac::Rbac;
use crate::holder::Holder;
use crate::seen::Unobserved;
use crate::suites::rights::about;

crate::check!("AA-20", "escalation", Major, judge, builds_on: ["AA-04", "AA-18", "DI-07"]);

/// The most holders whose fixes are part of the finding's own. Those of more are listed with each.
const FEW: usize = 3;

/// The groups of all users, nodes and bootstrap tokens; some have parts of their own.
const SHARED_GROUPS: [&str; 5] = [
    "system:authenticated",
    "system:bootstrappers",
    "system:nodes",
    "system:serviceaccounts",
    "system:unauthenticated",
];

/// A holder with a power that is not expected of it.
struct Unexpected<'a> {
    holder: &'a Holder,
    path: Path,
    held: Held<'a>,
    /// All that it does by such powers.
    deeds: BTreeSet<&'static str>,
    /// What shows that it is part of an add-on that is not known. A label can be forged: this is to find its owner by.
    origin: Option<String>,
}

/// What unexpected holders have in common, the worst first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// They can become administrator, or have the rights of every pod.
    Powerful,
    /// They read the control plane's Secrets.
    Readers,
}

fn judge(rbac: &Rbac, pods: Result<&Pods, &Unobserved>, expectations: &Expectations) -> Verdict {
    let mut verdict = Verdict::new();
    let pods = verdict.seen(Subject::cluster, &pods.map_err(Clone::clone)).copied();
    let graph = Graph::new(rbac, pods);
    let paths = graph.paths();
    let mut unknown: BTreeMap<Class, Vec<Unexpected<'_>>> = BTreeMap::new();
    for holder in graph.grants.keys() {
        let mut known = ADMINISTRATORS.iter().chain(&expectations.cluster_admins).chain(&expectations.powerful);
        if graph.is_administrator(holder) || known.any(|known| known == holder) {
            verdict.confirm();
            continue;
        }
        let add_on = graph.add_ons(holder).first().copied();
        let (expected, others): (Vec<_>, Vec<_>) =
            graph.own_powers(holder).into_iter().partition(|held| held.expected.is_some());
        for reason in expected.iter().filter_map(|held| held.expected) {
            verdict.note_about(about(holder), reason.to_string());
        }
        let leading: Vec<_> =
            others.into_iter().filter_map(|held| Some((graph.path_of(holder, &held, &paths)?, held))).collect();
        let deeds = leading.iter().map(|(_, held)| held.power.deed).collect();
        let Some((path, held)) = leading.into_iter().min_by(|(a, _), (b, _)| a.weight().cmp(&b.weight())) else {
            if let Some(add_on) = add_on.filter(|_| expected.is_empty()) {
                verdict.note_about(
                    about(holder),
                    format!("part of {add_on}; none of its rights allows privilege escalation"),
                );
            }
            verdict.confirm();
            continue;
        };
        let origin = origin_of(rbac, holder, &held);
        let it = Unexpected { holder, path, held, deeds, origin };
        match add_on {
            Some(add_on) => {
                let bindings = it.held.grants.iter().map(|grant| grant.object.into());
                verdict.find_together(bindings, 1, beyond_manifests(&graph, &it, add_on));
            }
            None if has_its_own_check(holder) => {
                let bindings = it.held.grants.iter().map(|grant| grant.object.into());
                verdict.find_together(bindings, 1, of_everyone(&graph, &it));
            }
            None => unknown.entry(it.class()).or_default().push(it),
        }
    }
    for (class, all) in unknown {
        let bindings = all.iter().flat_map(|it| &it.held.grants).map(|grant| grant.object.into());
        verdict.find_together(bindings, all.len(), unexpected(&graph, class, &all));
    }
    verdict
}

/// Whether other checks judge what is granted to a holder: to nodes, to bootstrap tokens, to all users, and to pods that
/// name no service account.
fn has_its_own_check(holder: &Holder) -> bool {
    let is_one = |families: &[&str], name: &str| {
        let mut rest = families.iter().filter_map(|family| name.strip_prefix(family));
        rest.any(|rest| rest.is_empty() || rest.starts_with(':'))
    };
    match holder {
        Holder::Group(name) => is_one(&SHARED_GROUPS, name),
        Holder::User(name) => is_one(&["system:anonymous", "system:bootstrap", "system:node"], name),
        Holder::ServiceAccount(account) => account.name == "default",
    }
}

/// What shows that the first step of a holder is part of an add-on that is not known.
fn origin_of(rbac: &Rbac, holder: &Holder, held: &Held<'_>) -> Option<String> {
    held.grants.iter().find_map(|grant| origin(rbac, grant, account(holder)?))
}

impl Unexpected<'_> {
    fn class(&self) -> Class {
        match self.path.end {
            End::Secrets => Class::Readers,
            End::Administrator | End::Commands => Class::Powerful,
        }
    }

    /// This text as evidence about each binding that grants its first step.
    fn about_bindings(&self, text: &str) -> Vec<(Subject, String)> {
        self.held.grants.iter().map(|grant| (grant.object.into(), text.to_owned())).collect()
    }

    /// The holder, its path, and what grants its first step.
    fn described(&self, graph: &Graph<'_>) -> String {
        let Held { power, grants, .. } = &self.held;
        let origins: BTreeSet<_> = grants.iter().map(|grant| graph.origin(grant, power)).collect();
        let origins = origins.into_iter().collect::<Vec<_>>().join(" and ");
        let origin = self.origin.as_ref().map(|origin| format!(" ({origin})")).unwrap_or_default();
        format!("{}: {}; granted by {origins}{origin}", graph.described(self.holder), self.path.words())
    }
}

/// The finding about all holders of a class.
fn unexpected(graph: &Graph<'_>, class: Class, all: &[Unexpected<'_>]) -> Difference {
    let seen = match all {
        [it] => format!("{} has rights that allow privilege escalation: {}", it.holder, it.path.words()),
        _ => format!("{} other subjects have rights that allow privilege escalation", all.len()),
    };
    let finding = Finding::new(
        "only administrators, the control plane and known add-ons have rights that allow privilege escalation",
        seen,
    )
    .comes_from_its_subjects();
    let expected = profile_entry(all.iter().map(|it| it.holder));
    let finding = if all.len() > FEW {
        let described = |it: &Unexpected<'_>| {
            let fixes = fixes(graph, &it.path, &it.held).into_iter().collect::<Vec<_>>().join("; and ");
            format!("{}. If this is not intended, {fixes}", it.described(graph))
        };
        finding.evidence_of(all.iter().flat_map(|it| it.about_bindings(&described(it)))).fix(format!(
            "add to the profile those that are intended: {expected}; for each other one, the list shows what to change"
        ))
    } else {
        let fixes: BTreeSet<_> = all.iter().flat_map(|it| fixes(graph, &it.path, &it.held)).collect();
        let fixes = fixes.into_iter().collect::<Vec<_>>().join("; and ");
        finding
            .evidence_of(all.iter().flat_map(|it| it.about_bindings(&it.described(graph))))
            .fix(format!("if this is intended, add to the profile: {expected}; otherwise {fixes}"))
    };
    let anyone = "anyone with the credential of one of these subjects";
    match class {
        Class::Powerful => {
            let ends: BTreeSet<_> = all.iter().map(|it| it.path.end).collect();
            let can = "can become cluster administrator";
            let has = "has the rights of every pod";
            finding.impact(match (ends.contains(&End::Administrator), ends.contains(&End::Commands)) {
                (true, true) => format!("{anyone} {can} or {has}, as the list shows"),
                (false, _) => format!("{anyone} {has}"),
                (true, false) => format!("{anyone} {can}"),
            })
        }
        Class::Readers => finding.impact(format!("{anyone} has whatever rights those Secrets give")).info(),
    }
}

/// The finding about a holder that everyone, every node or every bootstrap token is. It follows from what the check of such
/// bindings finds about the same one.
fn of_everyone(graph: &Graph<'_>, it: &Unexpected<'_>) -> Difference {
    let finding = Finding::new(
        "users, nodes, bootstrap tokens and default service accounts have no rights that allow privilege escalation",
        format!("{} has rights that allow privilege escalation: {}", it.holder, it.path.words()),
    );
    only_about(graph, it, finding)
}

/// The finding about a part of a known add-on that has more powers than its manifests give it.
fn beyond_manifests(graph: &Graph<'_>, it: &Unexpected<'_>, add_on: &AddOn) -> Difference {
    let finding = Finding::new(
        format!("{} has the powers that the manifests of {add_on} give it", it.holder),
        format!("it has more: {}", it.path.words()),
    );
    only_about(graph, it, finding.evidence(it.deeds.iter().map(|deed| format!("not in its manifests: {deed}"))))
}

/// A finding about one holder, whose rights are to be reduced in the first place.
fn only_about(graph: &Graph<'_>, it: &Unexpected<'_>, finding: Draft<Unfixed>) -> Difference {
    let fixes = fixes(graph, &it.path, &it.held).into_iter().collect::<Vec<_>>().join("; and ");
    let expected = profile_entry([it.holder]);
    let finding = finding
        .evidence([it.described(graph)])
        .fix(format!("{fixes}; if this is intended, add to the profile: {expected}"))
        .comes_from_its_subjects();
    match it.path.end {
        End::Administrator => finding.impact("anyone with this subject's credential can become cluster administrator"),
        End::Commands => finding.impact("anyone with this subject's credential has the rights of every pod"),
        End::Secrets => {
            finding.impact("anyone with this subject's credential has whatever rights those Secrets give").info()
        }
    }
}

/// The entry of a profile that expects holders to be powerful, as YAML that can be pasted.
fn profile_entry<'a>(holders: impl IntoIterator<Item = &'a Holder>) -> String {
    let holders: Vec<_> = holders.into_iter().map(|holder| format!("{:?}", holder.to_string())).collect();
    format!("expect: {{powerful: [{}]}}", holders.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::pods::Pod;
    use crate::fact::facts::rbac::testing::rule;
    use crate::fact::facts::rbac::{Marks, PolicyRule};
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
    fn many_powerful_accounts_in_many_namespaces_are_judged_in_no_time() {
        let accounts: Vec<String> = (0..50).map(|i| format!("ServiceAccount n{i:02}/a{i:02}")).collect();
        let accounts: Vec<&str> = accounts.iter().map(String::as_str).collect();
        let all = rule(&["*"], "", &["pods", "pods/exec", "secrets", "serviceaccounts/token"]);
        let mut rbac = healthy().with_role("edit", vec![all]);
        for i in 0..50 {
            rbac = rbac.with_binding(&format!("n{i:02}/edit"), "ClusterRole edit", &accounts);
        }
        let start = std::time::Instant::now();
        assert_eq!(seen(&rbac), Vec::<String>::new(), "none of these reaches the control plane");
        let rbac = rbac.with_binding("n00/edit", "ClusterRole edit", &accounts).with_binding(
            "n07",
            "ClusterRole cluster-admin",
            &["ServiceAccount n07/a07"],
        );
        assert_eq!(seen(&rbac), ["49 other subjects have rights that allow privilege escalation"]);
        // It took minutes when the paths of all were searched for each, and for each of its powers.
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
        let fix = "if this is intended, add to the profile: expect: {powerful: [\"ServiceAccount ops/prometheus\"]}; \
                   otherwise grant nodes/metrics, nodes/stats, nodes/healthz, nodes/configz and nodes/pods instead of \
                   nodes/proxy: kubectl edit clusterrole prometheus";
        assert_eq!(findings[0].fix, fix);
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
        assert_eq!(
            (findings.len(), findings[0].seen.as_str()),
            (1, "2 other subjects have rights that allow privilege escalation")
        );
        assert_eq!(
            findings[0].evidence,
            [
                "Group developers: runs pods with any service account in ops → ServiceAccount ops/deployer → \
                 creates tokens for any service account (serviceaccounts/token) → ServiceAccount \
                 kube-system/clusterrole-aggregation-controller → writes any right into ClusterRoles (escalate) → \
                 everything; granted by ClusterRole edit",
                "ServiceAccount ops/deployer (pods that use it: 1): creates tokens for any service account \
                 (serviceaccounts/token) → ServiceAccount kube-system/clusterrole-aggregation-controller → writes any \
                 right into ClusterRoles (escalate) → everything; granted by ClusterRole tokens",
            ]
        );
        let entry = "add to the profile: expect: {powerful: [\"Group developers\", \"ServiceAccount ops/deployer\"]}";
        assert!(findings[0].fix.contains(entry), "{}", findings[0].fix);
        assert!(serde_saphyr::from_str::<serde_json::Value>(entry.split_once(": ").unwrap().1).is_ok());
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
        assert!(findings[0].fix.contains(": kubectl edit role runner -n kube-system; if this is intended"));
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
        let origin = "granted by ClusterRole view, which aggregates it from ClusterRole view-kubelets";
        assert!(findings[0].evidence[0].ends_with(origin), "{findings:?}");
        let fix = &findings[0].fix;
        assert!(
            fix.contains("grant nodes/metrics") && fix.ends_with("kubectl edit clusterrole view-kubelets"),
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
        let fix = findings[0].fix.as_str();
        let apart = "move ServiceAccount ops/deployer to a namespace of its own, or remove the subject from the \
                     binding: kubectl edit rolebinding developers -n ops";
        assert!(fix.contains(apart) && fix.contains("kubectl edit clusterrolebinding everyone"), "{fix}");
        assert!(!fix.contains("edit clusterrole edit"), "{fix}");
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
    fn what_everyone_has_is_a_finding_apart_from_unknown_holders() {
        let rbac = healthy()
            .with_role("runner", vec![rule(&["create"], "", &["pods"])])
            .with_binding("deployer", "ClusterRole runner", &["ServiceAccount ops/deployer"])
            .with_binding("nodes", "ClusterRole runner", &["Group system:nodes"])
            .with_binding("web/jobs", "ClusterRole runner", &["ServiceAccount kube-system/default"]);
        let findings = judged(&rbac).findings(Severity::Major);
        let subjects: Vec<_> = findings.iter().map(|finding| finding.subjects[0].to_string()).collect();
        assert_eq!(subjects, ["ClusterRoleBinding nodes", "ClusterRoleBinding deployer"]);
        assert!(findings[0].fix.starts_with("remove the right"), "{findings:?}");
        assert!(findings.iter().all(|finding| finding.comes_from.is_some()));
        let shared = ["Group system:serviceaccounts:ops", "Group system:bootstrappers:a", "User system:node:n1"];
        assert!(shared.iter().all(|holder| has_its_own_check(&holder.parse().unwrap())));
        let others = ["Group system:nodesx", "User jane", "ServiceAccount ops/deployer", "Group system:masters"];
        assert!(!others.iter().any(|holder| has_its_own_check(&holder.parse().unwrap())));
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

    const OPERATOR: &[&str] =
        &["app.kubernetes.io/name=prometheus-operator", "app.kubernetes.io/part-of=kube-prometheus"];

    /// The operator of kube-prometheus with its labels, which may run pods, and these rights.
    fn operator(rules: Vec<PolicyRule>, holder: &str) -> Rbac {
        let own = vec![rule(&["*"], "apps", &["statefulsets"]), rule(&["*"], "", &["secrets"])];
        healthy()
            .with_role("prometheus-operator", [own, rules].concat())
            .with_binding("prometheus-operator", "ClusterRole prometheus-operator", &[holder])
            .with_labels("ClusterRole prometheus-operator", OPERATOR)
            .with_labels("ClusterRoleBinding prometheus-operator", OPERATOR)
    }

    const ACCOUNT: &str = "ServiceAccount tools/prometheus-operator";

    #[test]
    fn a_known_add_on_with_its_own_powers_is_a_note() {
        let verdict = judged(&operator(Vec::new(), ACCOUNT));
        assert!(verdict.findings(Severity::Major).is_empty(), "{:?}", verdict.findings(Severity::Major));
        let notes = crate::check::testing::notes(&verdict);
        assert!(
            notes.iter().any(|note| note.starts_with(&format!("{ACCOUNT}: powerful, as the manifests of "))),
            "{notes:?}"
        );
    }

    #[test]
    fn one_power_more_is_a_finding_that_names_it() {
        for (rules, power) in [
            (vec![rule(&["escalate", "update"], RBAC, &["clusterroles"])], "escalate"),
            (vec![rule(&["impersonate"], "", &["groups"])], "impersonate"),
            (vec![rule(&["create"], "", &["serviceaccounts/token"])], "creates tokens"),
            (vec![rule(&["get"], "", &["nodes/proxy"])], "nodes/proxy"),
            (vec![rule(&["patch"], "admissionregistration.k8s.io", &["mutatingwebhookconfigurations"])], "admission"),
        ] {
            let findings = judged(&operator(rules, ACCOUNT)).findings(Severity::Major);
            assert_eq!((findings.len(), findings[0].severity), (1, Severity::Major), "{power}");
            assert!(findings[0].expected.contains("manifests of "), "{findings:?}");
            assert!(findings[0].seen.contains(power) && findings[0].evidence[1].contains(power), "{findings:?}");
        }
    }

    #[test]
    fn a_known_role_of_another_holder_is_found() {
        for holder in ["Group system:authenticated", "ServiceAccount tools/default", "User jane"] {
            let findings = judged(&operator(Vec::new(), holder)).findings(Severity::Major);
            assert_eq!((findings.len(), findings[0].severity), (1, Severity::Major), "{holder}");
            assert!(findings[0].seen.starts_with(holder), "{findings:?}");
        }
        let rbac = operator(Vec::new(), ACCOUNT).with_binding(
            "evil",
            "ClusterRole prometheus-operator",
            &["ServiceAccount ops/evil"],
        );
        let findings = judged(&rbac).findings(Severity::Major);
        assert!(findings.len() == 1 && findings[0].seen.starts_with("ServiceAccount ops/evil"), "{findings:?}");
    }

    #[test]
    fn an_add_on_that_is_not_known_is_found_whatever_its_labels_are() {
        for labels in [&["helm.sh/chart=widget-1.2.3"][..], &["team=blue"], &OPERATOR[1..]] {
            let rbac = healthy()
                .with_role("widget", vec![rule(&["create"], "", &["pods"]), rule(&["list"], "", &["secrets"])])
                .with_binding("widget", "ClusterRole widget", &["ServiceAccount ops/widget"])
                .with_labels("ClusterRole widget", labels)
                .with_labels("ClusterRoleBinding widget", labels);
            let findings = judged(&rbac).findings(Severity::Major);
            assert_eq!((findings.len(), findings[0].severity), (1, Severity::Major), "{labels:?}");
            assert!(
                findings[0].seen.starts_with("ServiceAccount ops/widget has rights that allow privilege escalation")
            );
            let chart = labels[0].starts_with("helm");
            assert_eq!(findings[0].evidence[0].ends_with("ClusterRole widget (chart widget)"), chart, "{findings:?}");
            assert_eq!(findings[0].fix.contains("change it in chart widget or its values"), chart, "{findings:?}");
        }
    }

    #[test]
    fn many_holders_are_one_finding_with_a_fix_for_each() {
        let mut rbac = healthy();
        for name in ["a", "b", "c", "d"] {
            rbac = rbac.with_role(name, vec![rule(&["create"], "", &["pods"])]).with_binding(
                name,
                &format!("ClusterRole {name}"),
                &[&format!("ServiceAccount ops/{name}")],
            );
        }
        let findings = judged(&rbac).findings(Severity::Major);
        assert_eq!((findings.len(), findings[0].evidence.len()), (1, 4));
        assert!(findings[0].evidence[3].ends_with(": kubectl edit clusterrole d"), "{findings:?}");
        assert!(findings[0].fix.contains("\"ServiceAccount ops/d\"]}") && !findings[0].fix.contains("kubectl"));
    }

    #[test]
    fn a_part_of_a_known_add_on_that_has_no_power_here_is_a_note() {
        let rbac = healthy()
            .with_role("tools/prometheus-operator", vec![rule(&["get"], "", &["secrets"])])
            .with_binding("tools/prometheus-operator", "Role prometheus-operator", &[ACCOUNT])
            .with_labels("Role tools/prometheus-operator", OPERATOR)
            .with_labels("RoleBinding tools/prometheus-operator", OPERATOR);
        let verdict = judged(&rbac);
        assert!(verdict.findings(Severity::Major).is_empty());
        let notes = crate::check::testing::notes(&verdict);
        assert!(notes.iter().any(|note| note.starts_with(&format!("{ACCOUNT}: part of "))), "{notes:?}");
    }

    #[test]
    fn a_path_over_its_own_holder_is_none() {
        let widget = "ServiceAccount widgets/widget";
        let rbac = healthy()
            .with_role("widgets/own", vec![rule(&["update"], "apps", &["deployments"])])
            .with_binding("widgets/own", "Role own", &[widget])
            .with_role("wide", vec![rule(&["impersonate"], "", &["groups"])])
            .with_binding("wide", "ClusterRole wide", &[widget]);
        let graph = Graph::new(&rbac, None);
        let (holder, paths) = (widget.parse().unwrap(), graph.paths());
        let own = graph.own_powers(&holder);
        let ends: Vec<_> =
            own.iter().map(|held| (held.power.name, graph.path_of(&holder, held, &paths).is_some())).collect();
        assert_eq!(ends, [("impersonate", true), ("pods", false)]);
        // Another account of the namespace that leads further is a path, unless only by the holder itself.
        let other = "ServiceAccount widgets/other";
        let through = |role: &str, rules| {
            let rbac = rbac.clone().with_role(role, rules);
            let kind = if role.contains('/') { "Role other" } else { "ClusterRole other" };
            let rbac = rbac.with_binding(role, kind, &[other]);
            let graph = Graph::new(&rbac, None);
            let held = graph.own_powers(&holder).into_iter().find(|held| held.power.name == "pods").unwrap();
            graph.path_of(&holder, &held, &graph.paths()).is_some()
        };
        assert!(through("other", vec![rule(&["impersonate"], "", &["groups"])]));
        assert!(!through("widgets/other", vec![rule(&["create"], "", &["pods"])]));
    }

    #[test]
    fn changing_running_pods_does_not_reach_the_control_plane() {
        let rbac = healthy().with_role("updater", vec![rule(&["patch"], "", &["pods"])]).with_binding(
            "updater",
            "ClusterRole updater",
            &["ServiceAccount ops/updater"],
        );
        let mirror = Pod {
            namespace: "kube-system".into(),
            labels: [("component".to_owned(), "etcd".to_owned())].into(),
            annotations: [("kubernetes.io/config.mirror".to_owned(), "a".to_owned())].into(),
            ..Pod::default()
        };
        let pods = Pods([(named("kube-system/etcd"), mirror)].into());
        let findings = judge(&rbac, Ok(&pods), &Expectations::default()).findings(Severity::Major);
        assert!(
            findings[0].seen.ends_with("runs other images in running pods (update or patch of pods)"),
            "{findings:?}"
        );
    }

    #[test]
    fn the_fix_of_a_chart_without_a_release_names_the_chart() {
        let rbac = healthy()
            .with_role("widget", vec![rule(&["impersonate"], "", &["groups"])])
            .with_binding("widget", "ClusterRole widget", &["ServiceAccount ops/widget"])
            .with_labels("ClusterRole widget", &["helm.sh/chart=widget-1.2.3"]);
        let findings = judged(&rbac).findings(Severity::Major);
        assert!(findings[0].fix.contains("change it in chart widget or its values"), "{findings:?}");
    }

    #[test]
    fn without_pods_it_is_inconclusive() {
        let verdict = judge(&healthy(), Err(&Unobserved::Interrupted), &Expectations::default());
        assert_eq!(verdict.gaps().len(), 1);
    }
}
