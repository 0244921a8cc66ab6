//! # The uploaded keys of the certificate authorities do not linger
//!
//! ## Why
//! `kubeadm init --upload-certs` leaves the keys of every certificate authority of the cluster in Secret
//! kube-system/kubeadm-certs, for new control-plane nodes. They are encrypted with a key that was printed on a terminal.
//! The Secret belongs to a bootstrap token of two hours and goes with it; one that stays is for whoever finds that key in
//! a log or in a shell's history to take over the cluster with.
//!
//! ## Fix
//! `kubectl -n kube-system delete secret kubeadm-certs`. When a control-plane node is to join, upload them anew with
//! `kubeadm init phase upload-certs --upload-certs`.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/copycerts/copycerts.go` (`createShortLivedBootstrapToken`, the owner
//! reference). Only the Secret's metadata is read.

use jiff::SignedDuration;

use crate::check::{Finding, Subject, Verdict, names};
use crate::fact::facts::bootstrap_tokens::{BootstrapTokens, Expiration};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::kubeadm_certs::KubeadmCerts;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::seen::Unobserved;

crate::check!("DI-09", "kubeadm-certs", Major, judge);

/// How long the token lives to which kubeadm gives the Secret.
const LIFETIME: SignedDuration = SignedDuration::from_hours(2);
/// What the garbage collector may need, and clocks may differ by.
const SLACK: SignedDuration = SignedDuration::from_mins(10);
const REMOVE: &str = "kubectl -n kube-system delete secret kubeadm-certs";
const DANGER: &str = "whoever may read Secrets of kube-system and finds the certificate key, which was printed when they were \
                      uploaded, has the keys of every certificate authority";

fn judge(
    certs: Option<&KubeadmCerts>,
    kubeadm: Option<&KubeadmConfig>,
    tokens: Result<&BootstrapTokens, &Unobserved>,
    clock: &Clock,
) -> Verdict {
    let mut verdict = Verdict::new();
    let Some(certs) = certs else {
        if kubeadm.is_none() {
            return Verdict::not_applicable("kubeadm did not build this cluster: there is no ConfigMap kubeadm-config");
        }
        verdict.confirm();
        return verdict;
    };
    let subject = || Subject::object("Secret", "kube-system", "kubeadm-certs");
    let owners: Vec<&str> =
        certs.owners.iter().filter(|owner| owner.kind == "Secret").map(|owner| owner.name.as_str()).collect();
    if !verdict.expect(subject(), !owners.is_empty(), || {
        Finding::new("it belongs to the Secret of a bootstrap token, and goes with it", "it belongs to nothing")
            .so(DANGER)
            .mend(REMOVE)
    }) {
        return verdict;
    }
    if let Some(created) = certs.created {
        let age = clock.server.duration_since(created);
        verdict.expect(subject(), age <= LIFETIME + SLACK, || {
            Finding::new("it is gone two hours after it was made", format!("it was made {} hours ago", age.as_hours()))
                .so(DANGER)
                .mend(REMOVE)
        });
    }
    match tokens {
        Ok(tokens) => {
            let known: Vec<_> = owners.iter().filter_map(|owner| tokens.0.get(*owner)).collect();
            let last = known.iter().map(|token| token.expiration).find(|expiration| match expiration {
                Expiration::Never => true,
                Expiration::At(end) => end.duration_since(clock.server) > LIFETIME + SLACK,
                Expiration::Unreadable => false,
            });
            verdict.expect(subject(), !known.is_empty(), || {
                let seen = format!("it belongs to {}, which is no bootstrap token of now", names(&owners));
                Finding::new("it belongs to the Secret of a bootstrap token, and goes with it", seen)
                    .so(DANGER)
                    .mend(REMOVE)
            });
            if let Some(expiration) = last {
                let seen = match expiration {
                    Expiration::At(end) => format!("it belongs to {}, good until {end}", names(&owners)),
                    _ => format!("it belongs to {}, which does not expire", names(&owners)),
                };
                let finding = Finding::new("it belongs to a bootstrap token of two hours", seen);
                verdict.find(subject(), finding.so(DANGER).mend(REMOVE));
            }
        }
        Err(why) => verdict.unseen(Subject::object("Secret", "kube-system", names(&owners)), why),
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::bootstrap_tokens::BootstrapToken;
    use crate::fact::facts::bootstrap_tokens::testing::token;
    use crate::fact::facts::kubeadm_certs::Owner;
    use crate::suites::pki::testing::{clock, now};

    fn certs(age: SignedDuration, owners: &[&str]) -> KubeadmCerts {
        let owner = |name: &&str| Owner { kind: "Secret".into(), name: (*name).into() };
        KubeadmCerts { created: Some(now() - age), owners: owners.iter().map(owner).collect() }
    }

    fn tokens(life: SignedDuration) -> BootstrapTokens {
        BootstrapTokens([token("uplcrt", now() + life)].into())
    }

    fn seen(certs: &KubeadmCerts, tokens: &BootstrapTokens) -> Vec<String> {
        let verdict = judge(Some(certs), Some(&KubeadmConfig::default()), Ok(tokens), &clock());
        verdict.findings(Severity::Major).into_iter().map(|finding| finding.seen).collect()
    }

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    #[test]
    fn none_is_what_a_cluster_should_have() {
        let verdict = judge(None, Some(&KubeadmConfig::default()), Ok(&BootstrapTokens::default()), &clock());
        assert!(verdict.findings(Severity::Major).is_empty());
        assert_eq!(verdict.observations(), 1);
        assert!(judge(None, None, Ok(&BootstrapTokens::default()), &clock()).reason().is_some());
    }

    #[test]
    fn those_of_an_upload_an_hour_ago_are_fine() {
        assert!(seen(&certs(HOUR, &["bootstrap-token-uplcrt"]), &tokens(HOUR)).is_empty());
    }

    #[test]
    fn an_orphan_is_found() {
        assert_eq!(seen(&certs(HOUR, &[]), &tokens(HOUR)), ["it belongs to nothing"]);
        let gone = seen(&certs(HOUR, &["bootstrap-token-gonegn"]), &tokens(HOUR));
        assert_eq!(gone, ["it belongs to bootstrap-token-gonegn, which is no bootstrap token of now"]);
    }

    #[test]
    fn what_stays_for_long_is_found() {
        let owner = &["bootstrap-token-uplcrt"];
        assert_eq!(seen(&certs(HOUR * 30, owner), &tokens(HOUR)), ["it was made 30 hours ago"]);
        let lasting = seen(&certs(HOUR, owner), &tokens(HOUR * 30));
        assert!(lasting[0].contains("good until"), "{lasting:?}");
        let (name, token) = token("uplcrt", now());
        let never = BootstrapTokens([(name, BootstrapToken { expiration: Expiration::Never, ..token })].into());
        assert!(seen(&certs(HOUR, owner), &never)[0].contains("does not expire"));
    }

    #[test]
    fn an_owner_that_cannot_be_looked_at_is_undecided() {
        let refused = Unobserved::Refused { missing: "list secrets".into(), message: "no".into() };
        let certs = certs(HOUR, &["bootstrap-token-uplcrt"]);
        let verdict = judge(Some(&certs), Some(&KubeadmConfig::default()), Err(&refused), &clock());
        assert_eq!(verdict.gaps().len(), 1);
    }
}
