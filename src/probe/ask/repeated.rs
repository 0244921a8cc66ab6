//! The same attempt many times, a few at once: the probes of all nodes ask at the same time, and must not be the load that
//! they then find.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::ready;
use futures_util::stream;

/// How many attempts run at once.
const AT_ONCE: usize = 4;

/// What this many attempts gave, and how many microseconds each took. Fewer are made when the first ones take long: none
/// begins when half of the patience with a single one has passed.
pub async fn repeated<T, F: Future<Output = T>>(
    count: u32,
    patience: Duration,
    attempt: impl Fn() -> F,
) -> Vec<(T, u64)> {
    let began = Instant::now();
    stream::iter(0..count)
        .take_while(|_| ready(began.elapsed() < patience / 2))
        .map(|_| async {
            let began = Instant::now();
            let outcome = attempt().await;
            (outcome, u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX))
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn quick_attempts_are_all_made() {
        assert_eq!(repeated(20, Duration::from_secs(60), || ready(())).await.len(), 20);
    }

    #[tokio::test]
    async fn where_nobody_answers_no_more_are_made_than_run_at_once() {
        let patience = Duration::from_millis(20);
        assert_eq!(repeated(20, patience, || tokio::time::sleep(patience)).await.len(), AT_ONCE);
    }
}
