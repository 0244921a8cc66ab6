//! # Every token that never expires is in use, or refused
//!
//! ## Why
//! Before 1.24 every service account had a token in a Secret, which is valid forever: anyone who copied it years ago
//! can still act as that account. The controller-manager invalidates and removes those that it created itself once they
//! were unused for a year; those that someone created by hand stay.
//!
//! ## Fix
//! `kubectl -n NAMESPACE label secret NAME kubernetes.io/legacy-token-invalid-since=$(date +%F)` refuses the token
//! without removing it. If nothing breaks for a while: `kubectl -n NAMESPACE delete secret NAME`. Programs that need a
//! token get one that expires from `kubectl create token`, or from a projected volume.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/controlplane/controller/legacytokentracking/controller.go` and
//! `pkg/controller/serviceaccount/legacy_serviceaccount_token_cleaner.go` (KEP-2799, GA 1.30). Only the metadata of
//! Secrets is fetched, but RBAC makes no such difference: where listing Secrets is not granted, this is skipped.

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::legacy_tokens::{LegacyToken, LegacyTokens, TRACKING};
use crate::object_ref::NamespacedName;
use crate::seen::Unobserved;
use crate::suites::rights::RESTART;

crate::check!("AA-26", "legacy-tokens", Minor, judge);

fn judge(legacy: &LegacyTokens, clock: &Clock) -> Verdict {
    let mut verdict = Verdict::new();
    let today = clock.server.to_zoned(TimeZone::UTC).date();
    let a_year_ago = today.saturating_sub(1.year());
    let since = tracked_since(&mut verdict, legacy);
    let (mut live, mut invalid) = (0, 0);
    for (secret, token) in &legacy.tokens {
        let NamespacedName { namespace, name } = secret;
        let subject = Subject::from(secret.of("Secret"));
        if token.invalid_since.is_some() {
            invalid += 1;
            verdict.confirm();
            continue;
        }
        live += 1;
        // Whether a token was used before API servers tracked its use is unknown.
        let Some(idle_since) = token.last_used_on().or_else(|| Some(since?.max(created(token)?))) else {
            let unknown = match since {
                None => "whether it is in use is unknown: the start of tracking was not seen",
                Some(_) => "it has no creation time",
            };
            verdict.unseen(subject, &Unobserved::invalid(format!("Secret {secret}"), unknown));
            continue;
        };
        verdict.expect(subject, idle_since >= a_year_ago, || {
            let used = match &token.last_used {
                Some(day) => format!("was last used {day}"),
                None => format!("was never used since {idle_since}"),
            };
            Finding::new(
                "a token that never expires is in use, or refused",
                format!("the token of service account {namespace}/{} {used}", token.service_account),
            )
            .impact("anyone with a copy of it can act as that service account, although nothing seems to need it")
            .fix(format!("kubectl -n {namespace} label secret {name} kubernetes.io/legacy-token-invalid-since={today}"))
        });
    }
    verdict.note(format!("tokens in Secrets: {live} are accepted, {invalid} are refused"));
    verdict
}

/// Since when API servers have tracked the use of tokens; asserts that they do.
fn tracked_since(verdict: &mut Verdict, legacy: &LegacyTokens) -> Option<Date> {
    let subject = || Subject::object("ConfigMap", "kube-system", TRACKING);
    match &legacy.tracked_since {
        Ok(day) => match day.parse() {
            Ok(day) => {
                verdict.confirm();
                Some(day)
            }
            Err(e) => {
                verdict.unseen(subject(), &Unobserved::invalid(day.clone(), e));
                None
            }
        },
        Err(Unobserved::Absent { evidence }) => {
            verdict.find(
                subject(),
                Finding::new("API servers track the use of tokens in Secrets", evidence.clone())
                    .impact("which of these tokens are in use is unknown")
                    .fix(format!("wait half an hour for an API server to create it again, or {RESTART}"))
                    .info(),
            );
            None
        }
        Err(why) => {
            verdict.unseen(subject(), why);
            None
        }
    }
}

fn created(token: &LegacyToken) -> Option<Date> {
    token.created.map(|at| at.to_zoned(TimeZone::UTC).date())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::object_ref::testing::named;

    fn judged(tracked: &str, token: LegacyToken) -> Verdict {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let tokens = [(named("ops/deployer-token"), LegacyToken { service_account: "deployer".into(), ..token })];
        let tracked_since = Ok(tracked.to_owned());
        judge(&LegacyTokens { tracked_since, tokens: tokens.into() }, &Clock { server: now, here: now })
    }

    fn token(created: &str, last_used: Option<&str>) -> LegacyToken {
        let created = Some(format!("{created}T00:00:00Z").parse().unwrap());
        LegacyToken { created, last_used: last_used.map(Into::into), ..LegacyToken::default() }
    }

    #[test]
    fn a_token_in_use_passes_whatever_its_age() {
        let verdict = judged("2023-01-01", token("2019-05-01", Some("2026-11-01")));
        assert!(verdict.findings(Severity::Minor).is_empty() && verdict.saw_everything());
        assert_eq!(crate::check::testing::notes(&verdict), ["tokens in Secrets: 1 are accepted, 0 are refused"]);
    }

    #[test]
    fn a_token_unused_for_a_year_is_found() {
        let findings = judged("2023-01-01", token("2019-05-01", Some("2025-03-01"))).findings(Severity::Minor);
        assert_eq!(findings[0].seen, "the token of service account ops/deployer was last used 2025-03-01");
        assert!(findings[0].fix.contains("-n ops label secret deployer-token"));
        let findings = judged("2024-01-01", token("2019-05-01", None)).findings(Severity::Minor);
        assert!(findings[0].seen.contains("never used since 2024-01-01"));
    }

    #[test]
    fn a_token_that_was_not_tracked_for_a_year_passes() {
        assert!(judged("2026-06-01", token("2019-05-01", None)).findings(Severity::Minor).is_empty());
        assert!(judged("2023-01-01", token("2026-10-01", None)).findings(Severity::Minor).is_empty());
    }

    #[test]
    fn a_refused_token_passes() {
        let invalid = LegacyToken { invalid_since: Some("2026-01-01".into()), ..token("2019-05-01", None) };
        assert!(judged("2023-01-01", invalid).findings(Severity::Minor).is_empty());
    }

    #[test]
    fn without_tracking_it_is_information() {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let absent = LegacyTokens { tracked_since: Err(Unobserved::absent("not found")), tokens: [].into() };
        let verdict = judge(&absent, &Clock { server: now, here: now });
        assert_eq!(verdict.findings(Severity::Minor)[0].severity, Severity::Info);
        let tokens = [(named("ops/old"), token("2019-05-01", None))].into();
        let old = LegacyTokens { tracked_since: Err(Unobserved::absent("not found")), tokens };
        let verdict = judge(&old, &Clock { server: now, here: now });
        assert_eq!((verdict.findings(Severity::Minor).len(), verdict.gaps().len()), (1, 1), "unused since when?");
        let refused = LegacyTokens { tracked_since: Err(Unobserved::Interrupted), tokens: [].into() };
        assert_eq!(judge(&refused, &Clock { server: now, here: now }).gaps().len(), 1);
    }
}
