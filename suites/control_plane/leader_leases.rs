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

use std::collections::BTreeMap;

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::leader_leases::{COMPONENTS, LeaderLeases};
use crate::fact::facts::pods::Pods;
use crate::seen::Unobserved;

crate::check!("CP-05", "leader-leases", Critical, judge, builds_on: ["CP-01", "CP-03", "HA-07"]);

/// How many lease durations may pass without a renewal.
const PATIENCE: i64 = 2;

fn judge(leases: Result<&LeaderLeases, &Unobserved>, pods: Result<&Pods, &Unobserved>, clock: &Clock) -> Verdict {
    let mut verdict = Verdict::new();
    let leases = match leases {
        Ok(leases) => leases.0.clone(),
        Err(absent @ Unobserved::Absent { evidence }) => {
            // Pods that were not seen may elect one: each lease is then judged by them, and not.
            let may_elect = |pods: &Pods| COMPONENTS.iter().any(|name| elects(pods, name));
            if !pods.map_or_else(|why| !why.is_skip(), may_elect) {
                return verdict.does_not_apply(format!("{evidence}, and no static pod elects a leader"));
            }
            COMPONENTS.map(|name| (name.to_owned(), Err(absent.clone()))).into()
        }
        Err(why) => {
            verdict.unseen(Subject::object("Lease", "kube-system", COMPONENTS[0]), why);
            return verdict;
        }
    };
    let (missing, leases): (BTreeMap<_, _>, BTreeMap<_, _>) =
        leases.into_iter().partition(|(_, lease)| matches!(lease, Err(Unobserved::Absent { .. })));
    for name in missing.keys() {
        judge_missing(&mut verdict, name, pods);
    }
    verdict.each(
        &leases,
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

/// Whether static pods of this component show that they elect a leader.
fn elects(pods: &Pods, component: &str) -> bool {
    pods.static_pods(component).any(|pod| pod.has_flags() && pod.flag("leader-elect").last() != Some(&"false"))
}

/// A component that elects a leader has a lease within seconds.
fn judge_missing(verdict: &mut Verdict, name: &str, pods: Result<&Pods, &Unobserved>) {
    let subject = || Subject::object("Lease", "kube-system", name);
    match pods {
        Err(why) => verdict.unseen(subject(), why),
        Ok(pods) if elects(pods, name) => verdict.find(
            subject(),
            Finding::new(format!("{name} elects a leader, which holds this lease"), "the lease does not exist")
                .impact(format!("no {name} is working"))
                .fix(format!(
                    "read why it cannot create the lease: kubectl -n kube-system logs -l component={name} --tail=50"
                )),
        ),
        Ok(_) => verdict.note_about(subject(), "it does not exist, and no static pod shows that it elects a leader"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::check::testing::seen_of;
    use crate::fact::facts::leader_leases::LeaderLease;
    use crate::fact::facts::pods::testing::static_pod;
    use crate::seen::Seen;

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
        judge(Ok(&leases), Ok(&Pods::default()), &Clock { server: now, here: now })
    }

    #[test]
    fn a_static_pod_that_elects_a_leader_has_a_lease() {
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        let clock = Clock { server: now, here: now };
        let absent = Unobserved::absent("leases not found");
        let pods = |flags: &[&str]| Pods([static_pod("kube-scheduler", "n1", flags)].into());
        let verdict = judge(Err(&absent), Ok(&pods(&["--leader-elect=true"])), &clock);
        assert_eq!(seen_of(&verdict), ["Lease kube-system/kube-scheduler: the lease does not exist"]);
        let one = LeaderLeases([("kube-scheduler".to_owned(), Err(absent.clone()))].into());
        assert_eq!(judge(Ok(&one), Ok(&pods(&["--leader-elect=true"])), &clock).observations(), 1);
        for alone in [pods(&["--leader-elect=false"]), Pods::default()] {
            assert!(judge(Err(&absent), Ok(&alone), &clock).reason().is_some());
        }
        assert_eq!(judge(Ok(&one), Err(&Unobserved::Interrupted), &clock).gaps().len(), 1);
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
    fn a_lease_that_was_given_back_has_no_holder() {
        let lease = LeaderLease {
            holder: String::new(),
            renewed: "2026-11-22T11:59:55Z".parse().unwrap(),
            duration_seconds: 1,
            transitions: 2,
        };
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        let leases = LeaderLeases([("kube-scheduler".to_owned(), Ok(lease))].into());
        let findings =
            judge(Ok(&leases), Ok(&Pods::default()), &Clock { server: now, here: now }).findings(Severity::Critical);
        assert_eq!(findings[0].seen, "released 5 s ago, at 2026-11-22T11:59:55Z, and not held since");
    }

    #[test]
    fn a_lease_that_was_not_seen_is_inconclusive() {
        assert_eq!(judged(Err(Unobserved::Interrupted)).gaps().len(), 1);
    }
}
