//! # The signatures of cluster-info verify with their tokens
//!
//! ## Why
//! A joining node knows cluster-info to be its cluster's by a signature made with the token that it was given. A wrong
//! one means that cluster-info was changed by somebody who could not sign it, or that nobody signed it since it was
//! changed. Every join with that token is refused.
//!
//! ## Fix
//! Compare cluster-info with what it should be: `kubectl -n kube-public get configmap cluster-info -o yaml`. If the text is
//! right, the bootstrap signer is not at work: the controller-manager needs `--controllers=*,bootstrapsigner,tokencleaner`.
//! If it is not, find out who may write it: `kubectl auth can-i update configmap/cluster-info -n kube-public --as USER`.
//!
//! ## Source
//! kubernetes/cluster-bootstrap `token/jws/jws.go`; kubernetes/kubernetes `pkg/controller/bootstrap/bootstrapsigner.go`.
//! Without permission to list the token Secrets only the signatures' form is judged, and never as a pass.

use crate::check::{Finding, Subject, Verdict, names};
use crate::fact::facts::bootstrap_tokens::{BootstrapTokens, Signature};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::cluster_info::ClusterInfo;
use crate::seen::Unobserved;

crate::check!("DI-04", "signatures", Critical, judge);

fn judge(info: &ClusterInfo, tokens: Result<&BootstrapTokens, &Unobserved>, clock: &Clock) -> Verdict {
    let mut verdict = Verdict::new();
    let cluster_info = || Subject::object("ConfigMap", "kube-public", "cluster-info");
    for (id, form) in &info.signatures {
        verdict.expect(cluster_info(), form.is_ok(), || {
            Finding::new(format!("a detached JWS for token {id}"), form.as_ref().err().cloned().unwrap_or_default())
                .so("joins with the token are refused")
        });
    }
    let tokens = match tokens {
        Ok(tokens) => tokens,
        Err(refused @ Unobserved::Refused { .. }) if !info.signatures.is_empty() => {
            verdict.find(
                cluster_info(),
                Finding::new(
                    format!("the signatures of tokens {} verify", names(info.signatures.keys())),
                    format!("only their form could be looked at: {refused}"),
                )
                .info(),
            );
            return verdict;
        }
        Err(why) => {
            verdict.unseen(Subject::object("Secrets", "kube-system", "bootstrap-token-*"), why);
            return verdict;
        }
    };
    for (name, token) in tokens.0.iter().filter(|(_, token)| token.is_for_signing(clock.server)) {
        let id = token.id.as_deref().unwrap_or_default();
        // A signature of the wrong form was found above; one that is missing is for the check of their steps.
        if token.signature == Signature::Missing || info.signatures.get(id).is_some_and(Result::is_err) {
            continue;
        }
        verdict.expect(Subject::object("Secret", "kube-system", name), token.signature == Signature::Verified, || {
            Finding::new(
                format!("cluster-info bears a signature by token {id}"),
                format!("jws-kubeconfig-{id} is a signature of another text, or with another secret"),
            )
            .so("joins with the token are refused: cluster-info was changed and not signed again, or tampered with")
        });
    }
    if verdict.observations() == 0 {
        return Verdict::not_applicable("there is no bootstrap token for signing, and no signature");
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::bootstrap_tokens::BootstrapToken;
    use crate::fact::facts::bootstrap_tokens::testing::token;
    use crate::fact::facts::cluster_info::testing::cluster_info;
    use crate::suites::pki::testing::{clock, now};

    fn info(signatures: &[(&str, Result<(), String>)]) -> ClusterInfo {
        let mut info = cluster_info("https://10.77.0.11:6443", Vec::new());
        info.signatures = signatures.iter().map(|(id, form)| ((*id).to_owned(), form.clone())).collect();
        info
    }

    fn beacon(signature: Signature) -> BootstrapTokens {
        let (name, token) = token("beacon", now() + jiff::SignedDuration::from_hours(12));
        BootstrapTokens([(name, BootstrapToken { signature, ..token })].into())
    }

    #[test]
    fn a_signature_that_verifies_passes() {
        let verdict = judge(&info(&[("beacon", Ok(()))]), Ok(&beacon(Signature::Verified)), &clock());
        assert!(verdict.findings(Severity::Critical).is_empty());
        assert_eq!(verdict.observations(), 2);
    }

    #[test]
    fn a_signature_of_another_text_is_found() {
        let verdict = judge(&info(&[("beacon", Ok(()))]), Ok(&beacon(Signature::Mismatch)), &clock());
        let findings = verdict.findings(Severity::Critical);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.subjects[0].to_string(), "Secret kube-system/bootstrap-token-beacon");
        assert!(finding.seen.contains("jws-kubeconfig-beacon"));
    }

    #[test]
    fn a_wrong_form_is_found_once() {
        let info = info(&[("beacon", Err("it carries a payload".into()))]);
        let findings = judge(&info, Ok(&beacon(Signature::Mismatch)), &clock()).findings(Severity::Critical);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.seen, "it carries a payload");
    }

    #[test]
    fn without_the_secrets_it_is_a_remark_at_best() {
        let refused = Unobserved::Refused { missing: "list secrets".into(), message: "no".into() };
        let findings = judge(&info(&[("beacon", Ok(()))]), Err(&refused), &clock()).findings(Severity::Critical);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.severity, Severity::Info);
        assert!(finding.seen.contains("not permitted: list secrets"));

        let slow = Unobserved::unreachable("GET", "reset");
        assert_eq!(judge(&info(&[("beacon", Ok(()))]), Err(&slow), &clock()).gaps().len(), 1);
    }

    #[test]
    fn without_tokens_there_is_nothing_to_verify() {
        let verdict = judge(&info(&[]), Ok(&BootstrapTokens::default()), &clock());
        assert!(verdict.reason().is_some());
    }
}
