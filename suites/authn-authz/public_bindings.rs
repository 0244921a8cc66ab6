//! # Nothing is given to everybody but what Kubernetes gives
//!
//! ## Why
//! A role that is bound to `system:anonymous` or `system:unauthenticated` belongs to whoever reaches the port. One that is
//! bound to `system:authenticated` belongs to every pod and every user, and one that is bound to a service account
//! `default` to every pod that names no other. Such bindings are usually quick fixes that nobody took back.
//!
//! ## Fix
//! `kubectl describe clusterrolebinding NAME`, bind the role to those who need it, then delete the binding. A subject that
//! was added to a binding that others need is removed by `kubectl edit clusterrolebinding NAME`.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go` (`clusterRoleBindings`), KEP-789;
//! kubeadm `app/phases/bootstraptoken/clusterinfo`. RBAC is read for all namespaces; the authorizers are asked about the
//! default service accounts of a few, because an authorizer other than RBAC may allow something as well. On OpenShift, whose
//! operators give many small rights to all who are logged in, one that is not dangerous is only told.

use super::expected_holders::{OF_EVERYBODY, OF_OPENSHIFT, unexpected};
use super::helpers::node_rights::NODE_AND_RBAC;
use crate::check::finding::Difference;
use crate::check::{Finding, Severity, Verdict};
use crate::fact::facts::default_service_account_reviews::DefaultServiceAccountReviews;
use crate::fact::facts::rbac::{Grant, Rbac};
use crate::holder::Holder;
use crate::seen::Unobserved;
use crate::suites::rights::{Forbidden, dangers, listed, rules, unbind};

crate::check!("AA-18", "public-bindings", Critical, judge);

/// Those who need no credential.
const ANONYMOUS: [Holder; 2] = [Holder::user("system:anonymous"), Holder::group("system:unauthenticated")];
/// Those who need any credential.
const ANYBODY: [Holder; 2] = [Holder::group("system:authenticated"), Holder::group("system:serviceaccounts")];

/// What pods that name no service account must not be allowed.
const DEFAULT_ACCOUNTS: Forbidden<'_> = Forbidden {
    expected: "default service accounts have no rights",
    impact: "every pod that names no service account has these rights",
    fix: NODE_AND_RBAC,
};

fn judge(rbac: &Rbac, reviews: Result<&DefaultServiceAccountReviews, &Unobserved>) -> Verdict {
    let mut verdict = Verdict::new();
    let is_openshift = rbac.cluster_role(OF_OPENSHIFT).is_some();
    for grant in rbac.grants() {
        judge_everybody(&mut verdict, &grant, is_openshift);
        judge_default_accounts(&mut verdict, &grant);
    }
    match reviews {
        Ok(DefaultServiceAccountReviews { reviews, asked, unasked }) => {
            DEFAULT_ACCOUNTS.judge(&mut verdict, reviews.values());
            if *unasked > 0 {
                let asked = asked.join(", ");
                verdict
                    .note(format!("the authorizers were asked about {asked} only; {unasked} more were judged by RBAC"));
            }
        }
        Err(why) => verdict.unseen(crate::check::Subject::cluster(), why),
    }
    verdict
}

fn judge_everybody(verdict: &mut Verdict, grant: &Grant<'_>, is_openshift: bool) {
    let holders = grant.binding.holders.iter();
    let everybody = holders.filter(|holder| ANONYMOUS.contains(holder) || ANYBODY.contains(holder));
    let holders = unexpected(OF_EVERYBODY, grant, everybody);
    verdict.expect(grant.object.into(), holders.is_empty(), || finding(grant, &holders, is_openshift));
}

fn finding(grant: &Grant<'_>, holders: &[&Holder], is_openshift: bool) -> Difference {
    let anonymous = ANONYMOUS.iter().any(|anonymous| holders.contains(&anonymous));
    let (who, seen) = (listed(holders), rules(grant.existing_rules()));
    let finding = Finding::new(
        "everybody has the rights that Kubernetes itself gives, and no others",
        format!("{} is given to {who}: {seen}", grant.binding.role),
    )
    .mend(unbind(grant, holders));
    let dangers = dangers(grant.existing_rules());
    let objects = grant.existing_rules().iter().any(|rule| !rule.resources.is_empty());
    match (grant.rules, anonymous, objects) {
        (None, ..) => finding.so("nothing yet: it takes effect when somebody creates the role").info(),
        (_, true, true) => finding.so("whoever reaches the API server needs no credential for it"),
        (_, true, false) => {
            finding.so("whoever reaches the API server learns about the cluster").severity(Severity::Major)
        }
        _ if !dangers.is_empty() => finding.so(format!("every user and every pod {}", dangers.join(", "))),
        (_, false, true) => finding.so("every user and every pod has this right").severity(if is_openshift {
            Severity::Info
        } else {
            Severity::Major
        }),
        (_, false, false) => finding.so("every user and every pod may ask for these paths").info(),
    }
}

fn judge_default_accounts(verdict: &mut Verdict, grant: &Grant<'_>) {
    let accounts: Vec<_> = grant.binding.holders.iter().filter(|holder| is_default(holder)).collect();
    if accounts.is_empty() {
        return;
    }
    let dangers = dangers(grant.existing_rules());
    verdict.expect(grant.object.into(), dangers.is_empty(), || {
        Finding::new(
            "pods that name no service account have no rights",
            format!("{} is given to {}", grant.binding.role, listed(&accounts)),
        )
        .so(format!("every pod there that names no service account {}", dangers.join(", ")))
        .mend(unbind(grant, &accounts))
    });
}

/// The account that pods get which name none, or all accounts of a namespace.
fn is_default(holder: &Holder) -> bool {
    match holder.canonical() {
        Holder::ServiceAccount(account) => account.name == "default",
        Holder::Group(name) => name.starts_with("system:serviceaccounts:"),
        Holder::User(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::access_review::{Who, testing};
    use crate::fact::facts::rbac::PolicyRule;
    use crate::fact::facts::rbac::testing::rule;

    fn healthy() -> Rbac {
        let urls = PolicyRule { verbs: vec!["get".into()], urls: vec!["/api".into()], ..PolicyRule::default() };
        Rbac::default()
            .with_role("system:discovery", vec![urls])
            .with_role("view", vec![rule(&["get"], "", &["pods"])])
            .with_role("cluster-admin", vec![rule(&["*"], "*", &["*"])])
            .with_binding("system:discovery", "ClusterRole system:discovery", &["Group system:authenticated"])
    }

    fn reviews(allowed: bool) -> DefaultServiceAccountReviews {
        let question = Who::service_account("kube-system", "default").may("list", "secrets");
        let review = if allowed { testing::allowed(question, "webhook") } else { testing::denied(question, "") };
        DefaultServiceAccountReviews {
            reviews: [("list secrets".to_owned(), review)].into(),
            asked: vec!["kube-system".into()],
            unasked: 3,
        }
    }

    fn judged(rbac: &Rbac) -> Vec<Finding> {
        judge(rbac, Ok(&reviews(false))).findings(Severity::Critical)
    }

    #[test]
    fn what_kubernetes_gives_is_right() {
        let verdict = judge(&healthy(), Ok(&reviews(false)));
        assert!(verdict.findings(Severity::Critical).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 2);
        assert_eq!(
            crate::check::testing::notes(&verdict),
            ["the authorizers were asked about kube-system only; 3 more were judged by RBAC"]
        );
    }

    #[test]
    fn anonymous_readers_are_critical() {
        let findings = judged(&healthy().with_binding("dashboard", "ClusterRole view", &["User system:anonymous"]));
        assert_eq!(findings[0].subjects[0].to_string(), "ClusterRoleBinding dashboard");
        assert_eq!(findings[0].severity, Severity::Critical);
        assert_eq!(findings[0].seen, "ClusterRole view is given to User system:anonymous: get pods");
        assert!(findings[0].fix.contains("kubectl delete clusterrolebinding dashboard"));
    }

    #[test]
    fn a_subject_too_many_on_a_binding_of_kubernetes_is_found() {
        let both = ["Group system:authenticated", "Group system:unauthenticated"];
        let findings = judged(&healthy().with_binding("system:discovery", "ClusterRole system:discovery", &both));
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Major));
        let mend = "kubectl edit clusterrolebinding system:discovery: remove Group system:unauthenticated";
        assert_eq!(findings[0].fix.as_str(), mend);
    }

    #[test]
    fn cluster_admin_for_everybody_is_critical_and_reading_pods_is_major() {
        let findings = judged(
            &healthy()
                .with_binding("permissive-binding", "ClusterRole cluster-admin", &["Group system:authenticated"])
                .with_binding("viewers", "ClusterRole view", &["Group system:serviceaccounts"]),
        );
        let severities: Vec<_> =
            findings.iter().map(|finding| (finding.subjects[0].name.as_str(), finding.severity)).collect();
        assert_eq!(severities, [("permissive-binding", Severity::Critical), ("viewers", Severity::Major)]);
    }

    #[test]
    fn what_openshift_gives_to_everybody_is_known_or_told() {
        let role = |resource: &str| vec![rule(&["get", "create"], "", &[resource])];
        let everybody = ["Group system:authenticated", "Group system:unauthenticated"];
        let rbac = healthy()
            .with_role(OF_OPENSHIFT, Vec::new())
            .with_role("system:webhook", role("buildconfigs/webhooks"))
            .with_role("helm-chartrepos-viewer", role("helmchartrepositories"))
            .with_binding("system:webhooks", "ClusterRole system:webhook", &everybody)
            .with_binding("helm-chartrepos-viewer", "ClusterRole helm-chartrepos-viewer", &everybody[..1]);
        let findings = judged(&rbac);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Info));
        let open = rbac.with_binding("open", "ClusterRole cluster-admin", &everybody[..1]);
        assert_eq!(judged(&open)[0].severity, Severity::Critical);
    }

    #[test]
    fn a_default_account_with_dangerous_rights_is_found_and_one_without_is_not() {
        let account = ["ServiceAccount kube-system/default"];
        let findings = judged(&healthy().with_binding("add-on", "ClusterRole cluster-admin", &account).with_binding(
            "reader",
            "ClusterRole view",
            &account,
        ));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].seen, "ClusterRole cluster-admin is given to ServiceAccount kube-system/default");
    }

    #[test]
    fn a_right_that_rbac_does_not_explain_is_found() {
        let findings = judge(&healthy(), Ok(&reviews(true))).findings(Severity::Critical);
        assert_eq!(findings[0].seen, "allowed: webhook");
    }

    #[test]
    fn without_answers_it_is_undecided() {
        assert_eq!(judge(&healthy(), Err(&Unobserved::Interrupted)).gaps().len(), 1);
    }
}
