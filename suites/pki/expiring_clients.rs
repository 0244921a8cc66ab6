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
//! `apiserver_client_certificate_expiration_seconds` of each instance, since it started. Requests with less than seven
//! days left are an info finding, since certificates that last hours are among them and are renewed in time. Those with
//! less than half an hour left do not count: rehearsals of joining use certificates of ten minutes.

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::api_server_metrics::ApiServerMetrics;
use crate::prometheus::Sample;

crate::check!("PK-11", "expiring-clients", Minor, judge, blocked_by: ["CP-01"]);

const METRIC: &str = "apiserver_client_certificate_expiration_seconds_bucket";
/// Buckets of the histogram, in seconds.
const TOO_SHORT: f64 = 1800.0;
const DAY: f64 = 86400.0;
const WEEK: f64 = 604_800.0;

fn judge(metrics: &ApiServerMetrics) -> Verdict {
    let mut verdict = Verdict::new();
    let mut without = false;
    for (address, seen) in &metrics.0 {
        let Some(samples) = verdict.seen(|| Subject::address(address), seen) else { continue };
        let up_to = |bound: f64| bucket(samples, bound);
        let (Some(short), Some(day), Some(week)) = (up_to(TOO_SHORT), up_to(DAY), up_to(WEEK)) else {
            verdict.note_about(Subject::address(address), format!("its metrics lack {METRIC}"));
            without = true;
            continue;
        };
        let all = bucket(samples, f64::INFINITY).unwrap_or(week);
        verdict.expect(Subject::address(address), week <= short, || {
            Finding::new(
                "no request with a client certificate that expires within seven days",
                "there were such requests since the API server started",
            )
            .impact("a kubeconfig or component is locked out when its certificate expires")
            .fix(
                "find the certificate: kubeadm certs check-expiration on each control-plane node, the users in the \
                 audit log, and for each kubeconfig outside of the cluster: kubectl config view --raw -o \
                 jsonpath='{.users[0].user.client-certificate-data}' | base64 -d | openssl x509 -noout -subject \
                 -enddate; then renew it",
            )
            .evidence([format!("{address}: {} of {all} requests, {} of them within a day", week - short, day - short)])
            .info()
        });
    }
    if without && verdict.observations() == 0 && verdict.saw_everything() {
        return Verdict::not_applicable(format!("the metrics of the API servers lack {METRIC}"));
    }
    verdict
}

/// How many requests had at most so much left.
fn bucket(samples: &[Sample], bound: f64) -> Option<f64> {
    let is_bound = |sample: &&Sample| {
        sample.name == METRIC
            && sample.label("le").trim_start_matches('+').parse::<f64>().is_ok_and(|le| le.total_cmp(&bound).is_eq())
    };
    samples.iter().find(is_bound).map(|sample| sample.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::seen::{Seen, Unobserved};

    fn histogram(short: f64, day: f64, week: f64, all: f64) -> Vec<Sample> {
        [("1800", short), ("86400", day), ("604800", week), ("2.592e+06", week), ("+Inf", all)]
            .map(|(le, value)| Sample { name: METRIC.into(), labels: [("le".to_owned(), le.to_owned())].into(), value })
            .into()
    }

    fn judged(seen: Seen<Vec<Sample>>) -> Verdict {
        judge(&ApiServerMetrics([("10.77.0.11:6443".to_owned(), seen)].into()))
    }

    #[test]
    fn certificates_with_time_left_pass_and_rehearsals_do_not_count() {
        let verdict = judged(Ok(histogram(3.0, 3.0, 3.0, 900.0)));
        assert_eq!((verdict.observations(), verdict.findings(Severity::Minor)), (1, vec![]));
    }

    #[test]
    fn one_with_days_left_is_found() {
        let findings = judged(Ok(histogram(3.0, 5.0, 7.0, 900.0))).findings(Severity::Minor);
        assert_eq!(findings[0].evidence, ["10.77.0.11:6443: 4 of 900 requests, 2 of them within a day"]);
        assert_eq!(findings[0].severity, Severity::Info);
    }

    #[test]
    fn without_the_metric_there_is_nothing_to_judge() {
        assert!(judged(Ok(Vec::new())).reason().is_some());
        assert_eq!(judged(Err(Unobserved::Interrupted)).gaps().len(), 1);
    }
}
