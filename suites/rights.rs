//! What checks about rights share: how answers of the authorizers are judged, and which rights are dangerous.

use std::collections::BTreeMap;
use std::fmt::Debug;

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::access_review::Review;
use crate::fact::facts::rbac::{BINDING, CLUSTER_BINDING, Grant, PolicyRule, Rbac};
use crate::holder::Holder;
use crate::object_ref::ObjectRef;
use crate::seen::Unobserved;

/// Rights that open Secrets, other identities or other workloads.
const DANGEROUS: &[(&[&str], &str, &[&str], &str)] = &[
    (&["get", "list", "watch"], "", &["secrets"], "reads Secrets"),
    (&["create", "update", "patch", "delete"], "", &["secrets"], "changes Secrets"),
    (&["create"], "", &["serviceaccounts/token"], "creates tokens for service accounts"),
    (&["create"], "", &["pods"], "runs pods"),
    (&["update", "patch"], "", &["pods"], "changes the images of running pods"),
    (&["get", "create"], "", &["pods/exec", "pods/attach", "nodes/proxy"], "runs commands in pods"),
    (
        &["create", "update", "patch"],
        "apps",
        &["deployments", "daemonsets", "statefulsets", "replicasets"],
        "runs pods",
    ),
    (&["create", "update", "patch"], "", &["replicationcontrollers"], "runs pods"),
    (&["create", "update", "patch"], "batch", &["cronjobs"], "runs pods"),
    (&["create"], "batch", &["jobs"], "runs pods"),
    (&["update", "patch"], "", &["pods/ephemeralcontainers"], "runs commands in pods"),
    (&["impersonate"], "", &["users", "groups", "serviceaccounts"], "impersonates other users"),
    (
        &["create", "update", "patch", "bind", "escalate"],
        "rbac.authorization.k8s.io",
        &["roles", "clusterroles", "rolebindings", "clusterrolebindings"],
        "grants rights",
    ),
    (&["update", "patch"], "certificates.k8s.io", &["certificatesigningrequests/approval"], "approves certificates"),
    (
        &["create", "update", "patch"],
        "admissionregistration.k8s.io",
        &["mutatingwebhookconfigurations", "validatingwebhookconfigurations", "mutatingadmissionpolicies"],
        "changes admission",
    ),
];

/// What their holder can do with the dangerous ones of these rules.
pub fn dangers(rules: &[PolicyRule]) -> Vec<&'static str> {
    let permits = |verbs: &[&str], group, resources: &[&str]| {
        rules
            .iter()
            .any(|rule| verbs.iter().any(|verb| resources.iter().any(|resource| rule.permits(verb, group, resource))))
    };
    let mut dangers: Vec<_> = DANGEROUS
        .iter()
        .filter(|(verbs, group, resources, _)| permits(verbs, group, resources))
        .map(|(.., danger)| *danger)
        .collect();
    dangers.sort_unstable();
    dangers.dedup();
    dangers
}

/// How to call kubectl where the administrators have lost their rights.
pub const SUPER_ADMIN: &str = "kubectl --kubeconfig /etc/kubernetes/super-admin.conf";

/// The command that grants a role to holders: whether the binding is missing, lacks some of them or grants another
/// role.
pub fn bind_as(kubectl: &str, binding: &ObjectRef, role: &ObjectRef, holders: &[Holder]) -> String {
    let holders = holders.iter().map(|holder| match holder {
        Holder::Group(name) => format!("--group={name}"),
        Holder::ServiceAccount(account) => format!("--serviceaccount={}:{}", account.namespace, account.name),
        Holder::User(name) => format!("--user={name}"),
    });
    let holders = holders.collect::<Vec<_>>().join(" ");
    format!(
        "{kubectl} create {} --{}={} {holders} --dry-run=client -o yaml | {kubectl} auth reconcile -f -",
        object(binding),
        role.kind.to_lowercase(),
        role.name
    )
}

/// An object as kubectl's commands name it: its kind, its name and its namespace.
pub fn object(object: &ObjectRef) -> String {
    let namespace = object.namespace.as_ref().map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
    format!("{} {}{namespace}", object.kind.to_lowercase(), object.name)
}

/// How to restart an API server, which restores its default roles and bindings when it starts.
pub const RESTART: &str = "restart one API server, which restores its default roles and bindings when it starts: on a \
                           control-plane node, crictl stop $(crictl ps --name kube-apiserver -q)";

/// How to take what a binding grants away from holders. The binding itself is deleted only with the last of them:
/// others may need it, and Kubernetes' own must remain.
pub fn unbind(grant: &Grant<'_>, unwanted: &[&Holder]) -> String {
    let (binding, name) = (object(grant.object), &grant.object.name);
    let has_others = grant.binding.holders.iter().any(|holder| !unwanted.contains(&holder));
    if has_others || name.starts_with("system:") || name.starts_with("kubeadm:") {
        return remove(grant.object, unwanted);
    }
    format!("kubectl describe {binding}; kubectl delete {binding}")
}

/// How to remove holders from a binding.
pub fn remove(binding: &ObjectRef, unwanted: &[&Holder]) -> String {
    match unwanted {
        [holder] => format!("remove {holder} from the binding: kubectl edit {}", object(binding)),
        _ => format!("remove these subjects from the binding: kubectl edit {}", object(binding)),
    }
}

/// A holder of rights as what a note is about.
pub fn about(holder: &Holder) -> Subject {
    match holder {
        Holder::Group(name) | Holder::User(name) => Subject::cluster_object(holder.kind(), name.as_ref()),
        Holder::ServiceAccount(account) => account.of(holder.kind()).into(),
    }
}

/// What a binding grants and to whom, as evidence.
pub fn details<'a>(holders: &[&'a Holder], rules: &'a [PolicyRule]) -> impl Iterator<Item = String> {
    let holders = holders.iter().map(|holder| format!("granted to {holder}")).collect::<Vec<_>>();
    holders.into_iter().chain(rules.iter().map(|rule| format!("permits: {rule}")))
}

/// The answer to a question. Without one, what it is about was not checked.
pub fn asked<'a, K: Ord + Debug>(
    verdict: &mut Verdict,
    reviews: &'a BTreeMap<K, Review>,
    question: &K,
) -> Option<&'a Review> {
    let review = reviews.get(question);
    if review.is_none() {
        let why = Unobserved::invalid("the authorizers", format!("they were not asked {question:?}"));
        verdict.unseen(Subject::cluster(), &why);
    }
    review
}

/// The checks of the authorizers, and of the bindings that grant what a cluster needs.
const DEFAULTS: &[&str] = &["AA-03", "AA-19", "AA-21"];

/// Asserts that the authorizers allow something.
pub fn may(verdict: &mut Verdict, review: &Review, severity: Severity, impact: &str, fix: &str) {
    let (question, answer) = (&review.question, review.decided());
    let Some(answer) = verdict.seen(|| Subject::user(&question.user), &answer) else { return };
    verdict.expect(Subject::user(&question.user), answer.allowed, || {
        let finding = Finding::new(format!("may {question}"), answer.words()).impact(impact).fix(fix);
        // What others may do explains no denial.
        finding.severity(severity).same_as(DEFAULTS).comes_from(Subject::user(&question.user))
    });
}

/// Something that the authorizers must not allow.
pub struct Forbidden<'a> {
    /// What must be so instead.
    pub expected: &'a str,
    /// What follows otherwise.
    pub impact: &'a str,
    /// How to fix it where no binding allows it.
    pub fix: &'a str,
}

impl Forbidden<'_> {
    /// Asserts that the authorizers allow none of these. Requests that are allowed for the same reason are one finding.
    /// A check that needs RBAC anyway passes it: it shows what manages the binding.
    pub fn judge<'a>(&self, verdict: &mut Verdict, rbac: Option<&Rbac>, reviews: impl IntoIterator<Item = &'a Review>) {
        for review in reviews {
            let (question, answer) = (&review.question, review.decided());
            let subject = || Subject::user(&question.user);
            let Some(answer) = verdict.seen(subject, &answer) else { continue };
            verdict.expect(subject(), !answer.allowed, || {
                let finding = Finding::new(self.expected, answer.words())
                    .evidence([format!("{} may {question}", question.user)])
                    .impact(self.impact);
                match taken_away(&answer.reason) {
                    Some((binding, fix)) => {
                        let manager = rbac.and_then(|rbac| rbac.manager(&binding));
                        finding.fix(fix).managed_by(manager).comes_from(&binding)
                    }
                    None => finding.fix(self.fix),
                }
            });
        }
    }
}

/// The binding by which RBAC allows something for this reason, in whose words a RoleBinding is `"NAME/NAMESPACE"`, and
/// how to take the right away.
fn taken_away(reason: &str) -> Option<(ObjectRef, String)> {
    let reason = reason.strip_prefix("RBAC: allowed by ")?;
    let [_, name, _, _, kind, holder, _] = reason.split('"').collect::<Vec<_>>()[..] else { return None };
    let object_ref = match name.split_once('/') {
        Some((name, namespace)) => ObjectRef::namespaced(BINDING, namespace.to_owned(), name.to_owned()),
        None => ObjectRef::cluster(CLUSTER_BINDING, name.to_owned()),
    };
    let (kind, binding) = (kind.strip_prefix(" to ")?.trim_end(), object(&object_ref));
    let fix = format!(
        "find out who needs it (kubectl describe {binding}), bind the role to that service account only, then remove \
         {kind} {holder} from the binding: kubectl edit {binding}"
    );
    Some((object_ref, fix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::access_review::{Who, testing};
    use crate::fact::facts::rbac::testing::rule;

    #[test]
    fn dangers_are_named_once() {
        assert_eq!(
            dangers(&[rule(&["*"], "", &["*"])]),
            [
                "changes Secrets",
                "changes the images of running pods",
                "creates tokens for service accounts",
                "impersonates other users",
                "reads Secrets",
                "runs commands in pods",
                "runs pods",
            ]
        );
        assert_eq!(dangers(&[rule(&["get"], "", &["nodes/proxy"])]), ["runs commands in pods"]);
        assert!(dangers(&[rule(&["get", "list", "watch"], "", &["configmaps", "nodes"])]).is_empty());
    }

    #[test]
    fn a_binding_that_others_need_is_not_deleted() {
        let rbac = Rbac::default()
            .with_binding("kubeadm:cluster-admins", "ClusterRole a", &["Group kubeadm:cluster-admins", "Group devs"])
            .with_binding("ops/devs", "Role a", &["Group devs"])
            .with_binding("ops/both", "Role a", &["Group devs", "Group ops"]);
        let fixes: Vec<_> = rbac.grants().map(|grant| unbind(&grant, &[&Holder::group("devs")])).collect();
        assert_eq!(
            fixes,
            [
                "remove Group devs from the binding: kubectl edit clusterrolebinding kubeadm:cluster-admins",
                "remove Group devs from the binding: kubectl edit rolebinding both -n ops",
                "kubectl describe rolebinding devs -n ops; kubectl delete rolebinding devs -n ops",
            ]
        );
    }

    const FORBIDDEN: Forbidden<'_> =
        Forbidden { expected: "nothing is allowed", impact: "it is open", fix: "close it" };

    #[test]
    fn a_right_of_several_accounts_is_one_finding() {
        let accounts = ["a", "b"].map(|namespace| Who::service_account(namespace, "default"));
        let reviews = accounts.map(|account| testing::allowed(account.may("list", "secrets"), "to everyone"));
        let mut verdict = Verdict::new();
        FORBIDDEN.judge(&mut verdict, None, &reviews);
        let findings = verdict.findings(Severity::Major);
        assert_eq!((findings.len(), findings[0].fix.as_str()), (1, "close it"));
        let names: Vec<_> = findings[0].subjects.iter().map(|subject| subject.name.as_str()).collect();
        assert_eq!(names, ["system:serviceaccount:a:default", "system:serviceaccount:b:default"]);
    }

    #[test]
    fn a_denial_while_an_authorizer_failed_is_inconclusive() {
        let mut review = testing::denied(Who::kubelet("n1").may("list", "secrets"), "");
        review.answer.as_mut().unwrap().evaluation_error = Some("webhook: timed out".into());
        let mut verdict = Verdict::new();
        FORBIDDEN.judge(&mut verdict, None, [&review]);
        may(&mut verdict, &review, Severity::Major, "it fails", "allow it");
        assert_eq!((verdict.observations(), verdict.gaps().len()), (0, 1));
    }

    #[test]
    fn a_question_that_was_not_asked_is_inconclusive() {
        let mut verdict = Verdict::new();
        assert!(asked(&mut verdict, &BTreeMap::new(), &"ListSecrets").is_none());
        assert!(verdict.gaps()[0].why.to_string().contains("ListSecrets"));
    }

    #[test]
    fn the_rights_of_one_binding_are_one_finding() {
        let kubelet = Who::kubelet("n1");
        let mesh = "RBAC: allowed by ClusterRoleBinding \"mesh\" of ClusterRole \"mesh-cni\" to Group \"system:nodes\"";
        let reviews = [
            testing::allowed(kubelet.may("list", "secrets"), mesh),
            testing::allowed(kubelet.may("watch", "secrets"), mesh),
            testing::denied(kubelet.may("delete", "secrets"), "no"),
            Review { question: kubelet.may("create", "secrets"), answer: Err(Unobserved::Interrupted) },
        ];
        let rbac = Rbac::default().with_manager("ClusterRoleBinding mesh");
        let mut verdict = Verdict::new();
        FORBIDDEN.judge(&mut verdict, Some(&rbac), &reviews);
        let findings = verdict.findings(Severity::Major);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].evidence, ["system:node:n1 may list secrets", "system:node:n1 may watch secrets"]);
        assert_eq!(findings[0].seen, format!("allowed: {mesh}"));
        let fix = "remove Group system:nodes from the binding: kubectl edit clusterrolebinding mesh; change it in the \
                   source of Argo CD Application access, because the next sync reverts an edit in place";
        assert!(findings[0].fix.ends_with(fix), "{}", findings[0].fix);
        assert_eq!((verdict.observations(), verdict.gaps().len()), (3, 1));
    }

    #[test]
    fn a_role_binding_is_named_with_its_namespace() {
        let reason = "RBAC: allowed by RoleBinding \"mesh/ops\" of Role \"mesh\" to ServiceAccount \"default/ops\"";
        let (binding, fix) = taken_away(reason).unwrap();
        assert_eq!(binding.to_string(), "RoleBinding ops/mesh");
        assert!(
            fix.ends_with("remove ServiceAccount default/ops from the binding: kubectl edit rolebinding mesh -n ops")
        );
        assert_eq!(taken_away(""), None);
        assert_eq!(taken_away("webhook: allowed"), None);
    }
}
