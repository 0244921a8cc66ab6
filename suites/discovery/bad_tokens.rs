//! # Bad bootstrap tokens are refused
//!
//! ## Why
//! Whoever bears a bootstrap token may have a node's certificate. A token that was made up, guessed, has expired, was not
//! meant for logging in or was deleted must open nothing; an authenticator that accepts what it should not makes
//! everybody a node, or worse.
//!
//! ## Fix
//! Find out who accepts the token: the user in the finding tells. A webhook (`--authentication-token-webhook-config-file`)
//! that says yes to everything, a static file (`--token-auth-file`) and a proxy that takes the header `Authorization` away
//! are the usual ones. See what the API server is told: `kubectl -n kube-system get pod -l component=kube-apiserver -o yaml`.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authenticator/token/bootstrap/bootstrap.go`,
//! `pkg/kubeapiserver/authenticator/config.go`. HTTP 401 is expected; 403 means that the token was passed over and its
//! bearer taken for nobody. The deleted token is one that nobody bore before: an accepted one is remembered for ten
//! seconds. Made-up tokens are tried wherever requests without credentials are allowed, the others in a rehearsal only.

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::bad_tokens::{BadToken, BadTokens};
use crate::fact::facts::cluster_info::ClusterInfo;
use crate::fact::facts::unknown_tokens::UnknownTokens;
use crate::join::WhoAmI;
use crate::seen::{Seen, Unobserved};

crate::check!("DI-11", "bad-tokens", Critical, judge);

/// Where nothing tells new nodes how to join, bootstrap tokens open nothing and are not looked at.
fn judge(_: &ClusterInfo, unknown: &UnknownTokens, bad: Result<&BadTokens, &Unobserved>) -> Verdict {
    let mut verdict = Verdict::new();
    is_refused(&mut verdict, "a made-up bootstrap token", &unknown.bootstrap);
    is_refused(&mut verdict, "a made-up token of no form", &unknown.shapeless);
    match bad {
        Ok(bad) => judge_bad(&mut verdict, bad),
        Err(why) if why.is_skip() => {
            verdict.note(format!("only made-up tokens were tried, no wrong, expired or deleted ones: {why}"));
        }
        Err(why) => verdict.unseen(Subject::cluster_object("user", "bootstrap tokens"), why),
    }
    verdict
}

fn judge_bad(verdict: &mut Verdict, bad: &BadTokens) {
    let subject = || Subject::user("a good bootstrap token");
    if let Some(control) = verdict.seen(subject, &bad.control) {
        // Without it the refusal of the others proves nothing.
        if control.user.as_deref().is_some_and(|user| user.starts_with("system:bootstrap:")) {
            verdict.confirm();
        } else {
            let cause = format!("it is not accepted, so that refusals prove nothing: {}", control.words());
            verdict.unseen(subject(), &Unobserved::invalid("the API server, shown a good bootstrap token,", cause));
        }
    }
    for (kind, seen) in &bad.refused {
        let what = match kind {
            BadToken::WrongSecret => "a token with a wrong secret",
            BadToken::Expired => "a token that has expired",
            BadToken::SigningOnly => "a token that is for signing only",
            BadToken::Deleted => "a token that was deleted",
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
    match (answer.status, &answer.user) {
        (401, _) => verdict.confirm(),
        (403, _) => verdict.find(
            subject(),
            Finding::new("HTTP 401", format!("HTTP 403: {}", answer.message))
                .so("the token was passed over and its bearer taken for somebody else: clients see a lack of rights where their token is wrong"),
        ),
        (_, Some(_)) => verdict.find(
            subject(),
            Finding::new("HTTP 401", format!("accepted as {}", answer.words()))
                .so("whoever sends such a token has the rights of that user"),
        ),
        (status, None) => {
            let cause = format!("HTTP {status}: {}", answer.message);
            verdict.unseen(subject(), &Unobserved::invalid(format!("the API server, shown {what},"), cause));
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
        Ok(WhoAmI { status, message: "as told".into(), user: user.map(str::to_owned), ..WhoAmI::default() })
    }

    fn unknown(status: u16, user: Option<&str>) -> UnknownTokens {
        UnknownTokens { bootstrap: answered(status, user), shapeless: answered(401, None) }
    }

    fn bad(control: Seen<WhoAmI>, refused: &[(BadToken, u16)]) -> BadTokens {
        let refused = refused.iter().map(|(kind, status)| (*kind, answered(*status, None))).collect();
        BadTokens { control, refused, left: [].into() }
    }

    #[test]
    fn refusals_count_with_a_good_token_beside_them() {
        let good = answered(201, Some("system:bootstrap:cx7f4k"));
        let bad = bad(good, &[(BadToken::WrongSecret, 401), (BadToken::Expired, 401)]);
        let verdict =
            judge(&testing::cluster_info("https://10.77.0.11:6443", Vec::new()), &unknown(401, None), Ok(&bad));
        assert!(verdict.findings(Severity::Critical).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 5);
    }

    #[test]
    fn without_a_good_token_refusals_prove_nothing() {
        let bad = bad(answered(401, None), &[(BadToken::Expired, 401)]);
        let verdict =
            judge(&testing::cluster_info("https://10.77.0.11:6443", Vec::new()), &unknown(401, None), Ok(&bad));
        assert!(verdict.gaps()[0].why.to_string().contains("prove nothing"));
    }

    #[test]
    fn somebody_for_nobody_is_found() {
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
    fn nobody_is_not_what_a_wrong_token_is() {
        let good = answered(201, Some("system:bootstrap:cx7f4k"));
        let verdict = judge(
            &testing::cluster_info("https://10.77.0.11:6443", Vec::new()),
            &unknown(401, None),
            Ok(&bad(good, &[(BadToken::SigningOnly, 403)])),
        );
        assert_eq!(verdict.findings(Severity::Critical).len(), 1);
    }

    #[test]
    fn what_failed_is_undecided() {
        let why = Unobserved::unreachable("POST", "reset");
        let verdict =
            judge(&testing::cluster_info("https://10.77.0.11:6443", Vec::new()), &unknown(503, None), Err(&why));
        assert_eq!(verdict.gaps().len(), 2);
    }
}
