//! # The tokens of pods are bound to them, and short-lived
//!
//! ## Why
//! A token that is bound to its pod stops working when the pod is deleted, and expires within the time that was asked
//! for. One that is not, or that something lengthened, is a key for anyone who finds it in a log, in a backup or in an
//! image.
//!
//! ## Fix
//! Find out what changes requests for tokens or the volumes of pods: a mutating policy or webhook on
//! `serviceaccounts/token` or on pods (`kubectl get mutatingwebhookconfigurations,mutatingadmissionpolicies`), or a
//! program that mounts a Secret of type `kubernetes.io/service-account-token` where the token should be.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/serviceaccount/claims.go`, `pkg/registry/core/serviceaccount/storage/token.go`. The
//! probes ask for tokens of ten minutes; only their claims leave the pod. With
//! `--service-account-extend-token-expiration`, which is on by default, tokens that are mounted by default (of 3,607
//! seconds, not those of the probes) live for a year.

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::server_version::ServerVersion;
use crate::jwt::{Bound, Claims, Named};
use crate::seen::Unobserved;
use crate::version::Version;

crate::check!("AA-25", "pod-tokens", Major, judge, builds_on: ["AA-24", "KL-13"], blocked_by: ["KL-16"]);

/// What the probes ask for, in seconds, and what may be added to it: nothing is.
const ASKED: i64 = 600;
const SLACK: i64 = 30;
/// Since when tokens are bound to the node as well, and have an id.
const NODES: Version = Version::minor(30);

fn judge(reports: &ProbeReports, server: &ServerVersion) -> Verdict {
    let mut verdict = Verdict::new();
    for (node, report) in &reports.0 {
        let subject = || Subject::node(node);
        let Some(answers) = verdict.seen(subject, &report.answers) else { continue };
        match &answers.token {
            None => verdict.unseen(subject(), &Unobserved::absent("the probe did not read its token")),
            Some(Err(fault)) => verdict.unseen(subject(), &Unobserved::invalid("the probe's token", fault)),
            Some(Ok(claims)) => judge_claims(&mut verdict, node, &report.pod, claims, server.version),
        }
    }
    verdict
}

/// How to find what changes the tokens of pods.
const FIND: &str = "find the mutating policy or webhook on serviceaccounts/token or pods that changes it, and limit \
                    it: kubectl get mutatingwebhookconfigurations,mutatingadmissionpolicies -o yaml";
/// How to have API servers name a node and an id in tokens.
const GATES: &str = "on each control-plane node, in /etc/kubernetes/manifests/kube-apiserver.yaml, remove \
                     ServiceAccountTokenPodNodeInfo=false and ServiceAccountTokenJTI=false from --feature-gates";

fn judge_claims(verdict: &mut Verdict, node: &str, pod: &str, claims: &Claims, server: Version) {
    let subject = || Subject::node(node);
    let nothing = Bound::default();
    let bound = claims.kubernetes.as_ref().unwrap_or(&nothing);
    let is_bound = bound.pod.as_ref().is_some_and(|bound| bound.name == pod && bound.uid.is_some());
    verdict.expect(subject(), is_bound, || {
        let seen = bound.pod.as_ref().map_or("no pod".to_owned(), |bound| format!("pod {}", bound.name));
        Finding::new("a pod's token is bound to that pod", "it is not bound to the probe's pod")
            .evidence([format!("{node}: the token in pod {pod} is bound to {seen}")])
            .impact("the token keeps working after the pod is deleted")
            .fix(FIND)
    });
    let lifetime = claims.lifetime();
    verdict.expect(subject(), lifetime.is_some_and(|lifetime| lifetime <= ASKED + SLACK), || {
        let seen = match lifetime {
            Some(lifetime) => format!("pods get tokens of {}", span(lifetime)),
            None => "pods get tokens that do not expire".to_owned(),
        };
        Finding::new(format!("pods get tokens with the lifetime that they request, {}", span(ASKED)), seen)
            .impact("a stolen token works for that long")
            .fix(FIND)
    });
    verdict.expect(subject(), !claims.aud.is_empty(), || {
        Finding::new("a pod's token names its audience", "it names none")
            .impact("any service that receives the token can use it at the API server")
            .fix(FIND)
    });
    if server >= NODES {
        let of_node = bound.node.as_ref().map(|Named { name, .. }| name.as_str());
        verdict.expect(subject(), of_node == Some(node), || {
            Finding::new("a pod's token names the node of the pod", "it does not name this node")
                .evidence([format!("{node}: the token names {}", of_node.unwrap_or("no node"))])
                .impact("the use of a stolen token on another node cannot be detected")
                .fix(GATES)
        });
        verdict.expect(subject(), claims.jti.is_some(), || {
            Finding::new("a pod's token has an id (jti)", "it has none")
                .impact("the audit log does not show which token was used")
                .fix(GATES)
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
    use crate::fact::facts::probe_reports::answers::{Answers, Fault, Got};
    use crate::fact::facts::probe_reports::testing::report;

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
        assert_eq!(judged(Some(Ok(long)), "v1.37.2").findings(Severity::Major)[0].seen, "pods get tokens of 365 days");
        let never = Claims { exp: None, ..claims() };
        assert_eq!(
            judged(Some(Ok(never)), "v1.37.2").findings(Severity::Major)[0].seen,
            "pods get tokens that do not expire"
        );
    }

    #[test]
    fn a_token_that_is_bound_to_nothing_is_found() {
        let loose = Claims { kubernetes: None, ..claims() };
        let findings = judged(Some(Ok(loose)), "v1.37.2").findings(Severity::Major);
        assert_eq!(findings[0].evidence, ["n1: the token in pod seaworthy-x7f4k-0 is bound to no pod"]);
    }

    #[test]
    fn a_token_that_was_not_read_is_inconclusive() {
        assert_eq!(judged(None, "v1.37.2").gaps().len(), 1);
        assert_eq!(judged(Some(Err(Fault::TimedOut)), "v1.37.2").gaps().len(), 1);
    }
}
