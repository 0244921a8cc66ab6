//! # The leaders of controller-manager and scheduler renew their leases
//!
//! ## Why
//! Without a leader the API still answers, but nothing is scheduled, approved, rotated or garbage-collected.
//!
//! ## Fix
//! Read the log of the component that holds the lease (`kubectl -n kube-system logs kube-scheduler-NODE`). Usual causes:
//! it cannot reach the API server, its kubeconfig's client certificate has expired, or its static pod manifest is gone
//! from `/etc/kubernetes/manifests`.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kube-controller-manager/app/options`, `staging/src/k8s.io/component-base/config/v1alpha1/defaults.go`
//! (lease 15 s, renewed every 2 s). After a restart of the API server the leases may be stale for up to a minute.

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::leader_leases::LeaderLeases;

crate::check!("CP-05", "leader-leases", Critical, judge);

/// How many lease durations may pass without a renewal.
const PATIENCE: i64 = 2;

fn judge(leases: &LeaderLeases, clock: &Clock) -> Verdict {
    let mut verdict = Verdict::new();
    verdict.each(
        &leases.0,
        |name| Subject::object("Lease", "kube-system", name),
        |verdict, name, lease| {
            let subject = Subject::object("Lease", "kube-system", name);
            let age = clock.server.as_second() - lease.renewed.as_second();
            let limit = PATIENCE * i64::from(lease.duration_seconds);
            verdict.expect(subject, age <= limit, || {
                Finding::new(
                    format!("renewed within {limit} s"),
                    format!("last renewed {age} s ago by {}, at {}", lease.holder, lease.renewed),
                )
                .so(format!("no {name} is working"))
            });
            verdict.note(format!("{name}: led by {}, {} transitions", lease.holder, lease.transitions));
        },
    );
    verdict
}
