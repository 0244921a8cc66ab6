//! How long a probe and each of its questions may take.

use std::time::Duration;

use tokio::sync::SetOnce;
use tokio::time::{Instant, timeout_at};

use crate::probe::fault::{Fault, Got};

/// How long questions may take. A probe answers by its deadline with what it has.
pub struct Terms {
    began: Instant,
    settled: Instant,
    deadline: Instant,
    /// How long one answer may take.
    pub answer: Duration,
    /// Whether the first connection to the API's ClusterIP, which has been known for long, met anything but silence.
    pub old_service_answers: SetOnce<bool>,
}

impl Terms {
    /// The terms of a probe that begins now.
    pub fn new(settle: Duration, answer: Duration, deadline: Duration) -> Self {
        let began = Instant::now();
        let deadline = began + deadline;
        let settled = deadline.min(began + settle);
        Self { began, settled, deadline, answer, old_service_answers: SetOnce::new() }
    }

    /// How long the probe has been asking.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Until when names and addresses may still become known.
    pub fn settled(&self) -> Instant {
        self.settled
    }

    /// Whether the probe must answer now.
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// What is answered within `patience`. The deadline of the probe ends it earlier, and then it is
    /// [`Unanswered`](Fault::Unanswered).
    pub async fn within<T>(&self, patience: Duration, asking: impl Future<Output = Got<T>>) -> Got<T> {
        if self.is_over() {
            return Err(Fault::Unanswered);
        }
        let end = Instant::now() + patience;
        match timeout_at(end.min(self.deadline), asking).await {
            Ok(got) => got,
            Err(_) if end <= self.deadline => Err(Fault::TimedOut),
            Err(_) => Err(Fault::Unanswered),
        }
    }

    /// What takes a bounded time anyway, unless the deadline of the probe comes first.
    pub async fn by_deadline<T>(&self, asking: impl Future<Output = T>) -> Option<T> {
        timeout_at(self.deadline, asking).await.ok()
    }

    /// What is answered within the time that one answer may take.
    pub async fn answered<T>(&self, asking: impl Future<Output = Got<T>>) -> Got<T> {
        self.within(self.answer, asking).await
    }

    /// Sleeps, unless the probe must answer before.
    pub async fn pause(&self, pause: Duration) {
        tokio::time::sleep_until(self.deadline.min(Instant::now() + pause)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn silence_is_a_timeout_and_what_the_deadline_cuts_off_was_not_seen() {
        assert_eq!(Terms::new(LONG, SHORT, LONG).answered(pending::<Got<()>>()).await, Err(Fault::TimedOut));
        let cut = Terms::new(LONG, LONG, SHORT);
        assert_eq!(cut.answered(pending::<Got<()>>()).await, Err(Fault::Unanswered));
        assert_eq!(cut.answered(ready(Ok(()))).await, Err(Fault::Unanswered), "nothing is asked after the deadline");
        assert!(cut.is_over() && cut.settled() <= Instant::now());
        assert_eq!(cut.by_deadline(pending::<()>()).await, None);
    }
}
