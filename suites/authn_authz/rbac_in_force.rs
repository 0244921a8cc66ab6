//! # A user without rights can do nothing
//!
//! ## Why
//! With `--authorization-mode=AlwaysAllow`, with a webhook that allows everything, or with a role bound to everyone who
//! can log in, every credential opens the whole cluster, and nothing looks broken.
//!
//! ## Fix
//! The reason in the finding shows what allows it. A binding: `kubectl describe clusterrolebinding NAME`, then delete
//! it. No reason: correct the API server's `--authorization-mode` (kubeadm: `Node,RBAC`) in
//! `/etc/kubernetes/manifests/kube-apiserver.yaml`, or the file of `--authorization-config`.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go` (`system:basic-user` is all that
//! every user gets); <https://kubernetes.io/docs/reference/access-authn-authz/authorization/>

use super::helpers::node_rights::NODE_AND_RBAC;
use crate::check::{Subject, Verdict};
use crate::fact::facts::nobody_reviews::{NobodyAsks, NobodyReviews};
use crate::seen::Unobserved;
use crate::suites::rights::{Forbidden, asked};

crate::check!(
    "AA-01",
    "rbac-in-force",
    Critical,
    judge,
    builds_on: ["AA-03", "AA-18", "AA-21"],
    blocked_by: ["AA-19"]
);

const FORBIDDEN: Forbidden<'_> = Forbidden {
    expected: "a user to whom no role was granted is denied",
    impact: "every credential opens the whole cluster",
    fix: NODE_AND_RBAC,
};

fn judge(reviews: &NobodyReviews) -> Verdict {
    let mut verdict = Verdict::new();
    let forbidden = reviews.0.iter().filter(|(ask, _)| **ask != NobodyAsks::AskAboutThemselves);
    FORBIDDEN.judge(&mut verdict, None, forbidden.map(|(_, review)| review));
    // The one right that every user has shows that the authorizers know this user.
    if let Some(control) = asked(&mut verdict, &reviews.0, &NobodyAsks::AskAboutThemselves)
        && let Some(answer) = verdict.seen(Subject::cluster, &control.answer)
    {
        if answer.allowed {
            verdict.confirm();
        } else {
            let cause = format!("may not {}, which every user may: {}", control.question, answer.words());
            verdict.unseen(Subject::user(&control.question.user), &Unobserved::invalid("the authorizer", cause));
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::access_review::{Who, testing};

    fn reviews(secret: bool, control: bool) -> NobodyReviews {
        let nobody = Who::user("seaworthy:nobody", &[]);
        let answer = |question, allowed, reason| {
            if allowed { testing::allowed(question, reason) } else { testing::denied(question, "") }
        };
        let secret =
            answer(nobody.may("get", "secrets").in_namespace("kube-system"), secret, "RBAC: permissive-binding");
        let control = answer(nobody.may("create", "selfsubjectaccessreviews"), control, "RBAC: system:basic-user");
        NobodyReviews([(NobodyAsks::ReadSecret, secret), (NobodyAsks::AskAboutThemselves, control)].into())
    }

    #[test]
    fn a_user_without_rights_is_denied() {
        let verdict = judge(&reviews(false, true));
        assert!(verdict.findings(Severity::Critical).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 2);
    }

    #[test]
    fn a_user_who_may_read_secrets_is_found_with_the_reason() {
        let findings = judge(&reviews(true, true)).findings(Severity::Critical);
        assert_eq!(findings[0].evidence, ["seaworthy:nobody may get secrets in namespace kube-system"]);
        assert_eq!(findings[0].seen, "allowed: RBAC: permissive-binding");
    }

    #[test]
    fn denials_prove_nothing_without_the_one_right_that_every_user_has() {
        assert_eq!(judge(&reviews(false, false)).gaps().len(), 1);
    }
}
