//! # Invalid bootstrap tokens are refused
//!
//! ## Why
//! Anyone with a bootstrap token can get a node's certificate. A token that was made up, guessed, has expired, was not
//! meant for logging in or was deleted must be refused; an authenticator that accepts it makes anyone a node, or worse.
//!
//! ## Fix
//! Find out what accepts the token: the user in the finding shows it. Usual causes are a webhook
//! (`--authentication-token-webhook-config-file`) that accepts everything, a static file (`--token-auth-file`) and a
//! proxy that removes the header `Authorization`. The API server's flags: `kubectl -n kube-system get pod -l
//! component=kube-apiserver -o yaml`.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authenticator/token/bootstrap/bootstrap.go`,
//! `pkg/kubeapiserver/authenticator/config.go`. HTTP 401 is expected; 403 means that the token was ignored and the
//! client treated as anonymous. The deleted token was never used before: API servers remember an accepted one for ten
//! seconds. Made-up tokens are tried wherever requests without credentials are allowed, the others only in a rehearsal.

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::bad_tokens::{BadToken, BadTokens, WhoAmI};
use crate::fact::facts::cluster_info::ClusterInfo;
use crate::fact::facts::unknown_tokens::UnknownTokens;
use crate::seen::{Seen, Unobserved};

crate::check!("DI-11", "bad-tokens", Critical, judge, blocked_by: ["DI-10"]);

/// Skipped where no ConfigMap shows new nodes how to join, because no bootstrap tokens are in use there.
fn judge(_: &ClusterInfo, unknown: &UnknownTokens, bad: Result<&BadTokens, &Unobserved>) -> Verdict {
    let mut verdict = Verdict::new();
    is_refused(&mut verdict, "a made-up bootstrap token", &unknown.bootstrap);
    is_refused(&mut verdict, "a made-up token in no known form", &unknown.shapeless);
    match bad {
        Ok(bad) => judge_bad(&mut verdict, bad),
        Err(why) if why.is_skip() => {
            verdict.note(format!("only made-up tokens were tried, not wrong, expired or deleted ones: {why}"));
        }
        Err(why) => verdict.unseen(Subject::cluster(), why),
    }
    verdict
}

fn judge_bad(verdict: &mut Verdict, bad: &BadTokens) {
    let subject = || Subject::user("the bearer of a valid bootstrap token");
    if let Some(control) = verdict.seen(subject, &bad.control) {
        // Without it the refusal of the others proves nothing.
        if control.user.as_deref().is_some_and(|user| user.starts_with("system:bootstrap:")) {
            verdict.confirm();
        } else {
            let cause = format!("it is not accepted, so refusals prove nothing: {}", control.words());
            verdict
                .unseen(subject(), &Unobserved::invalid("the API server's answer to a valid bootstrap token", cause));
        }
    }
    for (kind, seen) in &bad.refused {
        let what = match kind {
            BadToken::WrongSecret => "a token with a wrong secret",
            BadToken::Expired => "an expired token",
            BadToken::SigningOnly => "a token that is only for signing",
            BadToken::Deleted => "a deleted token",
        };
        is_refused(verdict, what, seen);
    }
    for (object, why) in &bad.left {
        verdict.unseen(Subject::cluster_object("the removal of", object), why);
    }
}

fn is_refused(verdict: &mut Verdict, what: &str, seen: &Seen<WhoAmI>) {
    let subject = || Subject::user(format!("the bearer of {what}"));
    let Some(answer) = verdict.seen(subject, seen) else { return };
    let expected = "the API server refuses an invalid token with HTTP 401";
    match (answer.status, &answer.user) {
        (401, _) => verdict.confirm(),
        (403, _) => verdict.find(
            subject(),
            Finding::new(expected, format!("it answers HTTP 403: {}", answer.message))
                .impact(
                    "the token was ignored and the client treated as another user: clients with a wrong token get \
                     permission errors instead",
                )
                .fix(
                    "let proxies and load balancers in front of the API server pass the header Authorization on, or \
                     remove the proxy that strips the header; flags of the request-header authenticator: kubectl -n kube-system get \
                     pod -l component=kube-apiserver -o yaml",
                ),
        ),
        (_, Some(user)) => verdict.find(
            subject(),
            Finding::new(expected, format!("accepted as {}", answer.words()))
                .impact("anyone who sends such a token has the rights of that user")
                .fix(format!(
                    "on each control-plane node, find in /etc/kubernetes/manifests/kube-apiserver.yaml what knows \
                     {user}: --authentication-token-webhook-config-file, --token-auth-file or --authentication-config; \
                     correct or remove it"
                )),
        ),
        (status, None) => {
            let cause = format!("HTTP {status}: {}", answer.message);
            verdict.unseen(subject(), &Unobserved::invalid(format!("the API server's answer to {what}"), cause));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::cluster_info::testing;
    use crate::seen::Access;

    #[expect(clippy::unnecessary_wraps, reason = "facts hold what was seen, or why not")]
    fn answered(status: u16, user: Option<&str>) -> Seen<WhoAmI> {
        Ok(WhoAmI { status, message: "as answered".into(), user: user.map(str::to_owned), ..WhoAmI::default() })
    }

    fn unknown(status: u16, user: Option<&str>) -> UnknownTokens {
        UnknownTokens { bootstrap: answered(status, user), shapeless: answered(401, None) }
    }

    fn bad(control: Seen<WhoAmI>, refused: &[(BadToken, u16)]) -> BadTokens {
        let refused = refused.iter().map(|(kind, status)| (*kind, answered(*status, None))).collect();
        BadTokens { control, refused, left: [].into() }
    }

    #[test]
    fn refusals_count_if_a_valid_token_is_accepted() {
        let good = answered(201, Some("system:bootstrap:cx7f4k"));
        let bad = bad(good, &[(BadToken::WrongSecret, 401), (BadToken::Expired, 401)]);
        let verdict =
            judge(&testing::cluster_info("https://10.77.0.11:6443", Vec::new()), &unknown(401, None), Ok(&bad));
        assert!(verdict.findings(Severity::Critical).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 5);
    }

    #[test]
    fn without_a_valid_token_refusals_prove_nothing() {
        let bad = bad(answered(401, None), &[(BadToken::Expired, 401)]);
        let verdict =
            judge(&testing::cluster_info("https://10.77.0.11:6443", Vec::new()), &unknown(401, None), Ok(&bad));
        assert!(verdict.gaps()[0].why.to_string().contains("prove nothing"));
    }

    #[test]
    fn an_accepted_made_up_token_is_found() {
        let not_allowed = Unobserved::NotAllowed { access: Access::Join, profile: "audit".into() };
        let verdict = judge(
            &testing::cluster_info("https://10.77.0.11:6443", Vec::new()),
            &unknown(201, Some("legacy")),
            Err(&not_allowed),
        );
        let findings = verdict.findings(Severity::Critical);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].seen.starts_with("accepted as legacy"));
        assert!(verdict.saw_everything() && crate::check::testing::notes(&verdict).len() == 1);
    }

    #[test]
    fn a_wrong_token_that_is_ignored_is_found() {
        let good = answered(201, Some("system:bootstrap:cx7f4k"));
        let verdict = judge(
            &testing::cluster_info("https://10.77.0.11:6443", Vec::new()),
            &unknown(401, None),
            Ok(&bad(good, &[(BadToken::SigningOnly, 403)])),
        );
        assert_eq!(verdict.findings(Severity::Critical).len(), 1);
    }

    #[test]
    fn failed_requests_are_inconclusive() {
        let why = Unobserved::unreachable("POST", "reset");
        let verdict =
            judge(&testing::cluster_info("https://10.77.0.11:6443", Vec::new()), &unknown(503, None), Err(&why));
        assert_eq!(verdict.gaps().len(), 2);
    }
}
