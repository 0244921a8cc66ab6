//! Turns: each request waits here until one more may be in flight. Its deadline starts then.
//!
//! Time spent waiting for our own other requests does not count against the server.

use std::fmt::Display;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::SemaphorePermit;

use super::{Call, Cluster};
use crate::seen::{Seen, Unobserved};

/// Permission to be in flight, for as long as it is kept.
pub(super) struct Turn<'a, P = SemaphorePermit<'a>> {
    cluster: &'a Cluster,
    pub(super) permit: P,
    /// How long the exchange may take.
    pub(super) deadline: Duration,
}

impl Cluster {
    /// Waits for the turn of an exchange with `target`.
    pub(super) async fn turn(&self, target: &impl Display) -> Seen<Turn<'_>> {
        let permit = self.in_flight.acquire().await;
        self.begin_turn(permit.map_err(|e| Unobserved::unreachable(target.to_string(), e))?)
    }

    /// The turn that such a permit is for. Its deadline starts now.
    pub(super) fn begin_turn<P>(&self, permit: P) -> Seen<Turn<'_, P>> {
        match self.out_of_time() {
            Some(why) => Err(why),
            None => Ok(Turn { cluster: self, permit, deadline: self.deadline(self.settings().request_timeout) }),
        }
    }

    /// Waits for the turn of a request to the API server, also as its pace demands, and counts it.
    pub(super) async fn turn_of_request(&self, call: &Call) -> Seen<Turn<'_>> {
        let mut turn = self.pace.during(self.turn(call)).await?;
        self.pace.wait().await;
        if let Some(why) = self.out_of_time() {
            return Err(why);
        }
        turn.deadline = self.deadline(self.settings().request_timeout);
        self.sent.fetch_add(1, Ordering::Relaxed);
        Ok(turn)
    }
}

impl<P> Turn<'_, P> {
    /// Runs the exchange with `target` within its deadline. The end of the run is not the server's fault.
    pub(super) async fn take<T>(self, target: &impl Display, exchange: impl Future<Output = Seen<T>>) -> Seen<T> {
        let timed_out = |_| {
            let late = || Unobserved::timed_out(target.to_string(), self.deadline);
            Err(self.cluster.out_of_time().unwrap_or_else(late))
        };
        tokio::time::timeout(self.deadline, exchange).await.unwrap_or_else(timed_out)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::cluster::testing::cluster;

    #[tokio::test]
    async fn waiting_for_a_turn_takes_nothing_from_the_deadline() {
        let (needed, deadline) = (Duration::from_millis(150), Duration::from_millis(500));
        let cluster = cluster("http://127.0.0.1:1", 1, deadline);
        let call = Call::url("/version");
        // The last waits longer than it may take.
        let sent = join_all((0..5).map(async |_| {
            let turn = cluster.turn_of_request(&call).await?;
            turn.take(&call, async {
                tokio::time::sleep(needed).await;
                Ok(())
            })
            .await
        }));
        assert_eq!(sent.await, [const { Ok(()) }; 5]);
        assert_eq!(cluster.requests(), 5);
        let slow = cluster.turn(&call).await.unwrap().take(&call, std::future::pending::<Seen<()>>()).await;
        assert_eq!(slow.unwrap_err().to_string(), "GET /version did not answer within 0.5 s");
    }
}
