//! What DNS servers count, from their Prometheus metrics.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use futures_util::future::join_all;

use super::http::Strangers;
use super::terms::Terms;
use crate::probe::answer::DnsMetrics;
use crate::probe::fault::{Fault, Got};
use crate::prometheus;

/// The most that is read of one server's metrics, in bytes.
const LIMIT: usize = 1 << 20;

/// Reads the metrics of each server.
pub async fn ask(
    servers: &[SocketAddr],
    strangers: &Got<Strangers>,
    terms: &Terms,
) -> BTreeMap<SocketAddr, Got<DnsMetrics>> {
    let read = servers.iter().map(async |server| (*server, terms.answered(one(*server, strangers)).await));
    join_all(read).await.into_iter().collect()
}

async fn one(server: SocketAddr, strangers: &Got<Strangers>) -> Got<DnsMetrics> {
    let strangers = strangers.as_ref().map_err(Clone::clone)?;
    let text = strangers.text(&format!("http://{server}/metrics"), LIMIT).await?;
    let metrics = parse(&text);
    // A server of another make counts nothing that we know.
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
