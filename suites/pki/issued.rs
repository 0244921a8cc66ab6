//! What must hold of a certificate that the controller-manager has just signed for us, whoever it is for.

use jiff::{SignedDuration, Timestamp};

use crate::certificate::{Certificate, Description, verify_client};
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::authentication_authorities::AuthenticationAuthorities;
use crate::join::LIFETIME;
use crate::seen::Unobserved;

/// How much longer than asked a certificate may last: it is dated back, so that clocks that are behind accept it.
const SLACK: SignedDuration = SignedDuration::from_mins(10);

/// It lasts as long as was asked for.
pub(crate) fn judge_life(verdict: &mut Verdict, subject: Subject, leaf: &Description) {
    let life = leaf.not_after.duration_since(leaf.not_before);
    verdict.expect(subject, life <= LIFETIME + SLACK, || {
        Finding::new("ten minutes of life, as asked for", format!("valid until {}", leaf.not_after))
            .so("whoever asks for a short certificate gets a long one")
            .severity(Severity::Minor)
    });
}

/// API servers let its holder in.
pub(crate) fn judge_trust(
    verdict: &mut Verdict,
    subject: Subject,
    chain: &[Certificate],
    authorities: Result<&AuthenticationAuthorities, &Unobserved>,
    at: Timestamp,
    so: &str,
) {
    match authorities.map(|authorities| &authorities.client) {
        Ok(Some(Ok(client))) => {
            let trust = verify_client(chain, client, at);
            verdict.expect(subject, trust.is_ok(), || {
                let why = trust.err().map(|why| why.to_string()).unwrap_or_default();
                Finding::new("signed by an authority by which the API server knows its clients", why).so(so).mend(
                    "give the controller-manager the CA of the API server's --client-ca-file as \
                     --cluster-signing-cert-file and --cluster-signing-key-file",
                )
            });
        }
        Ok(Some(Err(why))) => verdict.unseen(subject, &Unobserved::invalid("client-ca-file", why)),
        Ok(None) => verdict.unseen(subject, &Unobserved::absent("no client-ca-file is published")),
        Err(why) => verdict.unseen(subject, why),
    }
}
