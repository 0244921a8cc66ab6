//! The progress of an observation. A list of a hundred thousand objects takes many requests, each with a deadline of its own:
//! what is still being answered is not cut off.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

tokio::task_local! {
    static OURS: Progress;
}

/// When an observation last made progress.
#[derive(Clone)]
pub(crate) struct Progress(Arc<Mutex<Instant>>);

impl Progress {
    /// An observation that begins now.
    pub(crate) fn begin() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// Follows the progress of this observation.
    pub(crate) fn of<F: Future>(&self, observation: F) -> impl Future<Output = F::Output> + use<F> {
        OURS.scope(self.clone(), observation)
    }

    /// A part of a whole was answered.
    pub(super) fn made() {
        // What is not an observation is not followed.
        _ = OURS.try_with(|Self(last)| *last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now());
    }

    /// Completes when there was no progress for so long.
    pub(crate) async fn stalled(&self, patience: Duration) {
        loop {
            let end = *self.0.lock().unwrap_or_else(PoisonError::into_inner) + patience;
            if Instant::now() >= end {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_observation_stalls_only_without_progress() {
        let (progress, step) = (Progress::begin(), Duration::from_millis(50));
        let pages = progress.of(async {
            for _ in 0..8 {
                tokio::time::sleep(step).await;
                Progress::made();
            }
            std::future::pending::<()>().await;
        });
        let began = Instant::now();
        tokio::select! {
            () = pages => {}
            () = progress.stalled(step * 4) => {}
        }
        assert!(began.elapsed() >= step * 12, "{:?}", began.elapsed());
    }
}
