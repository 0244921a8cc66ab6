//! # The controller-manager and the scheduler have leaders that renew their leases
//!
//! ## Why
//! Without a leader the API still answers, but nothing is scheduled, approved, rotated or garbage-collected.
//!
//! ## Fix
//! Read the log of the component that holds the lease (`kubectl -n kube-system logs kube-scheduler-NODE`). Usual causes:
//! it cannot reach the API server, its client certificate has expired, or its manifest is missing from
//! `/etc/kubernetes/manifests`.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kube-controller-manager/app/options`, `staging/src/k8s.io/component-base/config/v1alpha1/defaults.go`
//! (lease 15 s, renewed every 2 s). After a restart of the API server the leases may be
//! stale for up to a minute: they are read again for a few seconds before they count.

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::leader_leases::LeaderLeases;

crate::check!("CP-05", "leader-leases", Critical, judge, builds_on: ["CP-01", "CP-03"]);

/// How many lease durations may pass without a renewal.
const PATIENCE: i64 = 2;

fn judge(leases: &LeaderLeases, clock: &Clock) -> Verdict {
    let mut verdict = Verdict::new();
    verdict.each(
        &leases.0,
        |name| Subject::object("Lease", "kube-system", name),
        |verdict, name, lease| {
            let subject = Subject::object("Lease", "kube-system", name);
            let age = lease.age(clock.server);
            let limit = PATIENCE * i64::from(lease.duration_seconds);
            verdict.expect(subject, age <= limit, || {
                let seen = match lease.holder.as_str() {
                    // A leader that shuts down gracefully releases its lease.
                    "" => format!("released {age} s ago, at {}, and not held since", lease.renewed),
                    holder => format!("last renewed {age} s ago by {holder}, at {}", lease.renewed),
                };
                let finding = Finding::new(format!("the lease was renewed within {limit} s"), seen);
                let finding = if *name == "kube-scheduler" { finding.explains_only(&["AD-03"]) } else { finding };
                finding.impact(format!("no {name} is working")).fix(format!(
                    "read the log of the holder: kubectl -n kube-system logs -l component={name} --tail=50"
                ))
            });
            let holder = if lease.holder.is_empty() { "no one" } else { &lease.holder };
            let note = format!("held by {holder}, {} transitions", lease.transitions);
            verdict.note_about(Subject::object("Lease", "kube-system", name), note);
        },
    );
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::leader_leases::LeaderLease;
    use crate::seen::{Seen, Unobserved};

    fn judged(scheduler: Seen<&str>) -> Verdict {
        let lease = |renewed: &str| LeaderLease {
            holder: "n1_0".into(),
            renewed: renewed.parse().unwrap(),
            duration_seconds: 15,
            transitions: 2,
        };
        let leases = LeaderLeases(
            [
                ("kube-controller-manager".to_owned(), Ok(lease("2026-11-22T11:59:59Z"))),
                ("kube-scheduler".to_owned(), scheduler.map(lease)),
            ]
            .into(),
        );
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        judge(&leases, &Clock { server: now, here: now })
    }

    #[test]
    fn leases_renewed_within_two_durations_pass() {
        let verdict = judged(Ok("2026-11-22T11:59:30Z"));
        assert_eq!((verdict.observations(), verdict.findings(Severity::Critical)), (2, vec![]));
    }

    #[test]
    fn a_stale_lease_names_its_last_holder() {
        let findings = judged(Ok("2026-11-22T11:59:29Z")).findings(Severity::Critical);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].subjects[0], Subject::object("Lease", "kube-system", "kube-scheduler"));
        assert_eq!(findings[0].seen, "last renewed 31 s ago by n1_0, at 2026-11-22T11:59:29Z");
    }

    #[test]
    fn a_lease_that_was_given_back_is_held_by_nobody() {
        let lease = LeaderLease {
            holder: String::new(),
            renewed: "2026-11-22T11:59:55Z".parse().unwrap(),
            duration_seconds: 1,
            transitions: 2,
        };
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        let leases = LeaderLeases([("kube-scheduler".to_owned(), Ok(lease))].into());
        let findings = judge(&leases, &Clock { server: now, here: now }).findings(Severity::Critical);
        assert_eq!(findings[0].seen, "released 5 s ago, at 2026-11-22T11:59:55Z, and not held since");
    }

    #[test]
    fn a_lease_that_was_not_seen_is_undecided() {
        assert_eq!(judged(Err(Unobserved::Interrupted)).gaps().len(), 1);
    }
}
