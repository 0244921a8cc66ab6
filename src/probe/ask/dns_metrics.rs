//! The counters of DNS servers, from their Prometheus metrics.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::asker::Asker;
use super::http::Strangers;
use super::{Ask, each};
use crate::probe::fault::{Fault, Got};
use crate::prometheus;

/// The most that is read of one server's metrics, in bytes.
const LIMIT: usize = 1 << 20;
/// What an answer adds to a message, in bytes.
const SIZE: usize = 40;

/// The metrics of DNS servers: at which addresses, and what each has counted.
pub struct Metrics;

/// What a CoreDNS server has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsMetrics {
    /// Panics.
    pub panics: u64,
    /// Responses.
    pub responses: u64,
    /// Those with SERVFAIL or REFUSED.
    pub failures: u64,
    /// New Corefiles that could not be used.
    pub failed_reloads: u64,
    /// How often all upstream servers were out of order.
    pub upstreams_broken: u64,
    /// Requests to the API server that were refused for want of rights.
    pub api_refusals: u64,
}

impl Ask for Metrics {
    type Question = Vec<SocketAddr>;
    type Answer = BTreeMap<SocketAddr, Got<DnsMetrics>>;

    fn parts(question: &Self::Question) -> Vec<(usize, Self::Question)> {
        each(question, |_| SIZE)
    }

    async fn ask(question: &Self::Question, asker: &Asker) -> Self::Answer {
        let read = async |server: &SocketAddr| {
            let read = async { one(*server, asker.strangers.as_ref().map_err(Clone::clone)?).await };
            (*server, asker.terms.answered(read).await)
        };
        join_all(question.iter().map(read)).await.into_iter().collect()
    }
}

async fn one(server: SocketAddr, strangers: &Strangers) -> Got<DnsMetrics> {
    let text = strangers.text(&format!("http://{server}/metrics"), LIMIT).await?;
    let metrics = parse(&text);
    // Servers other than CoreDNS count under other names.
    metrics.ok_or_else(|| Fault::Other("these are not CoreDNS's metrics".into()))
}

/// Sums what matters; none when the text has no metric of CoreDNS.
fn parse(text: &str) -> Option<DnsMetrics> {
    let mut seen = false;
    let mut metrics = DnsMetrics::default();
    for line in prometheus::lines(text) {
        let counter = match line.name {
            "coredns_panics_total" => &mut metrics.panics,
            "coredns_dns_responses_total" => {
                metrics.responses += count(line.value)?;
                seen = true;
                if !["SERVFAIL", "REFUSED"].contains(&line.label("rcode")) {
                    continue;
                }
                &mut metrics.failures
            }
            "coredns_reload_failed_total" => &mut metrics.failed_reloads,
            "coredns_forward_healthcheck_broken_total" => &mut metrics.upstreams_broken,
            "coredns_kubernetes_rest_client_requests_total" if line.label("code") == "403" => &mut metrics.api_refusals,
            "coredns_build_info" => {
                seen = true;
                continue;
            }
            _ => continue,
        };
        seen = true;
        *counter += count(line.value)?;
    }
    seen.then_some(metrics)
}

/// A counter, which Prometheus writes as a floating-point number.
fn count(value: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within what both hold")]
    (0.0..9e15).contains(&value).then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# TYPE coredns_panics_total counter
coredns_build_info{goversion="go1.26",revision="x",version="1.14.0"} 1
coredns_panics_total 0
coredns_reload_failed_total 2
coredns_dns_responses_total{plugin="kubernetes",rcode="NOERROR",server="dns://:53",view="",zone="."} 1.5e+03
coredns_dns_responses_total{plugin="forward",rcode="SERVFAIL",server="dns://:53",view="",zone="."} 40
coredns_forward_healthcheck_broken_total 3
coredns_kubernetes_rest_client_requests_total{code="403",host="10.96.0.1:443",method="GET"} 7
process_open_fds 12
"#;

    #[test]
    fn what_matters_is_summed() {
        let metrics = DnsMetrics {
            panics: 0,
            responses: 1540,
            failures: 40,
            failed_reloads: 2,
            upstreams_broken: 3,
            api_refusals: 7,
        };
        assert_eq!(parse(TEXT), Some(metrics));
    }

    #[test]
    fn another_servers_metrics_are_none() {
        assert_eq!(parse("skydns_skydns_dns_error_count_total 3\n"), None);
        assert_eq!(parse(""), None);
    }
}
