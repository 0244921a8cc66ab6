//! # The Secret kubeadm-certs expires within two hours
//!
//! ## Why
//! `kubeadm init --upload-certs` leaves the keys of every CA of the cluster in Secret kube-system/kubeadm-certs, for
//! new control-plane nodes. They are encrypted with a key that was printed on a terminal. The Secret belongs to a
//! bootstrap token of two hours and is deleted with it. If it stays, anyone who may read it and finds that key in a log
//! or in a shell's history can take over the cluster.
//!
//! ## Fix
//! `kubectl -n kube-system delete secret kubeadm-certs`. When a control-plane node is to join, upload the keys again
//! with `kubeadm init phase upload-certs --upload-certs`.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/copycerts/copycerts.go` (`createShortLivedBootstrapToken`, the owner
//! reference). Only the Secret's metadata is read.

use jiff::SignedDuration;

use crate::check::finding::{Difference, Draft, Unfixed};
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::bootstrap_tokens::{BootstrapTokens, Expiration};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::kubeadm_certs::KubeadmCerts;
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::seen::Unobserved;

crate::check!("DI-09", "kubeadm-certs", Major, judge);

/// How long the token lives that owns the Secret.
const LIFETIME: SignedDuration = SignedDuration::from_hours(2);
/// The time that the garbage collector may need, and that clocks may differ by.
const SLACK: SignedDuration = SignedDuration::from_mins(10);

fn judge(
    certs: Option<&KubeadmCerts>,
    kubeadm: Option<&KubeadmConfig>,
    tokens: Result<&BootstrapTokens, &Unobserved>,
    clock: &Clock,
) -> Verdict {
    let mut verdict = Verdict::new();
    let Some(certs) = certs else {
        if kubeadm.is_none() {
            return verdict.does_not_apply("kubeadm did not build this cluster: there is no ConfigMap kubeadm-config");
        }
        verdict.confirm();
        return verdict;
    };
    let subject = || Subject::object("Secret", "kube-system", "kubeadm-certs");
    let owners: Vec<&str> =
        certs.owners.iter().filter(|owner| owner.kind == "Secret").map(|owner| owner.name.as_str()).collect();
    let owned = "the Secret is owned by a bootstrap token Secret and deleted with it";
    if !verdict.expect(subject(), !owners.is_empty(), || finding(owned, "it has no owner")) {
        return verdict;
    }
    if let Some(created) = certs.created {
        let age = clock.server.duration_since(created);
        verdict.expect(subject(), age <= LIFETIME + SLACK, || {
            let seen = format!("it was created {} hours ago", age.as_hours());
            finding("the Secret is deleted two hours after it was created", seen)
        });
    }
    match tokens {
        Ok(tokens) => {
            let known: Vec<_> = owners.iter().filter_map(|owner| Some((*owner, tokens.0.get(*owner)?))).collect();
            verdict.expect(subject(), !known.is_empty(), || {
                finding(owned, "its owners are not bootstrap token Secrets").evidence(&owners)
            });
            for (owner, token) in known {
                let seen = match token.expiration {
                    Expiration::Never => format!("it is owned by {owner}, which does not expire"),
                    Expiration::At(end) if end.duration_since(clock.server) > LIFETIME + SLACK => {
                        format!("it is owned by {owner}, which expires at {end}")
                    }
                    Expiration::At(_) | Expiration::Unreadable => continue,
                };
                let finding = certificates("the Secret is owned by a bootstrap token of two hours", seen);
                let token = Subject::object("Secret", "kube-system", owner);
                let delete = format!("kubectl -n kube-system delete secret {owner}; kubeadm-certs is deleted with it");
                verdict.find_together([subject(), token], 1, finding.fix(delete));
            }
        }
        Err(why) => {
            for owner in owners {
                verdict.unseen(Subject::object("Secret", "kube-system", owner), why);
            }
        }
    }
    verdict
}

fn finding(expected: &str, seen: impl Into<String>) -> Difference {
    certificates(expected, seen).fix("kubectl -n kube-system delete secret kubeadm-certs")
}

fn certificates(expected: &str, seen: impl Into<String>) -> Draft<Unfixed> {
    Finding::new(expected, seen).impact(
        "anyone who may read Secrets of kube-system and finds the certificate key, which was printed when the \
         certificates were uploaded, has the keys of every CA",
    )
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
    fn a_cluster_without_the_secret_passes() {
        let verdict = judge(None, Some(&KubeadmConfig::default()), Ok(&BootstrapTokens::default()), &clock());
        assert!(verdict.findings(Severity::Major).is_empty());
        assert_eq!(verdict.observations(), 1);
        assert!(judge(None, None, Ok(&BootstrapTokens::default()), &clock()).reason().is_some());
    }

    #[test]
    fn an_upload_an_hour_ago_passes() {
        assert!(seen(&certs(HOUR, &["bootstrap-token-uplcrt"]), &tokens(HOUR)).is_empty());
    }

    #[test]
    fn an_orphan_is_found() {
        assert_eq!(seen(&certs(HOUR, &[]), &tokens(HOUR)), ["it has no owner"]);
        let gone = seen(&certs(HOUR, &["bootstrap-token-gonegn"]), &tokens(HOUR));
        assert_eq!(gone, ["its owners are not bootstrap token Secrets"]);
    }

    #[test]
    fn a_secret_that_stays_is_found() {
        let owner = &["bootstrap-token-uplcrt"];
        assert_eq!(seen(&certs(HOUR * 30, owner), &tokens(HOUR)), ["it was created 30 hours ago"]);
        let lasting = seen(&certs(HOUR, owner), &tokens(HOUR * 30));
        assert!(lasting[0].contains("which expires at"), "{lasting:?}");
        let (name, token) = token("uplcrt", now());
        let never = BootstrapTokens([(name, BootstrapToken { expiration: Expiration::Never, ..token })].into());
        assert!(seen(&certs(HOUR, owner), &never)[0].contains("does not expire"));
    }

    #[test]
    fn an_owner_that_cannot_be_read_is_inconclusive() {
        let refused = Unobserved::Refused { missing: "list secrets".into(), message: "no".into() };
        let certs = certs(HOUR, &["bootstrap-token-uplcrt"]);
        let verdict = judge(Some(&certs), Some(&KubeadmConfig::default()), Err(&refused), &clock());
        assert_eq!(verdict.gaps().len(), 1);
    }
}
