//! # Bootstrap tokens are short-lived, cleaned up and unguessable
//!
//! ## Why
//! Anyone with a bootstrap token can make their machine a node, and a node reads the Secrets of the pods that it gets.
//! A token that never expires is still valid when it turns up in a wiki, a script or a shell history. The token of the
//! documentation is valid for everyone who has read it.
//!
//! ## Fix
//! `kubeadm token list`, then `kubeadm token delete ID`, and `kubeadm token create --ttl 2h` whenever a node is to
//! join. The controller-manager removes expired tokens with `--controllers=*,bootstrapsigner,tokencleaner`. The profile
//! sets how long a token may last: `expect: {token-hours: 24}`.
//!
//! ## Source
//! <https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/>; kubernetes/kubernetes
//! `cmd/kubeadm/app/apis/bootstraptoken/v1/defaults.go` (24 hours), `plugin/pkg/auth/authenticator/token/bootstrap`
//! (an expiration that cannot be read counts as expired). KIND clusters have the token of the documentation by design.

use jiff::{SignedDuration, Timestamp};

use super::helpers::SIGNER;
use crate::check::finding::Difference;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::bootstrap_tokens::{BootstrapToken, BootstrapTokens, Expiration};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::cluster_info::ClusterInfo;
use crate::fact::facts::expectations::Expectations;
use crate::fact::facts::nodes::Nodes;
use crate::seen::Unobserved;

crate::check!("DI-06", "token-hygiene", Major, judge, builds_on: ["CP-05", "CP-07", "DI-05", "DI-09"]);

/// The id of the token that the documentation prints.
const WELL_KNOWN: &str = "abcdef";
/// How long an expired token may remain.
const PATIENCE: SignedDuration = SignedDuration::from_hours(1);
/// By how much clocks and the time between creation and check may lengthen the longest life allowed.
const SLACK: SignedDuration = SignedDuration::from_mins(5);

fn judge(
    info: &ClusterInfo,
    tokens: Result<&BootstrapTokens, &Unobserved>,
    nodes: &Nodes,
    expectations: &Expectations,
    clock: &Clock,
) -> Verdict {
    let mut verdict = Verdict::new();
    let is_kind = nodes.0.values().any(|node| node.provider_id.as_deref().is_some_and(|id| id.starts_with("kind://")));
    let tokens = match tokens {
        Ok(tokens) => &tokens.0,
        Err(why) => {
            // What is public shows the ids of the tokens that sign.
            for id in info.signatures.keys() {
                let subject = Subject::object("ConfigMap", "kube-public", "cluster-info");
                verdict.expect(subject, is_kind || id != WELL_KNOWN, well_known);
            }
            verdict.unseen(Subject::cluster_object("Namespace", "kube-system"), why);
            return verdict;
        }
    };
    if tokens.is_empty() {
        return verdict.does_not_apply("there is no bootstrap token, which is fine: create one when a node is to join");
    }
    let longest = SignedDuration::from_hours(i64::from(expectations.token_hours));
    for (name, token) in tokens {
        let subject = || Subject::object("Secret", "kube-system", name);
        verdict.expect(subject(), is_kind || token.id.as_deref() != Some(WELL_KNOWN), well_known);
        let groups: Vec<&String> = token.groups.iter().filter(|group| !is_bootstrap_group(group)).collect();
        verdict.expect(subject(), groups.is_empty(), || {
            Finding::new(
                "the extra groups of a bootstrap token begin with system:bootstrappers:",
                "it has groups that bootstrap tokens cannot have",
            )
            .evidence(groups.iter().map(|group| format!("{name}: {group}")))
            .impact("the API server refuses the token: nodes cannot join with it")
            .fix(format!("{}; kubeadm token create", delete(name)))
        });
        judge_expiration(&mut verdict, name, token, longest, clock.server);
    }
    verdict
}

/// Deletes a token by its Secret, whatever id it contains.
fn delete(name: &str) -> String {
    format!("kubectl -n kube-system delete secret {name}")
}

fn judge_expiration(
    verdict: &mut Verdict,
    name: &str,
    token: &BootstrapToken,
    longest: SignedDuration,
    now: Timestamp,
) {
    let subject = Subject::object("Secret", "kube-system", name);
    let hours = longest.as_hours();
    let soon = format!("a bootstrap token expires within {hours} hours");
    let replace = format!("{}; when a node is to join: kubeadm token create --ttl 2h", delete(name));
    match token.expiration {
        Expiration::Never => verdict.find(
            subject,
            Finding::new(soon, "it never expires")
                .comes_from_its_subjects()
                .impact("anyone who finds it can join a node years from now")
                .fix(replace),
        ),
        Expiration::Unreadable => verdict.find(
            subject,
            Finding::new(
                "a bootstrap token has an expiration in RFC 3339",
                "its expiration cannot be read, which counts as expired",
            )
            .impact("nodes cannot join with it")
            .fix(replace),
        ),
        Expiration::At(end) if end <= now => {
            let ago = now.duration_since(end);
            verdict.expect(subject, ago <= PATIENCE, || {
                Finding::new(
                    "an expired bootstrap token is deleted",
                    format!("it still exists {} hours after it expired at {end}", ago.as_hours()),
                )
                .impact("the token cleaner does not run: expired tokens pile up")
                .fix(format!("{}; {SIGNER}", delete(name)))
            });
        }
        Expiration::At(end) => {
            let left = end.duration_since(now);
            verdict.expect(subject, left <= longest + SLACK, || {
                Finding::new(soon, format!("it expires in {} hours, at {end}", left.as_hours()))
                    .comes_from_its_subjects()
                    .impact("the longer it is valid, the more likely someone finds and uses it")
                    .fix(replace)
            });
        }
    }
}

/// Judges the ids in the signatures, which are all that is known without permission to list the Secrets.
fn well_known() -> Difference {
    Finding::new(
        "bootstrap tokens cannot be guessed",
        format!("token {WELL_KNOWN} is the one that the documentation prints"),
    )
    .impact("anyone who reaches the API server can try to join a node with it")
    .fix(format!("kubeadm token delete {WELL_KNOWN}; when a node is to join: kubeadm token create --ttl 2h"))
    .severity(Severity::Critical)
}

/// Whether the authenticator accepts it as a group of a token.
fn is_bootstrap_group(group: &str) -> bool {
    let Some(rest) = group.strip_prefix("system:bootstrappers:") else {
        return false;
    };
    let is_sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=256).contains(&rest.len())
        && rest.bytes().all(|byte| is_sound(byte) || byte == b':' || byte == b'-')
        && rest.bytes().last().is_some_and(is_sound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::bootstrap_tokens::testing::token;
    use crate::fact::facts::cluster_info::testing::cluster_info;
    use crate::fact::facts::nodes::Node;
    use crate::suites::pki::testing::{clock, now};

    fn info(signatures: &[&str]) -> ClusterInfo {
        let mut info = cluster_info("https://10.77.0.11:6443", Vec::new());
        info.signatures = signatures.iter().map(|id| ((*id).to_owned(), Ok(()))).collect();
        info
    }

    fn judged(tokens: Vec<(String, BootstrapToken)>, nodes: &Nodes) -> Verdict {
        let tokens = BootstrapTokens(tokens.into_iter().collect());
        judge(&info(&[]), Ok(&tokens), nodes, &Expectations::default(), &clock())
    }

    fn in_hours(hours: i64) -> Timestamp {
        now() + SignedDuration::from_hours(hours)
    }

    fn expiring(expiration: Expiration) -> Vec<(String, BootstrapToken)> {
        let (name, token) = token("lastly", now());
        vec![(name, BootstrapToken { expiration, ..token })]
    }

    fn only_finding(verdict: &Verdict) -> Finding {
        let findings = verdict.findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        finding.clone()
    }

    #[test]
    fn the_token_of_kubeadm_passes() {
        let verdict = judged(vec![token("beacon", in_hours(24))], &Nodes::default());
        assert!(verdict.findings(Severity::Major).is_empty());
        assert_eq!(verdict.observations(), 3);
    }

    #[test]
    fn a_token_without_end_or_with_a_late_one_is_found() {
        let never = only_finding(&judged(expiring(Expiration::Never), &Nodes::default()));
        assert_eq!(never.seen, "it never expires");
        let late = only_finding(&judged(expiring(Expiration::At(in_hours(48))), &Nodes::default()));
        assert!(late.seen.starts_with("it expires in 48 hours, at "));
        assert!(late.fix.starts_with("kubectl -n kube-system delete secret bootstrap-token-lastly"), "{late:?}");
        let unreadable = only_finding(&judged(expiring(Expiration::Unreadable), &Nodes::default()));
        assert!(unreadable.seen.contains("counts as expired"));
    }

    #[test]
    fn an_expired_token_that_remains_is_found() {
        let stale = only_finding(&judged(expiring(Expiration::At(in_hours(-3))), &Nodes::default()));
        assert!(stale.seen.starts_with("it still exists 3 hours after it expired at "), "{stale:?}");
        let fresh = judged(expiring(Expiration::At(now() - PATIENCE / 2)), &Nodes::default());
        assert!(fresh.findings(Severity::Major).is_empty());
    }

    #[test]
    fn the_token_of_the_documentation_is_critical_outside_of_kind() {
        let tokens = || vec![token(WELL_KNOWN, in_hours(12))];
        assert_eq!(only_finding(&judged(tokens(), &Nodes::default())).severity, Severity::Critical);
        let node = Node { provider_id: Some("kind://docker/kind/kind-control-plane".into()), ..Node::default() };
        let kind = judged(tokens(), &Nodes([("kind-control-plane".to_owned(), node)].into()));
        assert!(kind.findings(Severity::Major).is_empty());
    }

    #[test]
    fn a_group_that_the_authenticator_refuses_is_found() {
        let (name, token) = token("beacon", in_hours(12));
        let strange = BootstrapToken { groups: vec!["system:masters".into()], ..token };
        assert_eq!(
            only_finding(&judged(vec![(name, strange)], &Nodes::default())).evidence,
            ["bootstrap-token-beacon: system:masters"]
        );
        assert!(is_bootstrap_group("system:bootstrappers:kubeadm:default-node-token"));
        assert!(!is_bootstrap_group("system:bootstrappers:") && !is_bootstrap_group("system:bootstrappers:a-"));
    }

    #[test]
    fn without_the_secrets_only_the_ids_are_judged_and_never_as_a_pass() {
        let refused = Unobserved::Refused { missing: "list secrets".into(), message: "no".into() };
        let judged =
            |ids: &[&str]| judge(&info(ids), Err(&refused), &Nodes::default(), &Expectations::default(), &clock());
        assert_eq!(only_finding(&judged(&["abcdef"])).severity, Severity::Critical);
        for ids in [&[][..], &["beacon"], &["abcdef"]] {
            assert_eq!(judged(ids).gaps().len(), 1, "{ids:?}");
        }
    }

    #[test]
    fn without_tokens_it_does_not_apply() {
        assert!(judged(Vec::new(), &Nodes::default()).reason().is_some());
    }
}
