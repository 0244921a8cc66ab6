//! # The API servers' certificates last for another month
//!
//! ## Why
//! When its certificate expires, an API server stops at once for every client: kubectl, kubelets, controllers, and the
//! tools by which it would be mended. kubeadm's certificates last a year and are renewed by `kubeadm upgrade` only, so
//! that a cluster which nobody upgrades ends on its birthday.
//!
//! ## Fix
//! On each control-plane node, one after the other: `kubeadm certs check-expiration`, then `kubeadm certs renew all`,
//! and restart the static pods of the control plane (move their manifests out of `/etc/kubernetes/manifests` for 20
//! seconds). On K3S and RKE2 restart the server within the renewal window.
//!
//! ## Source
//! <https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/>; kubernetes/kubernetes
//! `cmd/kubeadm/app/phases/certs/renewal`. Below 30 days is major, below 7 critical; of a certificate that was made for
//! less than 90 days, below a third of its life and a tenth. A renewed file is served by a 1.37 API server within a
//! second; older ones must be restarted, which is why the certificate that is served counts here and no file.

use std::collections::BTreeMap;

use super::instances::is_out_of_reach;
use super::lifetime::{least, left, length, remainder};
use crate::certificate::{Certificate, Description};
use crate::check::{Finding, Severity, Subject, Verdict, names};
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
    // An API server whose certificate has expired tells nobody the time.
    let now = clock.map_or(handshakes.at, |clock| clock.server);
    let mut served: BTreeMap<&[Certificate], Vec<String>> = BTreeMap::new();

    match &handshakes.instances {
        Err(why) => verdict.unseen(Subject::object("EndpointSlice", "default", "kubernetes"), why),
        Ok(instances) => {
            let out_of_reach =
                handshakes.endpoint.is_ok() && !instances.is_empty() && instances.values().all(is_out_of_reach);
            if out_of_reach {
                verdict.note(format!("no instance can be reached from here: {}", names(instances.keys())));
            }
            for (address, seen) in instances.iter().filter(|_| !out_of_reach) {
                if let Some(handshake) = verdict.seen(|| Subject::address(address), seen) {
                    served.entry(&handshake.chain).or_default().push(address.to_string());
                }
            }
        }
    }
    if let Some(handshake) = verdict.seen(|| Subject::address(&kubeconfig.endpoint), &handshakes.endpoint) {
        let at = served.entry(&handshake.chain).or_default();
        let endpoint = kubeconfig.endpoint.to_string();
        if !at.contains(&endpoint) {
            at.push(endpoint);
        }
    }

    for (chain, at) in served {
        let subject = || Subject::address(&at[0]);
        let Some(first) = first_to_expire(chain) else {
            verdict.find(subject(), Finding::new("a certificate", "something that is not readable as one"));
            continue;
        };
        let (major, critical) = (least(&first, 30, 3), least(&first, 7, 10));
        let left = left(&first, now);
        let more = if at.len() > 1 { format!(" (the same at {})", names(&at[1..])) } else { String::new() };
        verdict.expect(subject(), left >= major, || {
            Finding::new(
                format!("a certificate that lasts for at least {}", length(major)),
                format!("{} {}{more}", first.subject, remainder(&first, now)),
            )
            .so("from then on every client that verifies it fails")
            .mend("kubeadm certs renew apiserver")
            .severity(if left < critical { Severity::Critical } else { Severity::Major })
        });
        verdict.note(format!("{}: {}", names(&at), remainder(&first, now)));
    }
    verdict
}

/// Of the presented chain, without the root that clients have themselves, what expires first.
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
    fn a_year_is_enough_and_one_certificate_is_looked_at_once() {
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
    fn what_has_expired_is_found_even_if_nothing_else_can_be_asked() {
        let why = Unobserved::unreachable("GET /version", "the certificate has expired");
        let mut silent = handshakes(presented(&until(2026, 11, 20)), []);
        silent.instances = Err(why.clone());
        let verdict = judge(&silent, &kubeconfig(), Err(&why));
        assert_eq!(verdict.findings(Severity::Critical).len(), 1);
        assert_eq!(verdict.gaps().len(), 1);
        assert_eq!(silent.at, now());
    }

    #[test]
    fn one_instance_that_does_not_answer_is_undecided() {
        let leaf = until(2027, 10, 1);
        let silent = || Err(Unobserved::unreachable("10.77.0.12:6443", "refused"));
        let one = handshakes(presented(&leaf), [("10.77.0.11:6443", presented(&leaf)), ("10.77.0.12:6443", silent())]);
        assert_eq!(judged(&one).gaps().len(), 1);
        let managed = judged(&handshakes(presented(&leaf), [("10.77.0.12:6443", silent())]));
        assert!(managed.saw_everything());
        assert_eq!(managed.observations(), 1);
    }
}
