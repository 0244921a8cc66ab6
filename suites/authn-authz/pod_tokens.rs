//! # The tokens of pods are bound to them, and short-lived
//!
//! ## Why
//! A token that was bound to its pod stops working when the pod is gone, and expires within the time that was asked for.
//! One that is not, or that something lengthened, is a key for whoever finds it in a log, in a backup or in an image.
//!
//! ## Fix
//! Find out what changes requests for tokens or the volumes of pods: a mutating policy or webhook on
//! `serviceaccounts/token` or on pods (`kubectl get mutatingwebhookconfigurations,mutatingadmissionpolicies`), or a program
//! that puts a Secret of type `kubernetes.io/service-account-token` where the token should be.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/serviceaccount/claims.go`, `pkg/registry/core/serviceaccount/storage/token.go`. The probes
//! ask for tokens of ten minutes; only their claims leave the pod. Where `--service-account-extend-token-expiration` is on,
//! which is the default, tokens that are mounted by default (of 3,607 seconds, not those of the probes) live for a year.

use crate::check::{Finding, Folded, Subject, Verdict};
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::server_version::ServerVersion;
use crate::jwt::{Bound, Claims, Named};
use crate::seen::Unobserved;
use crate::version::Version;

crate::check!("AA-25", "pod-tokens", Major, judge);

/// What the probes ask for, in seconds, and what may be added to it: nothing is.
const ASKED: i64 = 600;
const SLACK: i64 = 30;
/// Since when tokens are bound to the node as well, and have an id.
const NODES: Version = Version::minor(30);

fn judge(reports: &ProbeReports, server: &ServerVersion) -> Verdict {
    let mut verdict = Verdict::new();
    let mut folded = Folded::new();
    for (node, report) in &reports.0 {
        let subject = || Subject::node(node);
        let Some(answers) = verdict.seen(subject, &report.answers) else { continue };
        match &answers.token {
            None => verdict.unseen(subject(), &Unobserved::absent("the probe did not look at its token")),
            Some(Err(fault)) => verdict.unseen(subject(), &Unobserved::invalid("the probe's token", fault)),
            Some(Ok(claims)) => judge_claims(&mut verdict, &mut folded, node, &report.pod, claims, server.version),
        }
    }
    folded.tell(&mut verdict);
    verdict
}

fn judge_claims(verdict: &mut Verdict, folded: &mut Folded, node: &str, pod: &str, claims: &Claims, server: Version) {
    let nothing = Bound::default();
    let bound = claims.kubernetes.as_ref().unwrap_or(&nothing);
    let is_bound = bound.pod.as_ref().is_some_and(|bound| bound.name == pod && bound.uid.is_some());
    folded.expect(verdict, node, is_bound, || {
        let seen = bound.pod.as_ref().map_or("no pod at all".to_owned(), |bound| format!("pod {}", bound.name));
        Finding::new("tokens bound to the pod in which they are", format!("bound to {seen}"))
            .so("the token works when the pod is gone")
    });
    let lifetime = claims.lifetime();
    folded.expect(verdict, node, lifetime.is_some_and(|lifetime| lifetime <= ASKED + SLACK), || {
        let seen = match lifetime {
            Some(lifetime) => format!("tokens of {}", span(lifetime)),
            None => "tokens that do not expire".to_owned(),
        };
        Finding::new(format!("tokens of {}, as asked for", span(ASKED)), seen)
            .so("something lengthens tokens: a stolen one works for as long")
    });
    folded.expect(verdict, node, !claims.aud.is_empty(), || {
        Finding::new("tokens for a named audience", "tokens for anybody")
            .so("whoever is shown the token can show it to the API server")
    });
    if server >= NODES {
        let of_node = bound.node.as_ref().map(|Named { name, .. }| name.as_str());
        folded.expect(verdict, node, of_node == Some(node), || {
            Finding::new(
                "tokens that name the node of their pod",
                of_node.map_or("no node".to_owned(), |of| format!("node {of}")),
            )
            .so("the use of a token elsewhere cannot be told")
        });
        folded.expect(verdict, node, claims.jti.is_some(), || {
            Finding::new("tokens with an id (jti)", "tokens without")
                .so("the audit log cannot tell one token from another")
        });
    }
}

fn span(seconds: i64) -> String {
    match seconds {
        ..=7_199 => format!("{} minutes", seconds / 60),
        7_200..=172_799 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::probe_reports::testing::report;
    use crate::probe::Answers;
    use crate::probe::fault::{Fault, Got};

    fn claims() -> Claims {
        let named = |name: &str| Some(Named { name: name.into(), uid: Some("u".into()) });
        Claims {
            aud: vec!["https://kubernetes.default.svc.cluster.local".into()],
            iat: Some(1_000),
            exp: Some(1_600),
            jti: Some("j".into()),
            kubernetes: Some(Bound { pod: named("seaworthy-x7f4k-0"), node: named("n1"), ..Bound::default() }),
            ..Claims::default()
        }
    }

    fn judged(token: Option<Got<Claims>>, version: &str) -> Verdict {
        let report = report("seaworthy-x7f4k-0", Ok(Answers { token, ..Answers::default() }));
        let server = ServerVersion { git: version.into(), version: version.parse().unwrap() };
        judge(&ProbeReports([("n1".to_owned(), report)].into()), &server)
    }

    #[test]
    fn a_token_as_it_was_asked_for_passes() {
        let verdict = judged(Some(Ok(claims())), "v1.37.2");
        assert!(verdict.findings(Severity::Major).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 5);
    }

    #[test]
    fn an_old_cluster_does_not_name_nodes() {
        let old = Claims { jti: None, ..claims() };
        assert!(judged(Some(Ok(old.clone())), "v1.29.3").findings(Severity::Major).is_empty());
        assert_eq!(judged(Some(Ok(old)), "v1.30.0").findings(Severity::Major).len(), 1);
    }

    #[test]
    fn a_longer_life_is_found() {
        let long = Claims { exp: Some(1_000 + 86_400 * 365), ..claims() };
        assert_eq!(judged(Some(Ok(long)), "v1.37.2").findings(Severity::Major)[0].seen, "tokens of 365 days");
        let never = Claims { exp: None, ..claims() };
        assert_eq!(judged(Some(Ok(never)), "v1.37.2").findings(Severity::Major)[0].seen, "tokens that do not expire");
    }

    #[test]
    fn a_token_that_is_bound_to_nothing_is_found() {
        let loose = Claims { kubernetes: None, ..claims() };
        let findings = judged(Some(Ok(loose)), "v1.37.2").findings(Severity::Major);
        assert_eq!(findings[0].seen, "bound to no pod at all");
    }

    #[test]
    fn what_was_not_looked_at_is_undecided() {
        assert_eq!(judged(None, "v1.37.2").gaps().len(), 1);
        assert_eq!(judged(Some(Err(Fault::TimedOut)), "v1.37.2").gaps().len(), 1);
    }
}
