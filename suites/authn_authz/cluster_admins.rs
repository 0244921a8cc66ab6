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
//! to the rest. Unexpected administrators are information: only the cluster's owner knows whether they are intended.

use std::collections::BTreeSet;

use super::helpers::expected_holders::{ADMINISTRATORS, KUBEADM_ADMINISTRATORS, KUBEADM_BINDING};
use crate::check::{Finding, Severity, Verdict};
use crate::fact::facts::expectations::Expectations;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::fact::facts::pods::Pods;
use crate::fact::facts::rbac::{CLUSTER_ROLE, Grant, PolicyRule, Rbac};
use crate::holder::Holder;
use crate::object_ref::ObjectRef;
use crate::seen::Unobserved;
use crate::suites::rights::{SUPER_ADMIN, about, bind_as, unbind};

crate::check!("AA-19", "cluster-admins", Major, judge);

fn judge(
    rbac: &Rbac,
    kubeadm: Option<&KubeadmConfig>,
    pods: Result<&Pods, &Unobserved>,
    expectations: &Expectations,
) -> Verdict {
    let mut verdict = Verdict::new();
    let mut administrators: BTreeSet<&Holder> = BTreeSet::new();
    for grant in rbac.grants() {
        if !makes_administrators(&grant) {
            verdict.confirm();
            continue;
        }
        let (expected, others): (Vec<_>, Vec<_>) =
            grant.binding.holders.iter().partition(|holder| is_expected(holder, expectations));
        administrators.extend(expected);
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
    if kubeadm.is_some() {
        let (group, role) = (KUBEADM_ADMINISTRATORS, ObjectRef::fixed(CLUSTER_ROLE, "cluster-admin"));
        verdict.expect(KUBEADM_BINDING.into(), administrators.contains(&group), || {
            Finding::new(
                format!("{role} is granted to {group}"),
                match rbac.bindings.get(&KUBEADM_BINDING) {
                    None => "the binding does not exist".to_owned(),
                    Some(found) => format!("the binding grants {} to other subjects", found.role),
                },
            )
            .impact("/etc/kubernetes/admin.conf has no rights; only super-admin.conf still works")
            .fix(format!(
                "on a control-plane node: {}",
                bind_as(SUPER_ADMIN, &KUBEADM_BINDING, &role, std::slice::from_ref(&group))
            ))
            .managed_by(rbac.manager(&KUBEADM_BINDING))
            .severity(Severity::Major)
        });
    }
    for administrator in administrators {
        verdict.note_about(about(administrator), "cluster administrators, as expected");
    }
    verdict
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
        judge(rbac, kubeadm.then_some(&config), Ok(&pods), expectations)
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
    fn everything_in_kube_system_is_everything() {
        let admin = |path| healthy().with_binding(path, "ClusterRole cluster-admin", &["User bob"]);
        let found = |path| judged(&admin(path), true, &Expectations::default()).findings(Severity::Major).len();
        assert_eq!((found("kube-system/bob"), found("shop/bob")), (1, 0));
    }
}
