//! # Only the expected subjects are cluster administrators
//!
//! ## Why
//! Everyone who may do everything should be known by name; a service account among them makes every pod that uses it as
//! powerful. In a kubeadm cluster the opposite happens too: without the binding `kubeadm:cluster-admins`, admin.conf
//! has no rights at all.
//!
//! ## Fix
//! A subject that should not be an administrator: `kubectl describe clusterrolebinding NAME`, then remove it from the
//! binding (`kubectl edit clusterrolebinding NAME`), or delete a binding that is for it alone; bind a smaller role. One
//! that should: list it under `expect.cluster-admins` of the profile, as `Group NAME`, `User NAME` or `ServiceAccount
//! NAMESPACE/NAME`. The binding of admin.conf: restore it with the kubeconfig `/etc/kubernetes/super-admin.conf`, as
//! the finding shows.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/kubeconfig/kubeconfig.go` (`EnsureAdminClusterRoleBinding`, 1.29) and
//! `test/e2e_kubeadm/admin_test.go`. Subjects that may do everything in kube-system count: tokens and pods there lead
//! to the rest. Unexpected administrators are information: only the cluster's owner knows whether they are intended. A run
//! with the rights of admin.conf alone cannot read bindings when it has lost them: then a SelfSubjectReview and a
//! SelfSubjectAccessReview, which every user may create, show that it is in the group and may not do everything.
//! Accounts that the manifests of a known add-on make administrators are listed as notes, because the labels by which it
//! is recognised can be forged.

use std::collections::BTreeSet;

use super::helpers::add_ons::administrator;
use super::helpers::expected_holders::{ADMINISTRATORS, KUBEADM_ADMINISTRATORS, KUBEADM_BINDING};
use crate::check::finding::Difference;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::expectations::Expectations;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::own_rights::OwnRights;
use crate::fact::facts::pods::Pods;
use crate::fact::facts::rbac::{CLUSTER_ROLE, Grant, PolicyRule, Rbac};
use crate::holder::Holder;
use crate::object_ref::ObjectRef;
use crate::seen::Unobserved;
use crate::suites::rights::{SUPER_ADMIN, about, bind_as, unbind};

crate::check!("AA-19", "cluster-admins", Major, judge);

fn judge(
    rbac: Result<&Rbac, &Unobserved>,
    kubeadm: Result<&KubeadmConfig, &Unobserved>,
    pods: Result<&Pods, &Unobserved>,
    expectations: &Expectations,
    own: Result<&OwnRights, &Unobserved>,
) -> Verdict {
    let mut verdict = Verdict::new();
    let lost = own.ok().filter(|own| own.are_lost());
    let rbac = match rbac {
        Ok(rbac) => rbac,
        Err(why) if why.is_skip() && lost.is_none() => return verdict.does_not_apply(why.to_string()),
        Err(why) => {
            // Our own user shows what the bindings would.
            if let Some(OwnRights { user, .. }) = lost {
                let user = user.user.as_deref().unwrap_or_default();
                let seen = format!("this run uses {user}, which is in that group but is not a cluster administrator");
                verdict.find(KUBEADM_BINDING.into(), administrators_without_rights(seen));
            }
            verdict.unseen(Subject::cluster(), why);
            return verdict;
        }
    };
    let mut administrators: BTreeSet<&Holder> = BTreeSet::new();
    for grant in rbac.grants() {
        if !makes_administrators(&grant) {
            verdict.confirm();
            continue;
        }
        let (expected, others): (Vec<_>, Vec<_>) =
            grant.binding.holders.iter().partition(|holder| is_expected(holder, expectations));
        administrators.extend(expected);
        let mut unknown = Vec::new();
        for holder in others {
            match administrator(rbac, &grant, holder) {
                Some(add_on) => verdict.note_about(
                    about(holder),
                    format!("cluster administrators, as the manifests of {add_on} make them"),
                ),
                None => unknown.push(holder),
            }
        }
        let others = unknown;
        verdict.expect(grant.object.into(), others.is_empty(), || {
            Finding::new(
                "only Kubernetes' and kubeadm's administrators, and those that the profile lists, may do everything",
                format!("{} is granted to other subjects", grant.binding.role),
            )
            .evidence(others.iter().map(|holder| described(holder, pods.ok())))
            .impact("they can do everything in the cluster")
            .fix(format!("list them under expect.cluster-admins of the profile, or {}", unbind(&grant, &others)))
            .managed_by(grant.manager)
            .info()
        });
    }
    match kubeadm {
        Ok(_) => {
            verdict.expect(KUBEADM_BINDING.into(), administrators.contains(&KUBEADM_ADMINISTRATORS), || {
                administrators_without_rights(match rbac.bindings.get(&KUBEADM_BINDING) {
                    None => "the binding does not exist".to_owned(),
                    Some(found) => format!("the binding grants {} to other subjects", found.role),
                })
                .managed_by(rbac.manager(&KUBEADM_BINDING))
            });
        }
        Err(Unobserved::Absent { .. }) => {}
        Err(why) => verdict.unseen(Subject::object("ConfigMap", "kube-system", "kubeadm-config"), why),
    }
    for administrator in administrators {
        verdict.note_about(about(administrator), "cluster administrators, as expected");
    }
    verdict
}

/// The finding that admin.conf has lost its rights.
fn administrators_without_rights(seen: String) -> Difference {
    let (group, role) = (KUBEADM_ADMINISTRATORS, ObjectRef::fixed(CLUSTER_ROLE, "cluster-admin"));
    let bind = bind_as(SUPER_ADMIN, &KUBEADM_BINDING, &role, std::slice::from_ref(&group));
    Finding::new(format!("{role} is granted to {group}"), seen)
        .impact("/etc/kubernetes/admin.conf has no rights; only super-admin.conf still works")
        .fix(format!("on a control-plane node: {bind}"))
        .severity(Severity::Major)
}

fn makes_administrators(grant: &Grant<'_>) -> bool {
    let everywhere = grant.namespace().is_none_or(|namespace| namespace == "kube-system");
    everywhere && grant.existing_rules().iter().any(PolicyRule::permits_everything)
}

fn is_expected(holder: &Holder, expectations: &Expectations) -> bool {
    ADMINISTRATORS.iter().chain(&expectations.cluster_admins).any(|known| known == holder)
}

/// The subject, and for a service account how many pods use it.
fn described(holder: &Holder, pods: Option<&Pods>) -> String {
    match (holder, pods) {
        (Holder::ServiceAccount(account), Some(pods)) => {
            let of_namespace = pods.of_namespace(&account.namespace);
            let count = of_namespace.filter(|pod| pod.service_account == account.name).count();
            format!("{holder} (pods that use it: {count})")
        }
        _ => holder.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::own_rights::testing::own_rights;
    use crate::fact::facts::pods::Pod;
    use crate::fact::facts::rbac::testing::rule;
    use crate::object_ref::testing::named;

    fn rbac() -> Rbac {
        Rbac::default()
            .with_role("cluster-admin", vec![rule(&["*"], "*", &["*"])])
            .with_role("view", vec![rule(&["get"], "", &["pods"])])
            .with_binding("cluster-admin", "ClusterRole cluster-admin", &["Group system:masters"])
            .with_binding("viewers", "ClusterRole view", &["User alice"])
    }

    fn healthy() -> Rbac {
        rbac().with_binding("kubeadm:cluster-admins", "ClusterRole cluster-admin", &["Group kubeadm:cluster-admins"])
    }

    fn judged(rbac: &Rbac, kubeadm: bool, expectations: &Expectations) -> Verdict {
        let pod =
            Pod { namespace: "ops".into(), name: "a".into(), service_account: "deployer".into(), ..Pod::default() };
        let config = KubeadmConfig::default();
        let pods = Pods([(named("ops/a"), pod)].into());
        let (absent, unasked) = (Unobserved::absent("no kubeadm-config"), Unobserved::Interrupted);
        let kubeadm = if kubeadm { Ok(&config) } else { Err(&absent) };
        judge(Ok(rbac), kubeadm, Ok(&pods), expectations, Err(&unasked))
    }

    #[test]
    fn the_administrators_of_kubeadm_are_expected() {
        let verdict = judged(&healthy(), true, &Expectations::default());
        assert!(verdict.findings(Severity::Major).is_empty());
        assert_eq!(verdict.observations(), 4);
        assert_eq!(
            crate::check::testing::notes(&verdict),
            ["Group kubeadm:cluster-admins, system:masters: cluster administrators, as expected"]
        );
    }

    #[test]
    fn admin_conf_without_rights_is_found_in_a_kubeadm_cluster_only() {
        let findings = judged(&rbac(), true, &Expectations::default()).findings(Severity::Major);
        assert_eq!(findings[0].subjects[0].to_string(), "ClusterRoleBinding kubeadm:cluster-admins");
        assert_eq!((findings[0].seen.as_str(), findings[0].severity), ("the binding does not exist", Severity::Major));
        assert!(judged(&rbac(), false, &Expectations::default()).findings(Severity::Major).is_empty());
    }

    #[test]
    fn an_administrator_who_may_not_read_bindings_shows_that_the_binding_is_missing() {
        let refused = Unobserved::Refused { missing: "list clusterrolebindings".into(), message: "forbidden".into() };
        let judged =
            |own: &OwnRights| judge(Err(&refused), Err(&refused), Err(&refused), &Expectations::default(), Ok(own));
        let verdict = judged(&own_rights("kubeadm:cluster-admins", false));
        let findings = verdict.findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.subjects[0].to_string(), "ClusterRoleBinding kubeadm:cluster-admins");
        assert!(finding.seen.starts_with("this run uses kubernetes-admin, which is in that group"), "{}", finding.seen);
        assert!(finding.fix.contains("super-admin.conf"), "{}", finding.fix);
        let verdict = judged(&own_rights("developers", false));
        assert_eq!((verdict.findings(Severity::Major).len(), verdict.gaps().len()), (0, 1));
    }

    #[test]
    fn another_administrator_is_information_unless_the_profile_expects_it() {
        let account = "ServiceAccount ops/deployer";
        let rbac = healthy().with_binding("deployer", "ClusterRole cluster-admin", &[account]);
        let findings = judged(&rbac, true, &Expectations::default()).findings(Severity::Major);
        assert_eq!(findings[0].severity, Severity::Info);
        assert_eq!(findings[0].evidence, ["ServiceAccount ops/deployer (pods that use it: 1)"]);
        let expected = Expectations { cluster_admins: vec![account.parse().unwrap()], ..Expectations::default() };
        assert!(judged(&rbac, true, &expected).findings(Severity::Major).is_empty());
    }

    #[test]
    fn an_administrator_that_its_manifests_make_is_a_note() {
        let velero = &["helm.sh/chart=velero-12.1.0"][..];
        let rbac = |labels: &[&str], holder: &str| {
            healthy()
                .with_binding("backup-velero-server", "ClusterRole cluster-admin", &[holder])
                .with_labels("ClusterRoleBinding backup-velero-server", labels)
        };
        let judged = |labels: &[&str], holder: &str| {
            let verdict = judged(&rbac(labels, holder), true, &Expectations::default());
            (verdict.findings(Severity::Major).len(), crate::check::testing::notes(&verdict).len())
        };
        assert_eq!(judged(velero, "ServiceAccount backups/backup-velero-server"), (0, 2));
        assert_eq!(judged(&["team=blue"], "ServiceAccount backups/backup-velero-server"), (1, 1));
        assert_eq!(judged(velero, "ServiceAccount backups/default"), (1, 1));
        assert_eq!(judged(velero, "Group developers"), (1, 1));
        assert_eq!(judged(&["helm.sh/chart=keda-2.20.2"], "ServiceAccount backups/backup-velero-server"), (1, 1));
    }

    #[test]
    fn everything_in_kube_system_is_everything() {
        let admin = |path| healthy().with_binding(path, "ClusterRole cluster-admin", &["User bob"]);
        let found = |path| judged(&admin(path), true, &Expectations::default()).findings(Severity::Major).len();
        assert_eq!((found("kube-system/bob"), found("shop/bob")), (1, 0));
    }
}
