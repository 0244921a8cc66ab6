//! # The signatures of cluster-info verify with their tokens
//!
//! ## Why
//! A joining node trusts cluster-info because it is signed with the token that the node was given. A wrong signature
//! means that someone changed cluster-info who could not sign it, or that nothing has signed it since it was changed.
//! Every join with that token is refused.
//!
//! ## Fix
//! Compare cluster-info with what it should be: `kubectl -n kube-public get configmap cluster-info -o yaml`. If the
//! text is correct, the bootstrap signer does not run: the controller-manager needs
//! `--controllers=*,bootstrapsigner,tokencleaner`. If it is not, find out who may write it: `kubectl auth can-i update
//! configmap/cluster-info -n kube-public --as USER`.
//!
//! ## Source
//! kubernetes/cluster-bootstrap `token/jws/jws.go`; kubernetes/kubernetes
//! `pkg/controller/bootstrap/bootstrapsigner.go`. Without permission to list the token Secrets only the signatures'
//! form is checked, which finds some faults and passes nothing.

use super::helpers::SIGNER;
use crate::check::{Finding, Subject, Verdict};
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
            let why = form.as_ref().err().cloned().unwrap_or_default();
            Finding::new(format!("jws-kubeconfig-{id} is a detached JWS"), why)
                .impact(format!("nodes cannot join with token {id}"))
                .fix(format!(
                    "let the bootstrap signer sign again: kubectl -n kube-public patch configmap cluster-info --type \
                     merge -p '{{\"data\":{{\"jws-kubeconfig-{id}\":null}}}}'; {SIGNER}"
                ))
        });
    }
    let tokens = match tokens {
        Ok(tokens) => tokens,
        Err(why) => {
            verdict.unseen(Subject::cluster_object("Namespace", "kube-system"), why);
            return verdict;
        }
    };
    for (name, token) in tokens.0.iter().filter(|(_, token)| token.is_for_signing(clock.server)) {
        let id = token.id.as_deref().unwrap_or_default();
        // A signature in the wrong form was found above; one that is missing is another check's (DI-05).
        if token.signature == Signature::Missing || info.signatures.get(id).is_some_and(Result::is_err) {
            continue;
        }
        verdict.expect(Subject::object("Secret", "kube-system", name), token.signature == Signature::Verified, || {
            Finding::new(
                "cluster-info is signed with the token in this Secret",
                "its signature belongs to another text, or to another token secret",
            )
            .evidence([format!("jws-kubeconfig-{id}")])
            .impact("nodes cannot join with the token: cluster-info was changed and not signed again, or tampered with")
            .fix(format!(
                "check that cluster-info has the right server and CA: kubectl -n kube-public get configmap \
                 cluster-info -o yaml; then {SIGNER}"
            ))
        });
    }
    if verdict.observations() == 0 {
        return verdict.does_not_apply("there is no bootstrap token for signing, and no signature");
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
        assert_eq!(finding.evidence, ["jws-kubeconfig-beacon"]);
    }

    #[test]
    fn a_signature_in_the_wrong_form_is_found_once() {
        let info = info(&[("beacon", Err("it carries a payload".into()))]);
        let findings = judge(&info, Ok(&beacon(Signature::Mismatch)), &clock()).findings(Severity::Critical);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.seen, "it carries a payload");
    }

    #[test]
    fn without_the_secrets_only_the_form_is_judged_and_never_as_a_pass() {
        let refused = Unobserved::Refused { missing: "list secrets".into(), message: "no".into() };
        let judged = |form| judge(&info(&[("beacon", form)]), Err(&refused), &clock());
        assert_eq!(judged(Ok(())).gaps().len(), 1);
        let carries = judged(Err("it carries a payload".into()));
        assert_eq!((carries.gaps().len(), carries.findings(Severity::Critical).len()), (1, 1));
    }

    #[test]
    fn without_tokens_there_is_nothing_to_verify() {
        let verdict = judge(&info(&[]), Ok(&BootstrapTokens::default()), &clock());
        assert!(verdict.reason().is_some());
    }
}
