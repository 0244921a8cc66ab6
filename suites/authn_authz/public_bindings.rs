//! # Anonymous and all-user groups hold only default roles
//!
//! ## Why
//! A role that is bound to `system:anonymous` or `system:unauthenticated` is available to anyone who reaches the port.
//! One that is bound to `system:authenticated` belongs to every pod and every user, and one that is bound to a service
//! account `default` to every pod that names no other. Such bindings are usually quick fixes that were never reverted.
//!
//! ## Fix
//! `kubectl describe clusterrolebinding NAME`, bind the role to those who need it, then delete the binding. If others
//! need the binding, remove only the subject: `kubectl edit clusterrolebinding NAME`.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go` (`clusterRoleBindings`), KEP-789;
//! kubeadm `app/phases/bootstraptoken/clusterinfo`. RBAC is read for all namespaces; the authorizers are asked about
//! the default service accounts of a few, because an authorizer other than RBAC may allow something as well. On
//! OpenShift, whose operators grant many small rights to all who are logged in, one that is not dangerous is
//! information only; so is what the labels of an add-on show to be its own, if it permits to read and is not dangerous.
//! What the manifests of a known add-on grant to all users is listed as a note.

use super::helpers::add_ons::{named_origin, public};
use super::helpers::expected_holders::{OF_EVERYONE, OF_OPENSHIFT, unexpected};
use super::helpers::node_rights::NODE_AND_RBAC;
use crate::check::finding::Difference;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::default_service_account_reviews::DefaultServiceAccountReviews;
use crate::fact::facts::rbac::{Grant, Rbac};
use crate::holder::Holder;
use crate::seen::Unobserved;
use crate::suites::rights::{Forbidden, dangers, details, unbind};

crate::check!("AA-18", "public-bindings", Critical, judge, builds_on: ["AA-03"]);

/// The subjects of clients without a credential.
const ANONYMOUS: [Holder; 2] = [Holder::user("system:anonymous"), Holder::group("system:unauthenticated")];
/// The groups of every client with a credential.
const ALL_USERS: [Holder; 2] = [AUTHENTICATED, Holder::group("system:serviceaccounts")];
/// The group of everyone who is authenticated.
const AUTHENTICATED: Holder = Holder::group("system:authenticated");

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
        judge_everyone(&mut verdict, rbac, &grant, is_openshift);
        judge_default_accounts(&mut verdict, &grant);
    }
    match reviews {
        Ok(DefaultServiceAccountReviews { reviews, asked, unasked }) => {
            DEFAULT_ACCOUNTS.judge(&mut verdict, Some(rbac), reviews.values());
            if *unasked > 0 {
                for namespace in asked {
                    verdict.note_about(
                        Subject::cluster_object("Namespace", namespace),
                        format!("the authorizers were asked about these only; {unasked} more were judged by RBAC"),
                    );
                }
            }
        }
        Err(why) => verdict.unseen(Subject::cluster(), why),
    }
    verdict
}

fn judge_everyone(verdict: &mut Verdict, rbac: &Rbac, grant: &Grant<'_>, is_openshift: bool) {
    let holders = grant.binding.holders.iter();
    let everyone = holders.filter(|holder| ANONYMOUS.contains(holder) || ALL_USERS.contains(holder));
    let mut holders = unexpected(OF_EVERYONE, grant, everyone);
    if let (Some(add_on), false) = (public(rbac, grant), holders.is_empty()) {
        holders.retain(|holder| **holder != AUTHENTICATED);
        verdict.note_about(grant.object.into(), format!("granted to every user, as by the manifests of {add_on}"));
    }
    // What an add-on lets everyone read, as its name, version or settings, is its own choice.
    let is_small = is_openshift || (named_origin(rbac, grant) && only_reads(grant));
    verdict.expect(grant.object.into(), holders.is_empty(), || finding(grant, &holders, is_small));
}

/// Whether a grant permits to read only.
fn only_reads(grant: &Grant<'_>) -> bool {
    let reads = |verb: &String| ["get", "list", "watch"].contains(&verb.as_str());
    grant.existing_rules().iter().all(|rule| rule.verbs.iter().all(reads))
}

fn finding(grant: &Grant<'_>, holders: &[&Holder], is_small: bool) -> Difference {
    let anonymous = ANONYMOUS.iter().any(|anonymous| holders.contains(&anonymous));
    let whom = if anonymous { "clients without a credential" } else { "every user and every pod" };
    let finding = Finding::new(
        "the anonymous user and the groups of all users have only Kubernetes' default roles",
        format!("{} is granted to {whom}", grant.binding.role),
    )
    .evidence(details(holders, grant.existing_rules()))
    .fix(unbind(grant, holders))
    .managed_by(grant.manager);
    let dangers = dangers(grant.existing_rules());
    let objects = grant.existing_rules().iter().any(|rule| !rule.resources.is_empty());
    match (grant.rules, anonymous, objects) {
        (None, ..) => finding.impact("no effect yet: the role does not exist").info(),
        (_, true, true) => finding.impact("anyone who reaches the API server has these rights"),
        (_, true, false) => {
            finding.impact("anyone who reaches the API server learns about the cluster").severity(Severity::Major)
        }
        _ if !dangers.is_empty() => finding.impact(format!("every user and every pod {}", dangers.join(", "))),
        (_, false, true) => finding.impact("every user and every pod has these rights").severity(if is_small {
            Severity::Info
        } else {
            Severity::Major
        }),
        (_, false, false) => finding.impact("every user and every pod may request these paths").info(),
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
            format!("{} is granted to default service accounts", grant.binding.role),
        )
        .evidence(details(&accounts, grant.existing_rules()))
        .impact(format!("every pod there that names no service account {}", dangers.join(", ")))
        .fix(unbind(grant, &accounts))
        .managed_by(grant.manager)
    });
}

/// Whether pods that name no service account have it: an account `default`, or the group of all accounts of a
/// namespace.
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
    fn the_default_roles_pass() {
        let verdict = judge(&healthy(), Ok(&reviews(false)));
        assert!(verdict.findings(Severity::Critical).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 2);
        assert_eq!(
            crate::check::testing::notes(&verdict),
            ["Namespace kube-system: the authorizers were asked about these only; 3 more were judged by RBAC"]
        );
    }

    #[test]
    fn anonymous_readers_are_critical() {
        let findings = judged(&healthy().with_binding("dashboard", "ClusterRole view", &["User system:anonymous"]));
        assert_eq!(findings[0].subjects[0].to_string(), "ClusterRoleBinding dashboard");
        assert_eq!(findings[0].severity, Severity::Critical);
        assert_eq!(findings[0].seen, "ClusterRole view is granted to clients without a credential");
        assert_eq!(findings[0].evidence, ["granted to User system:anonymous", "permits: get pods"]);
        assert!(findings[0].fix.contains("kubectl delete clusterrolebinding dashboard"));
    }

    #[test]
    fn the_fix_of_a_managed_binding_shows_where_to_change_it() {
        let rbac = healthy().with_binding("dashboard", "ClusterRole view", &["User system:anonymous"]);
        let findings = judged(&rbac.with_manager("ClusterRoleBinding dashboard"));
        assert_eq!(
            findings[0].fix,
            "kubectl describe clusterrolebinding dashboard; kubectl delete clusterrolebinding dashboard; change it in \
             the source of Argo CD Application access, because the next sync reverts an edit in place"
        );
    }

    #[test]
    fn an_extra_subject_of_a_default_binding_is_found() {
        let both = ["Group system:authenticated", "Group system:unauthenticated"];
        let findings = judged(&healthy().with_binding("system:discovery", "ClusterRole system:discovery", &both));
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Major));
        let fix =
            "remove Group system:unauthenticated from the binding: kubectl edit clusterrolebinding system:discovery";
        assert_eq!(findings[0].fix.as_str(), fix);
    }

    #[test]
    fn cluster_admin_for_every_user_is_critical_and_reading_pods_is_major() {
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
    fn the_roles_of_openshift_are_known_or_information() {
        let role = |resource: &str| vec![rule(&["get", "create"], "", &[resource])];
        let everyone = ["Group system:authenticated", "Group system:unauthenticated"];
        let rbac = healthy()
            .with_role(OF_OPENSHIFT, Vec::new())
            .with_role("system:webhook", role("buildconfigs/webhooks"))
            .with_role("helm-chartrepos-viewer", role("helmchartrepositories"))
            .with_binding("system:webhooks", "ClusterRole system:webhook", &everyone)
            .with_binding("helm-chartrepos-viewer", "ClusterRole helm-chartrepos-viewer", &everyone[..1]);
        let findings = judged(&rbac);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Info));
        let open = rbac.with_binding("open", "ClusterRole cluster-admin", &everyone[..1]);
        assert_eq!(judged(&open)[0].severity, Severity::Critical);
    }

    #[test]
    fn what_an_add_on_lets_everyone_read_is_its_own_choice() {
        let everyone = ["Group system:authenticated"];
        let rbac = |verbs: &[&str], resource: &str, labels: &[&str], group: &str| {
            healthy()
                .with_role("widget-info", vec![rule(verbs, "", &[resource])])
                .with_binding("widget-info", "ClusterRole widget-info", &[group])
                .with_labels("ClusterRole widget-info", labels)
                .with_labels("ClusterRoleBinding widget-info", labels)
        };
        let severity = |rbac: &Rbac| judged(rbac)[0].severity;
        let chart = &["helm.sh/chart=widget-1.2.3"][..];
        assert_eq!(severity(&rbac(&["get"], "configmaps", chart, everyone[0])), Severity::Info);
        assert_eq!(severity(&rbac(&["get"], "configmaps", &["team=blue"], everyone[0])), Severity::Major);
        assert_eq!(severity(&rbac(&["create"], "configmaps", chart, everyone[0])), Severity::Major);
        assert_eq!(severity(&rbac(&["get"], "secrets", chart, everyone[0])), Severity::Critical);
        assert_eq!(severity(&rbac(&["get"], "configmaps", chart, "User system:anonymous")), Severity::Critical);
    }

    #[test]
    fn what_a_known_add_on_grants_to_everyone_is_a_note() {
        let tekton = &["app.kubernetes.io/part-of=tekton-pipelines"][..];
        let rbac = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            healthy()
                .with_role("ci/info", vec![PolicyRule { names, ..rule(&["get"], "", &["configmaps"]) }])
                .with_binding("ci/tekton-pipelines-info", "Role info", &["Group system:authenticated"])
                .with_labels("RoleBinding ci/tekton-pipelines-info", tekton)
        };
        let verdict = judge(&rbac(&["pipelines-info"]), Ok(&reviews(false)));
        assert!(verdict.findings(Severity::Critical).is_empty());
        assert!(crate::check::testing::notes(&verdict).iter().any(|note| note.contains("tekton-pipelines (https://")));
        assert_eq!(judged(&rbac(&[])).len(), 1, "every ConfigMap of the namespace");
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
        assert_eq!(findings[0].seen, "ClusterRole cluster-admin is granted to default service accounts");
        assert_eq!(findings[0].evidence[0], "granted to ServiceAccount kube-system/default");
    }

    #[test]
    fn a_right_that_rbac_does_not_explain_is_found() {
        let findings = judge(&healthy(), Ok(&reviews(true))).findings(Severity::Critical);
        assert_eq!(findings[0].seen, "allowed: webhook");
    }

    #[test]
    fn without_answers_it_is_inconclusive() {
        assert_eq!(judge(&healthy(), Err(&Unobserved::Interrupted)).gaps().len(), 1);
    }
}
