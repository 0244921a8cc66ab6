//! # No certificate of the group system:masters can be requested
//!
//! ## Why
//! Every authorizer allows everything to members of `system:masters`, and no binding can take that away. A certificate
//! of that group cannot be revoked: anyone who may approve requests could become administrator for its whole life.
//!
//! ## Fix
//! Remove CertificateSubjectRestriction from `--disable-admission-plugins` of the API server, on every control-plane
//! node (in `/etc/kubernetes/manifests/kube-apiserver.yaml`). Then look for requests that got through: `kubectl get
//! csr`.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/admission/certificates/subjectrestriction/admission.go`, on by default. Tried with
//! `dryRun=All`; the control is the same request for a group without rights.

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::client_certificate_requests::ClientCertificateRequests;
use crate::seen::Unobserved;

crate::check!("AA-16", "masters-certificates", Major, judge);

/// How the plugin refuses.
const ITS_WORDS: &str = "system:masters group is not allowed";
const FIX: &str = "on each control-plane node, in /etc/kubernetes/manifests/kube-apiserver.yaml, remove \
                   CertificateSubjectRestriction from --disable-admission-plugins";

fn judge(requests: &ClientCertificateRequests) -> Verdict {
    let mut verdict = Verdict::new();
    let subject = || Subject::cluster_object("signer", "kubernetes.io/kube-apiserver-client");
    let ClientCertificateRequests { masters, ordinary } = requests;
    let attempt = |group: &str, status: u16, message: &str| {
        Unobserved::invalid(
            format!("a request for a certificate of group {group}"),
            format!("HTTP {status}: {message}"),
        )
    };
    match masters.status {
        403 if masters.message.contains(ITS_WORDS) => verdict.confirm(),
        403 => verdict.find(
            subject(),
            Finding::new(
                "the admission plugin CertificateSubjectRestriction refuses a certificate of group system:masters",
                format!("it is refused by: {}", masters.message),
            )
            .impact("something else refuses it today; if that is removed, such a certificate might be issued")
            .fix(format!("check that the plugin is on as well: {FIX}"))
            .info(),
        ),
        200..=299 => verdict.find(
            subject(),
            Finding::new(
                "a request for a certificate of group system:masters is refused",
                format!("it is accepted (HTTP {})", masters.status),
            )
            .impact("anyone who approves requests can create administrators whose rights cannot be revoked")
            .fix(FIX),
        ),
        status => verdict.unseen(subject(), &attempt("system:masters", status, &masters.message)),
    }
    if (200..300).contains(&ordinary.status) {
        verdict.confirm();
    } else {
        verdict.unseen(subject(), &attempt("seaworthy", ordinary.status, &ordinary.message));
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::answered::Answered;

    fn judged(masters: (u16, &str), ordinary: u16) -> Verdict {
        judge(&ClientCertificateRequests {
            masters: Answered { status: masters.0, message: masters.1.into() },
            ordinary: Answered { status: ordinary, message: String::new() },
        })
    }

    #[test]
    fn masters_are_refused_and_others_are_not() {
        let verdict = judged((403, "use of … signer with system:masters group is not allowed"), 201);
        assert!(verdict.findings(Severity::Major).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 2);
    }

    #[test]
    fn a_request_for_masters_that_is_accepted_is_found() {
        assert_eq!(judged((201, ""), 201).findings(Severity::Major)[0].severity, Severity::Major);
    }

    #[test]
    fn a_refusal_by_something_else_is_information() {
        assert_eq!(judged((403, "denied by policy"), 201).findings(Severity::Major)[0].severity, Severity::Info);
    }

    #[test]
    fn refusals_without_a_control_are_inconclusive() {
        assert_eq!(judged((403, ITS_WORDS), 403).gaps().len(), 1);
        assert_eq!(judged((500, "broken"), 201).gaps().len(), 1);
    }
}
