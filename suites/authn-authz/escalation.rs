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

use super::expected_holders::{ADMINISTRATORS, expected_power};
use super::powers::{ALL, Power, Reach, Yield};
use crate::check::{Finding, Subject, Verdict};
use crate::expectations::Expectations;
use crate::fact::Unobserved;
use crate::fact::facts::pods::Pods;
use crate::fact::facts::rbac::{Grant, Holder, PolicyRule, Rbac};
use crate::suites::rights::subject;

crate::check!("AA-20", "escalation", Major, judge);

/// Where the control plane and its service accounts are.
const SYSTEM: &str = "kube-system";
/// The static pods from which the whole cluster can be had.
const CONTROL_PLANE: [&str; 3] = ["etcd", "kube-apiserver", "kube-controller-manager"];

/// Who gets there in one way, by which grants, and what it comes to.
type Found<'a> = (Vec<&'a str>, Vec<Grant<'a>>, &'a Power);

fn judge(rbac: &Rbac, pods: Result<&Pods, &Unobserved>, expectations: &Expectations) -> Verdict {
    let mut verdict = Verdict::new();
    let pods = verdict.seen(Subject::cluster, &pods.map_err(Clone::clone)).copied();
    let graph = Graph::new(rbac, pods);
    let paths = graph.paths();
    let mut expected: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut found: BTreeMap<(Path, Vec<String>), Found<'_>> = BTreeMap::new();
    for holder in graph.grants.keys() {
        let known = |names: &[String]| names.contains(holder);
        let is_administrator = graph.is_administrator(holder) || ADMINISTRATORS.contains(&holder.as_str());
        if is_administrator || known(&expectations.cluster_admins) || known(&expectations.powerful) {
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
                let bindings = grants.iter().map(|grant| subject(grant).to_string()).collect();
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

fn tell(verdict: &mut Verdict, graph: &Graph<'_>, path: &Path, holders: &[&str], grants: &[Grant<'_>], power: &Power) {
    let holders: Vec<_> = holders.iter().map(|holder| graph.described(holder)).collect();
    let roles: BTreeSet<_> = grants.iter().map(|grant| graph.origin(grant, power)).collect();
    let roles = roles.into_iter().collect::<Vec<_>>().join(" and ");
    let about = grants.first().map_or_else(Subject::cluster, subject);
    let finding = Finding::new(
        "only administrators and the control plane can become administrator",
        format!("{} by {roles}: {}", holders.join(", "), path.words()),
    );
    let roles = grants.iter().map(|grant| {
        let namespace = grant.namespace.filter(|_| grant.binding.role_kind == "Role");
        let namespace = namespace.map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
        format!("kubectl edit {} {}{namespace}", grant.binding.role_kind.to_lowercase(), grant.binding.role)
    });
    let roles: BTreeSet<_> = roles.collect();
    let finding = finding.mend(format!("{}: {}", roles.into_iter().collect::<Vec<_>>().join(" and "), power.instead));
    let finding = match path.end {
        End::Administrator => finding.so("whoever has its credential is administrator whenever they like"),
        End::Commands => finding.so("whoever has its credential is every pod, whatever those may do"),
        End::Secrets => finding.so("whoever has its credential is whatever those Secrets let them be").info(),
    };
    verdict.find(about, finding);
}

/// How somebody gets further than they were given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Path {
    end: End,
    steps: Vec<String>,
}

/// Where a path ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Administrator,
    Commands,
    Secrets,
}

impl Path {
    /// The worst end first, then the fewest steps, then the words, so that the same facts give the same path.
    fn weight(&self) -> (End, usize, &[String]) {
        (self.end, self.steps.len(), &self.steps)
    }

    fn words(&self) -> String {
        let end = match self.end {
            End::Administrator => Some("everything"),
            End::Commands | End::Secrets => None,
        };
        self.steps.iter().map(String::as_str).chain(end).collect::<Vec<_>>().join(" → ")
    }
}

/// A power that somebody holds, where, and by which bindings.
struct Held<'a> {
    power: &'static Power,
    namespace: Option<&'a str>,
    grants: Vec<Grant<'a>>,
    expected: Option<&'static str>,
}

/// Who was given what, and which pods carry it.
struct Graph<'a> {
    rbac: &'a Rbac,
    /// What was given to each holder.
    grants: BTreeMap<String, Vec<Grant<'a>>>,
    /// By service account, as a holder, how many pods have it; none when pods were not seen.
    carriers: Option<BTreeMap<String, usize>>,
    /// The namespaces in which parts of the control plane run as pods.
    control_plane: BTreeSet<&'a str>,
}

impl<'a> Graph<'a> {
    fn new(rbac: &'a Rbac, pods: Option<&'a Pods>) -> Self {
        let mut grants: BTreeMap<String, Vec<Grant<'a>>> = BTreeMap::new();
        for grant in rbac.grants() {
            for holder in &grant.binding.holders {
                grants.entry(canonical(holder)).or_default().push(grant);
            }
        }
        let carriers = pods.map(|pods| {
            let mut carriers = BTreeMap::new();
            for pod in pods.0.values().filter(|pod| !pod.is_mirror() && !pod.service_account.is_empty()) {
                *carriers.entry(account(&pod.namespace, &pod.service_account)).or_default() += 1;
            }
            carriers
        });
        let control_plane = pods.into_iter().flat_map(|pods| pods.0.values());
        let control_plane = control_plane
            .filter(|pod| pod.is_mirror() && pod.component().is_some_and(|part| CONTROL_PLANE.contains(&part)))
            .map(|pod| pod.namespace.as_str())
            .collect();
        Self { rbac, grants, carriers, control_plane }
    }

    fn is_administrator(&self, holder: &str) -> bool {
        let everything = |grant: &Grant<'_>| grant.existing_rules().iter().any(PolicyRule::permits_everything);
        self.grants
            .get(holder)
            .is_some_and(|all| all.iter().any(|grant| grant.namespace.is_none() && everything(grant)))
    }

    /// What was given to a holder itself.
    fn own_powers(&self, holder: &str) -> Vec<Held<'a>> {
        Self::powers(self.grants.get(holder).map(Vec::as_slice).unwrap_or_default(), Some(holder))
    }

    /// What a service account has by itself and by its groups.
    fn account_powers(&self, holder: &str) -> Vec<Held<'a>> {
        let namespace = namespace_of(holder).unwrap_or_default();
        let groups = [
            holder.to_owned(),
            "Group system:authenticated".to_owned(),
            "Group system:serviceaccounts".to_owned(),
            format!("Group system:serviceaccounts:{namespace}"),
        ];
        let all: Vec<_> = groups.iter().filter_map(|name| self.grants.get(name)).flatten().copied().collect();
        Self::powers(&all, None)
    }

    fn powers(grants: &[Grant<'a>], holder: Option<&str>) -> Vec<Held<'a>> {
        let namespaces: BTreeSet<_> = grants.iter().map(|grant| grant.namespace).collect();
        let mut all = Vec::new();
        for namespace in namespaces {
            // What is given everywhere adds to what is given here.
            let here: Vec<_> =
                grants.iter().filter(|grant| grant.namespace.is_none() || grant.namespace == namespace).collect();
            for power in ALL {
                let reaches = match (power.reach, namespace) {
                    (_, None) | (Reach::Namespace, _) => true,
                    (Reach::System, Some(namespace)) => namespace == SYSTEM,
                    (Reach::Cluster, Some(_)) => false,
                };
                let rules = |some: &[&&Grant<'a>]| -> Vec<&'a PolicyRule> {
                    some.iter().flat_map(|grant| grant.existing_rules()).collect()
                };
                if !reaches || !power.is_given_by(&rules(&here.iter().collect::<Vec<_>>())) {
                    continue;
                }
                let part = |grant: &Grant<'_>| grant.existing_rules().iter().any(|rule| power.rests_on(rule));
                let expected = |grant: &Grant<'_>| {
                    holder.and_then(|holder| expected_power(holder, grant.name, power.name)).map(|entry| entry.why)
                };
                let of_expected: Vec<_> = here.iter().filter(|grant| expected(grant).is_some()).collect();
                let why = if power.is_given_by(&rules(&of_expected)) {
                    of_expected.iter().find_map(|grant| expected(grant))
                } else {
                    None
                };
                let parts: Vec<_> = here.iter().filter(|grant| part(grant)).map(|grant| **grant).collect();
                // What is given everywhere was found there already.
                if namespace.is_some() && parts.iter().all(|grant| grant.namespace.is_none()) {
                    continue;
                }
                all.push(Held { power, namespace, grants: parts, expected: why });
            }
        }
        all
    }

    /// The shortest way of each service account to everything, as the steps after it was taken over.
    fn paths(&self) -> BTreeMap<String, Vec<String>> {
        let accounts: Vec<&String> = self.grants.keys().filter(|holder| namespace_of(holder).is_some()).collect();
        let mut paths: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for holder in accounts.iter().filter(|holder| self.is_administrator(holder)) {
            paths.insert((*holder).clone(), Vec::new());
        }
        loop {
            let mut further = Vec::new();
            for holder in accounts.iter().filter(|holder| !paths.contains_key(holder.as_str())) {
                let ways = self.account_powers(holder).into_iter().filter_map(|held| self.path(&held, &paths));
                let ways = ways.filter(|path| path.end == End::Administrator);
                if let Some(best) = ways.min_by(|a, b| a.weight().cmp(&b.weight())) {
                    further.push(((*holder).clone(), best.steps));
                }
            }
            // Those that are found in one round are as short as can be: longer ones need what this round finds.
            let Some(least) = further.iter().map(|(_, steps)| steps.len()).min() else { return paths };
            paths.extend(further.into_iter().filter(|(_, steps)| steps.len() == least));
        }
    }

    /// Where a power leads, given where service accounts do.
    fn path(&self, held: &Held<'_>, paths: &BTreeMap<String, Vec<String>>) -> Option<Path> {
        let place = held.namespace.map(|namespace| format!(" in {namespace}")).unwrap_or_default();
        let first = format!("{}{place}", held.power.deed);
        let ends = |end, further: Vec<String>| Some(Path { end, steps: [vec![first.clone()], further].concat() });
        let beside = |namespace: &str| held.namespace.is_none_or(|held| held == namespace);
        let through = |reached: &dyn Fn(&str) -> bool| {
            let reached =
                paths.iter().filter(|(holder, _)| namespace_of(holder).is_some_and(beside) && reached(holder));
            let best = reached.min_by_key(|(holder, steps)| (steps.len(), *holder));
            best.and_then(|(holder, steps)| ends(End::Administrator, [vec![holder.clone()], steps.clone()].concat()))
        };
        match held.power.yields {
            Yield::Administrator => ends(End::Administrator, Vec::new()),
            Yield::Secrets => ends(End::Secrets, Vec::new()),
            Yield::Accounts if beside(SYSTEM) => match held.power.name {
                "pods" => ends(End::Administrator, vec!["a pod beside the control plane".into()]),
                _ => through(&|_| true),
            },
            Yield::Accounts => through(&|_| true),
            Yield::PodAccounts if self.control_plane.iter().any(|namespace| beside(namespace)) => {
                ends(End::Administrator, vec!["the pods of the control plane".into()])
            }
            Yield::PodAccounts => {
                let carried = |holder: &str| self.carriers.as_ref().is_some_and(|all| all.contains_key(holder));
                through(&carried)
                    .or_else(|| if held.namespace.is_none() { ends(End::Commands, Vec::new()) } else { None })
            }
        }
    }

    /// The holder, and for a service account how many pods have it.
    fn described(&self, holder: &str) -> String {
        match (&self.carriers, namespace_of(holder)) {
            (Some(carriers), Some(_)) => {
                format!("{holder} (pods that have it: {})", carriers.get(holder).copied().unwrap_or_default())
            }
            _ => holder.to_owned(),
        }
    }

    /// The role, and the one from which it gathered the power.
    fn origin(&self, grant: &Grant<'_>, power: &Power) -> String {
        let role = grant.role();
        let marks = self.rbac.marks.as_ref().filter(|_| grant.binding.role_kind == "ClusterRole");
        let gathered = marks.and_then(|marks| {
            let mut sources = marks.sources(&grant.binding.role).filter(|source| {
                let rules = self.rbac.cluster_roles.get(*source);
                rules.is_some_and(|rules| rules.iter().any(|rule| power.rests_on(rule)))
            });
            sources.next()
        });
        match gathered {
            Some(source) => format!("{role}, which gathers it from ClusterRole {source}"),
            None => role,
        }
    }
}

/// A service account is the same as the user that it is known as.
fn canonical(holder: &Holder) -> String {
    let account_of = |name: &str| {
        let (namespace, name) = name.strip_prefix("system:serviceaccount:")?.split_once(':')?;
        Some(account(namespace, name))
    };
    match holder.kind.as_str() {
        "User" => account_of(&holder.name).unwrap_or_else(|| holder.to_string()),
        _ => holder.to_string(),
    }
}

fn account(namespace: &str, name: &str) -> String {
    format!("ServiceAccount {namespace}/{name}")
}

/// The namespace of a holder that is a service account.
fn namespace_of(holder: &str) -> Option<&str> {
    holder.strip_prefix("ServiceAccount ")?.split_once('/').map(|(namespace, _)| namespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::pods::Pod;
    use crate::fact::facts::rbac::Marks;
    use crate::fact::facts::rbac::testing::rule;

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
        Pods([("ops/a".to_owned(), pod("ops", "deployer")), ("web/a".to_owned(), pod("web", "default"))].into())
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
        assert!(verdict.notes()[0].contains("kube-system/deployment-controller"), "{:?}", verdict.notes());
    }

    #[test]
    fn a_controller_that_was_given_more_is_found() {
        let rbac = healthy()
            .with_role("helper", vec![rule(&["create"], RBAC, &["clusterrolebindings"]), rule(&["bind"], RBAC, &["*"])])
            .with_binding("helper", "ClusterRole helper", &["ServiceAccount kube-system/deployment-controller"]);
        let findings = judged(&rbac).findings(Severity::Major);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].subject.to_string(), "ClusterRoleBinding helper");
        assert!(findings[0].seen.ends_with("binds cluster-admin to whom it likes (bind) → everything"), "{findings:?}");
    }

    #[test]
    fn a_monitoring_account_that_reads_kubelets_by_proxy_is_found() {
        let rbac = healthy()
            .with_role("prometheus", vec![rule(&["get", "list"], "", &["nodes", "nodes/proxy"])])
            .with_binding("prometheus", "ClusterRole prometheus", &["ServiceAccount ops/prometheus"]);
        let findings = judged(&rbac).findings(Severity::Major);
        assert!(findings[0].seen.contains("runs commands in every pod"), "{findings:?}");
        assert!(findings[0].so.as_ref().unwrap().contains("every pod"));
        assert!(
            findings[0].mend.as_ref().unwrap().starts_with("kubectl edit clusterrole prometheus: give nodes/metrics")
        );
        let mirror = Pod {
            namespace: SYSTEM.into(),
            labels: [("component".to_owned(), "etcd".to_owned())].into(),
            annotations: [("kubernetes.io/config.mirror".to_owned(), "a".to_owned())].into(),
            ..Pod::default()
        };
        let pods = Pods([("kube-system/etcd".to_owned(), mirror)].into());
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
        assert!(findings[0].mend.as_ref().unwrap().starts_with("kubectl edit role runner -n kube-system"));
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
        let seen = seen(&Rbac { marks: Some(marks), ..rbac });
        assert!(
            seen[0].starts_with("Group support by ClusterRole view, which gathers it from ClusterRole view-kubelets")
        );
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
            Expectations { powerful: vec!["ServiceAccount ops/deployer".into()], ..Expectations::default() };
        assert!(judge(&rbac, Ok(&pods()), &expectations).findings(Severity::Major).is_empty());
    }

    #[test]
    fn without_pods_it_is_undecided() {
        let verdict = judge(&healthy(), Err(&Unobserved::Interrupted), &Expectations::default());
        assert_eq!(verdict.undecideds().len(), 1);
    }
}
