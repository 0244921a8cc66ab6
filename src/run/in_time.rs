//! Work that takes time only because of what a cluster contains, and that a run does not wait for without end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::live::Live;
use crate::seen::{Seen, Unobserved};

/// How long work may go on when the run is over or stopped: nearly all of it takes less.
const GRACE: Duration = Duration::from_millis(700);

/// Does the work on a thread of its own. When the run is over or stopped, it is not waited for any longer; its thread ends with
/// the program.
pub(super) async fn in_time<T: Send + 'static>(
    live: &Arc<Live>,
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Seen<T> {
    let start = Instant::now();
    let (cancelled, over) = (live.cluster.cancelled(), live.cluster.over());
    let end = async move {
        let why = tokio::select! {
            () = cancelled => Unobserved::Interrupted,
            () = over => {
                live.cluster.out_of_time().unwrap_or_else(|| Unobserved::timed_out(what, start.elapsed()))
            }
        };
        tokio::time::sleep(GRACE).await;
        why
    };
    tokio::select! {
        done = tokio::task::spawn_blocking(work) => done.map_err(|why| Unobserved::invalid(what, why)),
        why = end => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::watch;

    use super::*;
    use crate::live::testing::live;

    /// Work that does not end by itself: it waits until the sender is dropped.
    async fn endless(live: &Arc<Live>) -> (Seen<()>, Duration) {
        let (release, released) = mpsc::channel::<()>();
        let start = Instant::now();
        let seen = in_time(live, "judging X", move || _ = released.recv()).await;
        let took = start.elapsed();
        drop(release);
        (seen, took)
    }

    #[tokio::test]
    async fn a_run_ends_in_time_whatever_a_judge_is_doing() {
        let (stop, stopped) = watch::channel(false);
        let (seen, took) = endless(&live(Some(Duration::from_millis(100)), stopped.clone())).await;
        assert!(seen.unwrap_err().to_string().starts_with("the run was over after 0.1 s"));
        assert!(took < GRACE * 5, "{took:?}");
        stop.send(true).unwrap();
        let (seen, took) = endless(&live(None, stopped)).await;
        assert_eq!((seen, took < GRACE * 5), (Err(Unobserved::Interrupted), true), "{took:?}");
    }

    #[tokio::test]
    async fn what_is_done_in_time_counts_and_so_does_a_panic() {
        let (_stop, stopped) = watch::channel(false);
        let live = live(None, stopped);
        assert_eq!(in_time(&live, "judging X", || 7).await, Ok(7));
        let panicked = in_time(&live, "judging X", || -> u8 { panic!("no") }).await;
        assert!(matches!(panicked, Err(Unobserved::Invalid { .. })));
    }
}
