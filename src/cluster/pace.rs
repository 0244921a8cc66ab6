//! The pace of requests: no more than so many a second, if the user limits them.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Progress;

/// How long an observation waits for its own requests at most before that counts as progress: it is not the server that is slow.
const STEP: Duration = Duration::from_secs(1);

/// The pace of requests.
pub(super) struct Pace {
    interval: Option<Duration>,
    next: Mutex<Instant>,
}

impl Pace {
    /// At most so many requests a second; without a number, as many as may be in flight.
    pub(super) fn new(max_qps: Option<NonZeroU32>) -> Self {
        let interval = max_qps.map(|qps| Duration::from_secs(1) / qps.get());
        Self { interval, next: Mutex::new(Instant::now()) }
    }

    /// Waits until the next request may be sent.
    pub(super) async fn wait(&self) {
        let Some(at) = self.next() else { return };
        loop {
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            sleep(left.min(STEP)).await;
            Progress::made();
        }
    }

    /// Waits for something that requests of this pace keep from happening.
    pub(super) async fn during<T>(&self, waiting: impl Future<Output = T>) -> T {
        if self.interval.is_none() {
            return waiting.await;
        }
        let mut waiting = std::pin::pin!(waiting);
        loop {
            match tokio::time::timeout(STEP, &mut waiting).await {
                Ok(done) => return done,
                Err(_) => Progress::made(),
            }
        }
    }

    /// When the next request may be sent.
    fn next(&self) -> Option<Instant> {
        let interval = self.interval?;
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let at = (*next).max(Instant::now());
        *next = at + interval;
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn requests_are_spread_over_time() {
        let pace = Pace::new(NonZeroU32::new(100));
        let began = Instant::now();
        join_all((0..21).map(|_| pace.wait())).await;
        assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
        sleep(Duration::from_millis(100)).await;
        let again = Instant::now();
        join_all((0..6).map(|_| pace.wait())).await;
        assert!(again.elapsed() >= Duration::from_millis(50), "a pause is not made up for: {:?}", again.elapsed());
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let pace = Pace::new(None);
        assert_eq!((pace.next(), pace.next()), (None, None));
    }

    #[tokio::test]
    async fn an_observation_that_waits_for_its_own_requests_does_not_stall() {
        let (pace, progress) = (Pace::new(NonZeroU32::new(1)), Progress::begin());
        let paced = progress.of(async {
            let queue = pace.during(sleep(STEP * 3));
            futures_util::future::join(join_all((0..4).map(|_| pace.wait())), queue).await;
        });
        tokio::select! {
            () = paced => {}
            () = progress.stalled(STEP * 2) => panic!("it stalled"),
        }
    }
}
