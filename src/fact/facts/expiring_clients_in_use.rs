//! Whether clients still log in with certificates that are about to expire.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::api_server_instances::ApiServerInstances;
use super::api_server_metrics::{ApiServerMetrics, metrics};
use crate::cluster::{Call, until};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::prometheus::Sample;
use crate::seen::{Access, Seen};

/// The histogram of requests by the time that their client certificate has left.
pub(crate) const METRIC: &str = "apiserver_client_certificate_expiration_seconds_bucket";
/// A bucket: rehearsals of joining use certificates of ten minutes.
const TOO_SHORT: f64 = 1800.0;
/// A bucket: a week.
const WEEK: f64 = 604_800.0;
/// How long to watch the counter: a kubelet renews its lease every ten seconds, and other components ask more often.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long to wait before the counter is read again.
const PAUSE: Duration = Duration::from_secs(3);

/// By API server with such requests since it started, how many there were after the metrics were first read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ExpiringClientsInUse(pub BTreeMap<String, Seen<f64>>);

impl Observe for ExpiringClientsInUse {
    type Needs<'a> = (&'a ApiServerMetrics, &'a ApiServerInstances);
    const NAME: &'static str = "expiring-clients-in-use";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::urls(&["/metrics"])];
    const DEADLINE: Duration = Duration::from_secs(30);

    async fn observe(Live { cluster, .. }: &Live, (first, instances): Self::Needs<'_>) -> Seen<Self> {
        let each = instances.0.iter().filter_map(|address| {
            let before = nearly_expired(first.0.get(&address.to_string())?.as_ref().ok()?)?;
            (before > 0.0).then_some((address, before))
        });
        let watched = each.map(async |(address, before)| {
            let call = Call::url("/metrics").at_instance(*address);
            let look = async || Ok(nearly_expired(&metrics(cluster, &call).await?).unwrap_or(before) - before);
            // An API server that has started again counts from the beginning.
            let more = until(PATIENCE, PAUSE, look, |more| more.as_ref().map_or(true, |more| *more > 0.0)).await;
            (address.to_string(), more.map(|more| more.max(0.0)))
        });
        Ok(Self(join_all(watched).await.into_iter().collect()))
    }
}

/// How many requests came with a certificate that has between half an hour and a week left; none without the metric.
pub(crate) fn nearly_expired(samples: &[Sample]) -> Option<f64> {
    Some(bucket(samples, WEEK)? - bucket(samples, TOO_SHORT)?)
}

/// How many requests had at most so much left, in seconds.
pub(crate) fn bucket(samples: &[Sample], bound: f64) -> Option<f64> {
    let is_bound = |sample: &&Sample| {
        sample.name == METRIC
            && sample.label("le").trim_start_matches('+').parse::<f64>().is_ok_and(|le| le.total_cmp(&bound).is_eq())
    };
    samples.iter().find(is_bound).map(|sample| sample.value)
}

crate::observed!(ExpiringClientsInUse);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_between_half_an_hour_and_a_week_count() {
        let sample = |le: &str, value| Sample { name: METRIC.into(), labels: [("le".into(), le.into())].into(), value };
        let samples = [sample("1800", 3.0), sample("604800", 7.0), sample("+Inf", 90.0)];
        assert_eq!(nearly_expired(&samples), Some(4.0));
        assert_eq!(nearly_expired(&samples[..1]), None);
        assert_eq!(bucket(&samples, f64::INFINITY), Some(90.0));
    }
}
