//! What must hold for every certificate that the controller-manager has just signed for this program.

use jiff::{SignedDuration, Timestamp};

use crate::certificate::{Certificate, Description, verify_client};
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::authentication_authorities::AuthenticationAuthorities;
use crate::fact::facts::client_certificate::LIFETIME;
use crate::seen::Unobserved;

/// How much longer than requested a certificate may last: it is backdated, so that clocks that are behind accept it.
const SLACK: SignedDuration = SignedDuration::from_mins(10);

/// Judges that it lasts as long as was requested.
pub(crate) fn judge_life(verdict: &mut Verdict, subject: Subject, leaf: &Description) {
    let life = leaf.not_after.duration_since(leaf.not_before);
    verdict.expect(subject, life <= LIFETIME + SLACK, || {
        Finding::new(
            "a certificate that lasts ten minutes, as requested",
            format!("it is valid until {}", leaf.not_after),
        )
        .impact("clients that ask for a short-lived certificate get a long-lived one")
        .fix("use a signer that honors spec.expirationSeconds, as kube-controller-manager does")
        .severity(Severity::Minor)
    });
}

/// Judges that API servers authenticate its holder.
pub(crate) fn judge_trust(
    verdict: &mut Verdict,
    subject: Subject,
    chain: &[Certificate],
    authorities: Result<&AuthenticationAuthorities, &Unobserved>,
    at: Timestamp,
    impact: &str,
) {
    match authorities.map(|authorities| &authorities.client) {
        Ok(Some(Ok(client))) => match verify_client(chain, client, at) {
            Ok(()) => verdict.confirm(),
            Err(why) => verdict.find(
                subject,
                Finding::new("signed by a CA that the API server trusts for clients", why.to_string())
                    .impact(impact)
                    .fix(
                        "set --cluster-signing-cert-file and --cluster-signing-key-file in \
                     /etc/kubernetes/manifests/kube-controller-manager.yaml to the CA of the API server's \
                     --client-ca-file",
                    ),
            ),
        },
        Ok(Some(Err(why))) => verdict.unseen(subject, &Unobserved::invalid("client-ca-file", why)),
        Ok(None) => verdict.unseen(subject, &Unobserved::absent("no client-ca-file is published")),
        Err(why) => verdict.unseen(subject, why),
    }
}
