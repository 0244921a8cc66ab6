//! The same attempt many times, a few at once: the probes of all nodes ask at the same time, and must not be the load that
//! they then find.

use futures_util::StreamExt;
use futures_util::future::ready;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::terms::Terms;
use crate::probe::fault::{Fault, Got};

/// How many attempts run at once.
const AT_ONCE: usize = 4;

/// How long something took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// The median, in microseconds.
    pub p50_us: u64,
    /// The 99th percentile, in microseconds.
    pub p99_us: u64,
}

impl Latency {
    /// The latency of these samples, in microseconds.
    pub fn of(mut samples: Vec<u64>) -> Option<Self> {
        samples.sort_unstable();
        let at = |percent: usize| samples.get((samples.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Some(Self { p50_us: at(50)?, p99_us: at(99)? })
    }
}

/// What this many attempts gave, each of which keeps to the terms, and how many microseconds each took. Fewer are made when the first ones take long: none
/// begins when half of the time for a single answer has passed. Those that the probe's deadline cuts off are left out.
pub async fn repeated<T, F: Future<Output = Got<T>>>(
    count: u32,
    terms: &Terms,
    attempt: impl Fn() -> F,
) -> Vec<(Got<T>, u64)> {
    let began = Instant::now();
    stream::iter(0..count)
        .take_while(|_| ready(began.elapsed() < terms.answer / 2))
        .map(|_| async {
            let began = Instant::now();
            let outcome = attempt().await;
            (outcome, u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX))
        })
        .buffer_unordered(AT_ONCE)
        .filter(|(outcome, _)| ready(!matches!(outcome, Err(Fault::Unanswered))))
        .collect()
        .await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn quick_attempts_are_all_made() {
        assert_eq!(repeated(20, &Terms::new(LONG, LONG, LONG), || ready(Ok(()))).await.len(), 20);
    }

    #[tokio::test]
    async fn on_a_silent_path_no_more_are_made_than_run_at_once_and_after_the_deadline_none_counts() {
        for (terms, made) in [(Terms::new(LONG, SHORT, LONG), AT_ONCE), (Terms::new(LONG, LONG, SHORT), 0)] {
            let silent = || terms.answered(std::future::pending::<Got<()>>());
            assert_eq!(repeated(20, &terms, silent).await.len(), made);
        }
    }

    #[test]
    fn percentiles_are_those_of_the_samples() {
        assert_eq!(Latency::of((1..=100).collect()), Some(Latency { p50_us: 50, p99_us: 99 }));
        assert_eq!(Latency::of(vec![7]), Some(Latency { p50_us: 7, p99_us: 7 }));
        assert_eq!(Latency::of(Vec::new()), None);
    }
}
