//! The few metrics of API servers that checks use.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

use super::api_server_instances::ApiServerInstances;
use crate::cluster::{Call, Cluster};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::prometheus::{Line, Sample, metric};
use crate::seen::{Access, Seen, Unobserved};

/// The samples that are kept, of tens of thousands: the metric, and a label that it must have.
const KEPT: [(&str, Option<(&str, &str)>); 5] = [
    ("apiserver_client_certificate_expiration_seconds_bucket", None),
    ("apiserver_authorization_decisions_total", None),
    ("apiserver_authorization_config_controller_automatic_reload_last_timestamp_seconds", None),
    ("apiserver_authentication_config_controller_automatic_reload_last_timestamp_seconds", None),
    ("apiserver_admission_controller_admission_duration_seconds_count", Some(("name", "NodeRestriction"))),
];
/// The most bytes that are read of one answer. A large API server sends some tens of megabytes.
const LIMIT: usize = 128 << 20;
/// The most samples that are kept of one answer.
const SAMPLES: usize = 2000;
/// The longest line that is parsed.
const LINE: u64 = 8 << 10;

/// The metrics of each API server, by its address; of a managed control plane by the configured URL.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ApiServerMetrics(pub BTreeMap<String, Seen<Vec<Sample>>>);

impl Observe for ApiServerMetrics {
    type Needs<'a> = (&'a ApiServerInstances,);
    const NAME: &'static str = "api-server-metrics";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::urls(&["/metrics"])];

    async fn observe(Live { cluster, .. }: &Live, (instances,): Self::Needs<'_>) -> Seen<Self> {
        let each = instances.0.iter().map(async |address| {
            (address.to_string(), metrics(cluster, &Call::url("/metrics").at_instance(*address)).await)
        });
        let seen: BTreeMap<_, _> = join_all(each).await.into_iter().collect();
        let out_of_reach = |seen: &Seen<_>| seen.as_ref().is_err_and(Unobserved::is_out_of_reach);
        if seen.values().all(out_of_reach) {
            // A managed control plane is reached only by its URL, where any instance may answer.
            let endpoint = cluster.endpoint().map(|endpoint| endpoint.to_string()).unwrap_or_default();
            let behind = metrics(cluster, &Call::url("/metrics")).await?;
            return Ok(Self([(endpoint, Ok(behind))].into()));
        }
        Ok(Self(seen))
    }
}

/// The samples that are kept of the metrics that one call reads.
pub(super) async fn metrics(cluster: &Cluster, call: &Call) -> Seen<Vec<Sample>> {
    let call = call.clone().accepting("text/plain");
    cluster.read(&call, |text| read(&call, text)).await
}

async fn read(call: &Call, mut text: impl AsyncBufRead + Unpin) -> Seen<Vec<Sample>> {
    let invalid = |cause: &dyn ToString| Unobserved::invalid(call.to_string(), cause.to_string());
    let mut samples = Vec::new();
    let (mut line, mut total, mut is_api_server) = (Vec::new(), 0, false);
    loop {
        line.clear();
        // The rest of a line that is too long is parsed as a line of its own, which is not a sample.
        let mut bounded = tokio::io::AsyncReadExt::take(&mut text, LINE);
        let read = bounded.read_until(b'\n', &mut line).await.map_err(|e| invalid(&e))?;
        if read == 0 {
            return if is_api_server { Ok(samples) } else { Err(invalid(&"it has no metric of an API server")) };
        }
        is_api_server |= line.starts_with(b"apiserver_");
        total += read;
        if total > LIMIT || samples.len() > SAMPLES {
            return Err(invalid(&format!("more than {LIMIT} bytes, or {SAMPLES} samples")));
        }
        if let Some(line) = std::str::from_utf8(&line).ok().filter(|line| is_kept(line)) {
            let read = Line::read(line).filter(|line| line.value.is_finite());
            let read = read.ok_or_else(|| invalid(&"a line that is not a sample"))?;
            samples.extend(has_label(&read).then(|| Sample::from(read)));
        }
    }
}

/// Whether a metric of this name is kept.
fn is_kept(line: &str) -> bool {
    metric(line).is_some_and(|name| KEPT.iter().any(|(kept, _)| *kept == name))
}

/// Whether a sample is kept.
fn has_label(line: &Line<'_>) -> bool {
    let kept = |(name, label): &(&str, Option<(&str, &str)>)| {
        *name == line.name && label.is_none_or(|(label, value)| line.label(label) == value)
    };
    KEPT.iter().any(kept)
}

crate::observed!(ApiServerMetrics);

#[cfg(test)]
mod tests {
    use super::*;

    async fn samples(text: &str) -> Seen<Vec<Sample>> {
        read(&Call::url("/metrics"), text.as_bytes()).await
    }

    #[tokio::test]
    async fn a_few_of_many_lines_are_kept() {
        let text = "# HELP apiserver_authorization_decisions_total x\n\
            apiserver_request_total{code=\"200\"} 5\n\
            apiserver_authorization_decisions_total{decision=\"allowed\",name=\"a\\\"b}\",type=\"Node\"} 7.84e+02\n\
            apiserver_admission_controller_admission_duration_seconds_count{name=\"Priority\"} 3\n\
            apiserver_admission_controller_admission_duration_seconds_count{name=\"NodeRestriction\",type=\"admit\"} 3\n\
            apiserver_client_certificate_expiration_seconds_bucket{le=\"+Inf\"} 4";
        let samples = samples(text).await.unwrap();
        assert_eq!(samples.len(), 3);
        assert_eq!((samples[0].label("type"), samples[0].label("name"), samples[0].value), ("Node", "a\"b}", 784.0));
        assert_eq!(samples[1].label("name"), "NodeRestriction");
        assert_eq!((samples[2].label("le"), samples[2].value), ("+Inf", 4.0));
    }

    #[tokio::test]
    async fn what_is_not_a_sample_is_named() {
        assert!(samples("apiserver_authorization_decisions_total{type=\"Node} 7\n").await.is_err());
        assert!(samples("apiserver_authorization_decisions_total x\n").await.is_err());
        for page in ["<html>\n", "{}", "", "go_goroutines 7\n"] {
            assert!(
                samples(page).await.unwrap_err().to_string().ends_with("it has no metric of an API server"),
                "{page}"
            );
        }
    }

    #[tokio::test]
    async fn an_endless_line_is_not_kept() {
        let line = format!("apiserver_x 1\n{}", "x".repeat(30_000));
        assert_eq!(samples(&line).await, Ok(Vec::new()));
    }
}
