//! # cluster-info is signed with every token that may sign, and with no other
//!
//! ## Why
//! A token without a signature cannot be used to join: `kubeadm join` waits for it until it gives up. A signature without
//! a token shows that nobody keeps them in step, so that the next token will not be signed either.
//!
//! ## Fix
//! The controller-manager needs `--controllers=*,bootstrapsigner,tokencleaner`, as kubeadm writes it; its log says what
//! the signer stumbled over. A token's Secret must be named `bootstrap-token-ID`: make it with `kubeadm token create`. An
//! update that the signer lost is made good by the next change of a token or of cluster-info.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/controller/bootstrap/bootstrapsigner.go`, `util.go` (which Secrets are taken). A token of less
//! than a minute that is unsigned was looked at twice, two seconds apart; the signer needs less than one. Tokens without
//! the usage `signing`, as that of `kubeadm init phase upload-certs`, are rightly unsigned.

use std::collections::BTreeSet;

use crate::check::{Finding, Subject, Verdict, names};
use crate::fact::facts::bootstrap_tokens::{BootstrapTokens, Signature};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::cluster_info::ClusterInfo;

crate::check!("DI-05", "signatures-in-step", Major, judge);

fn judge(info: &ClusterInfo, tokens: &BootstrapTokens, clock: &Clock) -> Verdict {
    let mut verdict = Verdict::new();
    for (name, token) in tokens.0.iter().filter(|(_, token)| token.is_for_signing(clock.server)) {
        let id = token.id.as_deref().unwrap_or("without an id");
        let is_named_well = token.is_found_as(name);
        verdict.expect(
            Subject::object("Secret", "kube-system", name),
            is_named_well && token.signature != Signature::Missing,
            || {
                let expected = format!("cluster-info is signed with token {id}");
                let finding = if is_named_well {
                    Finding::new(
                        expected,
                        format!("there is no jws-kubeconfig-{id}: the bootstrap signer is not at work"),
                    )
                } else {
                    Finding::new(
                        expected,
                        format!("the Secret is named {name}: the bootstrap signer takes bootstrap-token-{id} only"),
                    )
                };
                finding.so("nobody can join with the token")
            },
        );
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
                "signatures with tokens that may sign only",
                format!("signatures with {}, which are gone, expired or not for signing", names(orphans)),
            )
            .so("the bootstrap signer is not at work: the next token will not be signed")
        });
    }
    if verdict.observations() == 0 {
        return Verdict::not_applicable("there is no bootstrap token for signing, and no signature");
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
    fn a_token_that_was_not_signed_with_is_found() {
        let finding = only_finding(&judged(&[], vec![unsigned("unsign")]));
        assert!(finding.seen.contains("no jws-kubeconfig-unsign"));
    }

    #[test]
    fn a_secret_of_another_name_is_the_cause_that_is_told() {
        let (_, token) = unsigned("strays");
        let finding = only_finding(&judged(&[], vec![("join-token-strays".into(), token)]));
        assert_eq!(
            finding.seen,
            "the Secret is named join-token-strays: the bootstrap signer takes bootstrap-token-strays only"
        );
    }

    #[test]
    fn a_signature_that_was_left_behind_is_found() {
        let (name, token) = signed("elapse");
        let expired = BootstrapToken { expiration: Expiration::At(now()), ..token };
        let finding = only_finding(&judged(&["elapse", "forgot"], vec![(name, expired)]));
        assert_eq!(finding.seen, "signatures with elapse, forgot, which are gone, expired or not for signing");
    }

    #[test]
    fn without_tokens_and_signatures_it_does_not_apply() {
        assert!(judged(&[], Vec::new()).reason().is_some());
    }
}
