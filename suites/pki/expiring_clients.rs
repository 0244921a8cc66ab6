//! # No client logs in with a certificate that is about to expire
//!
//! ## Why
//! API servers see every client certificate when it is used: in kubeconfigs of pipelines, of monitoring, of people,
//! which are stored where no cluster could check them. When such a certificate expires, its holder is locked out
//! without warning.
//!
//! ## Fix
//! Find out whose it is: with an audit policy at level Metadata the log contains the users; on control-plane nodes
//! `kubeadm certs check-expiration`; for a kubeconfig `kubectl config view --raw -o
//! jsonpath='{.users[0].user.client-certificate-data}' | base64 -d | openssl x509 -noout -subject -enddate`. Renew it.
//!
//! ## Source
//! kubernetes/kubernetes `staging/src/k8s.io/apiserver/pkg/authentication/request/x509/x509.go`: the histogram
//! `apiserver_client_certificate_expiration_seconds` of each instance, since it started. If it has counted requests with
//! less than seven days left, it is watched for twelve seconds: a certificate that is not used any more is a note, and one
//! that is used an info finding, since certificates that last hours are among them and are renewed in time. Those with less
//! than half an hour left do not count: rehearsals of joining use certificates of ten minutes.

use crate::check::finding::Difference;
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::api_server_metrics::ApiServerMetrics;
use crate::fact::facts::expiring_clients_in_use::{ExpiringClientsInUse, METRIC, bucket, nearly_expired};
use crate::prometheus::Sample;
use crate::seen::Unobserved;

crate::check!("PK-11", "expiring-clients", Minor, judge, blocked_by: ["CP-01"]);

/// A bucket of the histogram, in seconds.
const DAY: f64 = 86400.0;

fn judge(metrics: &ApiServerMetrics, in_use: Result<&ExpiringClientsInUse, &Unobserved>) -> Verdict {
    let mut verdict = Verdict::new();
    let mut without = false;
    for (address, seen) in &metrics.0 {
        let subject = || Subject::address(address);
        let Some(samples) = verdict.seen(subject, seen) else { continue };
        let Some(since_start) = nearly_expired(samples) else {
            verdict.note_about(subject(), format!("its metrics lack {METRIC}"));
            without = true;
            continue;
        };
        if since_start <= 0.0 {
            verdict.confirm();
            continue;
        }
        match in_use.map(|in_use| in_use.0.get(address)) {
            Err(why) | Ok(Some(Err(why))) => verdict.unseen(subject(), why),
            Ok(Some(Ok(0.0))) => {
                verdict.confirm();
                verdict.note_about(
                    subject(),
                    format!(
                        "since it started, {since_start} requests came with a certificate that expires within seven \
                         days, and none while this was watched: its holder has a new one, or asks rarely"
                    ),
                );
            }
            Ok(Some(Ok(more))) => {
                let now = format!("{address}: {more} requests while this was watched");
                verdict.find(subject(), expiring(address, samples, since_start).evidence([now]));
            }
            // Behind one address answer several servers, whose counters cannot be compared.
            Ok(None) => verdict.find(subject(), expiring(address, samples, since_start)),
        }
    }
    if without && verdict.observations() == 0 && verdict.saw_everything() {
        return verdict.does_not_apply(format!("the metrics of the API servers lack {METRIC}"));
    }
    verdict
}

fn expiring(address: &str, samples: &[Sample], since_start: f64) -> Difference {
    let all = bucket(samples, f64::INFINITY).unwrap_or(since_start);
    let within_a_day = bucket(samples, DAY).unwrap_or_default() - bucket(samples, 1800.0).unwrap_or_default();
    Finding::new(
        "no client logs in with a certificate that expires within seven days",
        "requests come with such a certificate",
    )
    .impact("a kubeconfig or component is locked out when its certificate expires")
    .fix(
        "find the certificate: kubeadm certs check-expiration on each control-plane node, the users in the audit log, and \
         for each kubeconfig outside of the cluster: kubectl config view --raw -o \
         jsonpath='{.users[0].user.client-certificate-data}' | base64 -d | openssl x509 -noout -subject -enddate; then \
         renew it",
    )
    .evidence([format!("{address}: {since_start} of {all} requests since it started, {within_a_day} of them within a day")])
    .info()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::check::Severity;
    use crate::check::testing::notes;
    use crate::seen::Seen;

    fn histogram(short: f64, day: f64, week: f64, all: f64) -> Vec<Sample> {
        [("1800", short), ("86400", day), ("604800", week), ("2.592e+06", week), ("+Inf", all)]
            .map(|(le, value)| Sample { name: METRIC.into(), labels: [("le".to_owned(), le.to_owned())].into(), value })
            .into()
    }

    fn judged(seen: Seen<Vec<Sample>>) -> Verdict {
        judged_with(seen, [("10.77.0.11:6443".to_owned(), Ok(1.0))].into())
    }

    fn judged_with(seen: Seen<Vec<Sample>>, in_use: BTreeMap<String, Seen<f64>>) -> Verdict {
        let metrics = ApiServerMetrics([("10.77.0.11:6443".to_owned(), seen)].into());
        judge(&metrics, Ok(&ExpiringClientsInUse(in_use)))
    }

    #[test]
    fn a_certificate_that_was_replaced_is_a_note() {
        let with = |more| judged_with(Ok(histogram(3.0, 5.0, 7.0, 900.0)), [("10.77.0.11:6443".into(), more)].into());
        let replaced = with(Ok(0.0));
        assert_eq!(
            (replaced.observations(), replaced.findings(Severity::Minor), notes(&replaced).len()),
            (1, vec![], 1)
        );
        assert_eq!(with(Err(Unobserved::Interrupted)).gaps().len(), 1);
        let managed = judged_with(Ok(histogram(3.0, 5.0, 7.0, 900.0)), BTreeMap::new());
        assert_eq!(managed.findings(Severity::Minor).len(), 1);
    }

    #[test]
    fn certificates_with_time_left_pass_and_rehearsals_do_not_count() {
        let verdict = judged(Ok(histogram(3.0, 3.0, 3.0, 900.0)));
        assert_eq!((verdict.observations(), verdict.findings(Severity::Minor)), (1, vec![]));
    }

    #[test]
    fn one_with_days_left_is_found() {
        let findings = judged(Ok(histogram(3.0, 5.0, 7.0, 900.0))).findings(Severity::Minor);
        assert_eq!(
            findings[0].evidence,
            [
                "10.77.0.11:6443: 1 requests while this was watched",
                "10.77.0.11:6443: 4 of 900 requests since it started, 2 of them within a day"
            ]
        );
        assert_eq!(findings[0].severity, Severity::Info);
    }

    #[test]
    fn without_the_metric_there_is_nothing_to_judge() {
        assert!(judged(Ok(Vec::new())).reason().is_some());
        assert_eq!(judged(Err(Unobserved::Interrupted)).gaps().len(), 1);
    }
}
