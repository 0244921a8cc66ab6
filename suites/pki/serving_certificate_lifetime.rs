//! # The API servers' certificates last for another month
//!
//! ## Why
//! When its certificate expires, an API server stops at once for every client: kubectl, kubelets, controllers, and the
//! tools that could repair it. kubeadm's certificates last a year, and only `kubeadm upgrade` renews them, so that a
//! cluster without upgrades stops on its birthday.
//!
//! ## Fix
//! On each control-plane node, one after the other: `kubeadm certs check-expiration`, then `kubeadm certs renew all`,
//! and restart the static pods of the control plane (move their manifests out of `/etc/kubernetes/manifests` for 20
//! seconds). On K3s and RKE2 restart the server within the renewal window.
//!
//! ## Source
//! <https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/>; kubernetes/kubernetes
//! `cmd/kubeadm/app/phases/certs/renewal`. Below 30 days is major, below 7 critical; for a certificate that lasts less
//! than 90 days, below a third of its life and a tenth. A 1.37 API server serves a renewed file within a second; older
//! ones must be restarted, which is why the certificate that is served counts here and not a file.

use std::collections::{BTreeMap, BTreeSet};

use super::helpers::distrust::{remake, renew};
use super::helpers::instances::is_out_of_reach;
use super::helpers::lifetime::{least, left, length, remainder};
use crate::certificate::{Certificate, Description};
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::api_server_handshakes::ApiServerHandshakes;
use crate::fact::facts::clock::Clock;
use crate::fact::facts::kubeconfig_summary::KubeconfigSummary;
use crate::seen::Unobserved;

crate::check!("PK-04", "serving-certificate-lifetime", Critical, judge);

fn judge(
    handshakes: &ApiServerHandshakes,
    kubeconfig: &KubeconfigSummary,
    clock: Result<&Clock, &Unobserved>,
) -> Verdict {
    let mut verdict = Verdict::new();
    // An API server whose certificate has expired does not give its time.
    let now = clock.map_or(handshakes.at, |clock| clock.server);
    let mut served: BTreeMap<&[Certificate], BTreeSet<Subject>> = BTreeMap::new();

    match &handshakes.instances {
        Err(why) => verdict.unseen(Subject::object("EndpointSlice", "default", "kubernetes"), why),
        Ok(instances) => {
            let out_of_reach =
                handshakes.endpoint.is_ok() && !instances.is_empty() && instances.values().all(is_out_of_reach);
            for (address, seen) in instances {
                let subject = || Subject::address(address);
                if out_of_reach {
                    verdict.note_about(subject(), "it cannot be reached from here: only the endpoint was checked");
                } else if let Some(handshake) = verdict.seen(subject, seen) {
                    served.entry(&handshake.chain).or_default().insert(subject());
                }
            }
        }
    }
    let endpoint = || Subject::address(&kubeconfig.endpoint);
    if let Some(handshake) = verdict.seen(endpoint, &handshakes.endpoint) {
        served.entry(&handshake.chain).or_default().insert(endpoint());
    }

    for (chain, at) in served {
        let Some(first) = first_to_expire(chain) else {
            let finding =
                Finding::new("a certificate", "it cannot be read").impact("no client can connect").fix(remake());
            verdict.find_together(at, 1, finding);
            continue;
        };
        let (major, critical) = (least(&first, 30, 3), least(&first, 7, 10));
        let left = left(&first, now);
        for subject in &at {
            verdict.note_about(subject.clone(), format!("its certificate {}", remainder(&first, now)));
        }
        if left >= major {
            verdict.confirm();
            continue;
        }
        verdict.find_together(
            at,
            1,
            Finding::new(
                format!("a certificate that lasts for at least {}", length(major)),
                format!("{} {}", first.subject, remainder(&first, now)),
            )
            .impact("once it has expired, every client that verifies it fails")
            .fix(renew())
            .severity(if left < critical { Severity::Critical } else { Severity::Major }),
        );
    }
    verdict
}

/// What expires first in the presented chain, without the root, which clients have themselves.
fn first_to_expire(chain: &[Certificate]) -> Option<Description> {
    let (leaf, above) = chain.split_first()?;
    let leaf = leaf.describe().ok()?;
    let above = above.iter().filter_map(|one| one.describe().ok()).filter(|one| !one.self_issued);
    above.chain([leaf]).min_by_key(|one| one.not_after)
}

#[cfg(test)]
mod tests {
    use rcgen::{PKCS_ECDSA_P256_SHA256, date_time_ymd};

    use super::*;
    use crate::certificate::testing::{Authority, Leaf};
    use crate::suites::pki::testing::{clock, handshakes, now, presented};

    /// A certificate from a year ago until that day; the tests take place on 2026-11-23.
    fn until(year: i32, month: u8, day: u8) -> Leaf {
        Authority::new("kubernetes").leaf_with(&["n1"], &PKCS_ECDSA_P256_SHA256, |params| {
            params.not_before = date_time_ymd(2025, 11, 1);
            params.not_after = date_time_ymd(year, month, day);
        })
    }

    fn kubeconfig() -> KubeconfigSummary {
        KubeconfigSummary {
            https: true,
            endpoint: "10.77.0.11:6443".parse().unwrap(),
            server_name: None,
            skips_verification: false,
            authorities: Vec::new(),
        }
    }

    fn judged(handshakes: &ApiServerHandshakes) -> Verdict {
        judge(handshakes, &kubeconfig(), Ok(&clock()))
    }

    #[test]
    fn a_year_is_enough_and_one_certificate_is_checked_once() {
        let leaf = until(2027, 10, 1);
        let verdict = judged(&handshakes(presented(&leaf), [("10.77.0.11:6443", presented(&leaf))]));
        assert!(verdict.findings(Severity::Critical).is_empty());
        assert_eq!(verdict.observations(), 1);
    }

    #[test]
    fn the_less_is_left_the_worse() {
        for (leaf, severity, seen) in [
            (until(2026, 12, 13), Severity::Major, "expires in 19 days, at 2026-12-13T00:00:00Z"),
            (until(2026, 11, 26), Severity::Critical, "expires in 2 days, at 2026-11-26T00:00:00Z"),
            (until(2026, 11, 20), Severity::Critical, "expired 3 days ago, at 2026-11-20T00:00:00Z"),
        ] {
            let verdict = judged(&handshakes(presented(&leaf), [("10.77.0.11:6443", presented(&leaf))]));
            let findings = verdict.findings(Severity::Critical);
            let [finding] = &findings[..] else { panic!("{findings:?}") };
            assert_eq!(finding.severity, severity);
            assert!(finding.seen.ends_with(seen), "{}", finding.seen);
            assert_eq!(finding.subjects[0].to_string(), "10.77.0.11:6443");
        }
    }

    #[test]
    fn a_certificate_made_for_a_month_may_have_less_left() {
        let short = Authority::new("kubernetes").leaf_with(&["n1"], &PKCS_ECDSA_P256_SHA256, |params| {
            params.not_before = date_time_ymd(2026, 11, 10);
            params.not_after = date_time_ymd(2026, 12, 10);
        });
        assert!(judged(&handshakes(presented(&short), [])).findings(Severity::Critical).is_empty());
    }

    #[test]
    fn an_expired_certificate_is_found_even_if_nothing_else_answers() {
        let why = Unobserved::unreachable("GET /version", "the certificate has expired");
        let mut silent = handshakes(presented(&until(2026, 11, 20)), []);
        silent.instances = Err(why.clone());
        let verdict = judge(&silent, &kubeconfig(), Err(&why));
        assert_eq!(verdict.findings(Severity::Critical).len(), 1);
        assert_eq!(verdict.gaps().len(), 1);
        assert_eq!(silent.at, now());
    }

    #[test]
    fn one_instance_that_does_not_answer_is_inconclusive() {
        let leaf = until(2027, 10, 1);
        let silent = || Err(Unobserved::unreachable("10.77.0.12:6443", "refused"));
        let one = handshakes(presented(&leaf), [("10.77.0.11:6443", presented(&leaf)), ("10.77.0.12:6443", silent())]);
        assert_eq!(judged(&one).gaps().len(), 1);
        let managed = judged(&handshakes(presented(&leaf), [("10.77.0.12:6443", silent())]));
        assert!(managed.saw_everything());
        assert_eq!(managed.observations(), 1);
    }
}
