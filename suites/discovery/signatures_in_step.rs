//! # cluster-info is signed with every token that may sign, and with no other
//!
//! ## Why
//! A token without a signature cannot be used to join: `kubeadm join` waits for it until it gives up. A signature
//! without a token shows that the bootstrap signer does not run, so the next token will not be signed either.
//!
//! ## Fix
//! The controller-manager needs `--controllers=*,bootstrapsigner,tokencleaner`, as kubeadm sets it; its log contains
//! the signer's errors. A token's Secret must be named `bootstrap-token-ID`: create it with `kubeadm token create`. If
//! the signer missed an update, the next change of a token or of cluster-info makes it sign again.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/controller/bootstrap/bootstrapsigner.go`, `util.go` (which Secrets it uses). An unsigned
//! token younger than a minute was read twice, two seconds apart; the signer needs less than one. Tokens without the
//! usage `signing`, such as that of `kubeadm init phase upload-certs`, are rightly unsigned.

use std::collections::BTreeSet;

use super::helpers::SIGNER;
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::bootstrap_tokens::{BootstrapTokens, Signature};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::cluster_info::ClusterInfo;

crate::check!("DI-05", "signatures-in-step", Major, judge, builds_on: ["CP-05", "CP-07", "DI-04"]);

fn judge(info: &ClusterInfo, tokens: &BootstrapTokens, clock: &Clock) -> Verdict {
    let mut verdict = Verdict::new();
    for (name, token) in tokens.0.iter().filter(|(_, token)| token.is_for_signing(clock.server)) {
        let subject = || Subject::object("Secret", "kube-system", name);
        let id = token.id.as_deref().unwrap_or("ID");
        let expected = "cluster-info is signed with the token in this Secret";
        let impact = "nodes cannot join with the token";
        if token.is_found_as(name) {
            verdict.expect(subject(), token.signature != Signature::Missing, || {
                Finding::new(expected, "it is not signed with it: the bootstrap signer does not run")
                    .evidence([format!("there is no jws-kubeconfig-{id} in cluster-info")])
                    .impact(impact)
                    .fix(SIGNER)
            });
        } else {
            verdict.find(
                subject(),
                Finding::new(
                    expected,
                    format!("the Secret is named {name}, but the bootstrap signer uses only bootstrap-token-{id}"),
                )
                .impact(impact)
                .fix(format!("kubectl -n kube-system delete secret {name}; kubeadm token create")),
            );
        }
    }
    let signing: BTreeSet<&str> = tokens
        .0
        .iter()
        .filter(|(name, token)| token.is_for_signing(clock.server) && token.is_found_as(name))
        .filter_map(|(_, token)| token.id.as_deref())
        .collect();
    let orphans: Vec<&String> = info.signatures.keys().filter(|id| !signing.contains(id.as_str())).collect();
    if !info.signatures.is_empty() {
        verdict.expect(Subject::object("ConfigMap", "kube-public", "cluster-info"), orphans.is_empty(), || {
            Finding::new(
                "cluster-info is signed only with tokens that may sign",
                "it has signatures of tokens that are deleted, expired or not for signing",
            )
            .evidence(orphans.iter().map(|id| format!("jws-kubeconfig-{id}")))
            .impact("the bootstrap signer does not run: the next token will not be signed")
            .fix(SIGNER)
        });
    }
    if verdict.observations() == 0 {
        return verdict.does_not_apply("there is no bootstrap token for signing, and no signature");
    }
    verdict
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::bootstrap_tokens::testing::token;
    use crate::fact::facts::bootstrap_tokens::{BootstrapToken, Expiration};
    use crate::fact::facts::cluster_info::testing::cluster_info;
    use crate::suites::pki::testing::{clock, now};

    fn judged(signatures: &[&str], tokens: Vec<(String, BootstrapToken)>) -> Verdict {
        let mut info = cluster_info("https://10.77.0.11:6443", Vec::new());
        info.signatures = signatures.iter().map(|id| ((*id).to_owned(), Ok(()))).collect();
        judge(&info, &BootstrapTokens(tokens.into_iter().collect()), &clock())
    }

    fn signed(id: &str) -> (String, BootstrapToken) {
        token(id, now() + SignedDuration::from_hours(12))
    }

    fn unsigned(id: &str) -> (String, BootstrapToken) {
        let (name, token) = signed(id);
        (name, BootstrapToken { signature: Signature::Missing, ..token })
    }

    fn only_finding(verdict: &Verdict) -> Finding {
        let findings = verdict.findings(Severity::Major);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        finding.clone()
    }

    #[test]
    fn one_signature_for_each_token_passes() {
        let (name, without) = unsigned("uplcrt");
        let of_upload_certs = (name, BootstrapToken { usages: [].into(), ..without });
        let verdict = judged(&["beacon"], vec![signed("beacon"), of_upload_certs]);
        assert!(verdict.findings(Severity::Major).is_empty());
        assert_eq!(verdict.observations(), 2);
    }

    #[test]
    fn a_token_without_a_signature_is_found() {
        let finding = only_finding(&judged(&[], vec![unsigned("unsign")]));
        assert_eq!(finding.evidence, ["there is no jws-kubeconfig-unsign in cluster-info"]);
    }

    #[test]
    fn a_secret_with_another_name_is_named_as_the_cause() {
        let (_, token) = unsigned("strays");
        let finding = only_finding(&judged(&[], vec![("join-token-strays".into(), token)]));
        assert_eq!(
            finding.seen,
            "the Secret is named join-token-strays, but the bootstrap signer uses only bootstrap-token-strays"
        );
    }

    #[test]
    fn a_signature_without_a_token_is_found() {
        let (name, token) = signed("elapse");
        let expired = BootstrapToken { expiration: Expiration::At(now()), ..token };
        let finding = only_finding(&judged(&["elapse", "forgot"], vec![(name, expired)]));
        assert_eq!(finding.evidence, ["jws-kubeconfig-elapse", "jws-kubeconfig-forgot"]);
    }

    #[test]
    fn without_tokens_and_signatures_it_does_not_apply() {
        assert!(judged(&[], Vec::new()).reason().is_some());
    }
}
