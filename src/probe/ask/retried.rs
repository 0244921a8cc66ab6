//! The same attempt until it succeeds: a lost packet is not a broken path.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};

use crate::probe::fault::{Fault, Got};

/// The most attempts.
const TRIES: u32 = 6;
/// How long to wait after an attempt that failed, rather than being silent.
const PAUSE: Duration = Duration::from_millis(50);

/// The first success within `patience`, or the last failure. An attempt that is silent is not given up: another begins
/// beside it, so that a slow answer counts, and a silent path takes no longer than `patience`.
pub(super) async fn retried<T, F: Future<Output = Got<T>>>(patience: Duration, attempt: impl Fn() -> F) -> Got<T> {
    let attempts = async {
        let mut running = FuturesUnordered::new();
        let mut last = Fault::TimedOut;
        for begun in 1..=TRIES {
            running.push(attempt());
            let is_last = begun == TRIES;
            while !running.is_empty() {
                tokio::select! {
                    Some(got) = running.next() => match got {
                        Ok(got) => return Ok(got),
                        Err(fault) => {
                            last = fault;
                            if !is_last {
                                sleep(PAUSE).await;
                                break;
                            }
                        }
                    },
                    () = sleep(patience / TRIES), if !is_last => break,
                }
            }
        }
        Err(last)
    };
    timeout(patience, attempts).await.unwrap_or(Err(Fault::TimedOut))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;

    use tokio::time::Instant;

    use super::*;

    /// The outcome when the attempts do this in turn, the last of them again and again; and how many were made.
    async fn tried(patience: u64, outcomes: &[Option<Got<u32>>]) -> (Got<u32>, usize) {
        let made = Cell::new(0);
        let attempt = || {
            let outcome = outcomes[made.get().min(outcomes.len() - 1)].clone();
            made.set(made.get() + 1);
            async move {
                match outcome {
                    Some(outcome) => outcome,
                    None => pending().await,
                }
            }
        };
        (retried(Duration::from_millis(patience), attempt).await, made.get())
    }

    #[tokio::test]
    async fn a_lost_packet_is_sent_again_and_silence_takes_no_longer_than_patience() {
        assert_eq!(tried(3000, &[None, None, Some(Ok(7))]).await, (Ok(7), 3));
        let began = Instant::now();
        let (got, made) = tried(120, &[None]).await;
        // A busy machine may wake too late for the last attempt.
        assert!(got == Err(Fault::TimedOut) && (2..=6).contains(&made), "{got:?} after {made}");
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_refusal_is_tried_again_a_few_times_and_then_believed() {
        assert_eq!(tried(60_000, &[Some(Err(Fault::Refused)), Some(Ok(7))]).await, (Ok(7), 2));
        assert_eq!(tried(60_000, &[Some(Err(Fault::Refused))]).await, (Err(Fault::Refused), 6));
    }
}
