//! Repeated looks at something that takes time.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::seen::{Seen, Unobserved};

/// Looks until `done` accepts what is seen, or `patience` is over; returns what was seen last. `done` decides whether a failure
/// ends the wait. A refusal always does.
pub(crate) async fn until<T, F: Future<Output = Seen<T>>>(
    patience: Duration,
    pause: Duration,
    mut look: impl FnMut() -> F,
    done: impl Fn(&Seen<T>) -> bool,
) -> Seen<T> {
    let began = Instant::now();
    loop {
        let seen = look().await;
        let refused = matches!(seen, Err(Unobserved::Refused { .. } | Unobserved::NotGranted { .. }));
        if refused || done(&seen) || began.elapsed() >= patience {
            return seen;
        }
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    async fn looks(patience: Duration, see: impl Fn(usize) -> Seen<usize>, done: fn(&Seen<usize>) -> bool) -> usize {
        let looks = Cell::new(0);
        let look = || {
            looks.set(looks.get() + 1);
            std::future::ready(see(looks.get()))
        };
        let seen = until(patience, Duration::from_millis(1), look, done).await;
        assert_eq!(seen, see(looks.get()), "the last look counts");
        looks.get()
    }

    #[tokio::test]
    async fn failures_end_it_only_where_the_caller_says_so_and_refusals_always() {
        let long = Duration::from_secs(60);
        let broken = |look| if look < 3 { Err(Unobserved::Interrupted) } else { Ok(look) };
        assert_eq!(looks(long, broken, Result::is_ok).await, 3);
        assert_eq!(looks(long, broken, |seen| !matches!(seen, Ok(0..=2))).await, 1);
        let refused = |_| Err(Unobserved::Refused { missing: "get pods".into(), message: "no".into() });
        assert_eq!(looks(long, refused, Result::is_ok).await, 1);
        assert_eq!(looks(Duration::ZERO, broken, Result::is_ok).await, 1);
    }
}
