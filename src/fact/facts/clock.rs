//! The time in the cluster.

use futures_util::future::join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cluster::{Call, Cluster, Identity};
use crate::fact::Observe;
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// The paths whose answers are asked for their date. Every answer has one, also a refusal.
const PATHS: [&str; 3] = ["/version", "/livez", "/api"];
/// By how many milliseconds readings of one clock differ at most, beyond the time that the answers took: dates are cut to the
/// second.
const CUT_MS: i64 = 1000;

/// The time: in the cluster, and here. Checks use the cluster's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Clock {
    /// The API server's clock, to the second.
    pub server: Timestamp,
    /// Our own clock at the same time.
    pub here: Timestamp,
}

/// A reading of a clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dated {
    /// The time that it showed, cut to the second.
    pub said: Timestamp,
    /// Our own clock before asking.
    pub before: Timestamp,
    /// Our own clock after the answer.
    pub after: Timestamp,
}

impl Dated {
    /// By how many milliseconds the clock is ahead of ours, at least and at most.
    pub(crate) fn ahead(&self) -> (i64, i64) {
        let said = self.said.as_millisecond();
        (said - self.after.as_millisecond(), said + CUT_MS - self.before.as_millisecond())
    }

    /// Whether both may be readings of one clock.
    fn agrees(&self, other: &Self) -> bool {
        let (one, other) = (self.ahead(), other.ahead());
        one.0 <= other.1 && other.0 <= one.1
    }

    /// Whether it may be a reading of our own clock.
    fn is_ours(&self) -> bool {
        let (least, most) = self.ahead();
        least <= CUT_MS && most >= -CUT_MS
    }
}

impl Observe for Clock {
    type Needs<'a> = ();
    const NAME: &'static str = "clock";
    const ACCESS: Access = Access::Read;

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let Dated { said, after, .. } = read(cluster, &Identity::Own).await?;
        Ok(Self { server: said, here: after })
    }
}

crate::observed!(Clock);

/// The API server's clock, from several answers: a date may also be that of a proxy in between.
pub(super) async fn read(cluster: &Cluster, identity: &Identity) -> Seen<Dated> {
    let readings = join_all(PATHS.map(async |path| {
        let call = Call::url(path).by(identity.clone());
        let before = Timestamp::now();
        let reply = cluster.send(&call).await?;
        let after = Timestamp::now();
        let said = reply.date.ok_or_else(|| Unobserved::invalid(call.to_string(), "the answer has no Date header"))?;
        Ok(Dated { said, before, after })
    }));
    believed(readings.await)
}

/// The reading that most of the answers and our own clock support. What one answer alone claims is not believed.
fn believed(readings: Vec<Seen<Dated>>) -> Seen<Dated> {
    let (read, failed): (Vec<_>, Vec<_>) = readings.into_iter().partition(Result::is_ok);
    let read: Vec<Dated> = read.into_iter().flatten().collect();
    let support = |one: &Dated| read.iter().filter(|other| one.agrees(other)).count() + usize::from(one.is_ours());
    // Of equally many, those that agree with our own clock.
    match read.iter().max_by_key(|one| (support(one), one.is_ours())) {
        Some(best) if support(best) >= 2 => Ok(best.clone()),
        Some(_) => {
            let dates: Vec<String> = read.iter().map(|one| one.said.to_string()).collect();
            let cause = format!("the answers have dates that nothing confirms: {}", dates.join(", "));
            Err(Unobserved::invalid("the API server's clock", cause))
        }
        None => {
            let unasked =
                || Unobserved::invalid("the API server's clock", "nothing was asked that answers with a date");
            Err(failed.into_iter().find_map(Result::err).unwrap_or_else(unasked))
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    /// The seconds by which the believed reading is ahead of our own clock.
    fn judged(ahead: &[Option<i64>]) -> Option<i64> {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let readings = ahead.iter().map(|ahead| {
            let ahead = ahead.ok_or_else(|| Unobserved::unreachable("GET /livez", "refused"))?;
            Ok(Dated { said: now + SignedDuration::from_secs(ahead), before: now, after: now })
        });
        let believed = believed(readings.collect()).ok()?;
        Some(believed.said.as_second() - now.as_second())
    }

    #[test]
    fn a_clock_that_one_answer_claims_is_not_believed() {
        const YEAR: i64 = 365 * 24 * 3600;
        assert_eq!(judged(&[Some(YEAR), Some(0), Some(0)]), Some(0));
        assert_eq!(judged(&[Some(YEAR), Some(YEAR), Some(0)]), Some(0), "our own clock decides");
        assert_eq!(judged(&[Some(YEAR), Some(3600), Some(3600)]), Some(3600), "our own clock is an hour behind");
        assert_eq!(judged(&[Some(3600), Some(3600), Some(3600)]), Some(3600));
        assert_eq!(judged(&[Some(YEAR), None, None]), None);
        assert_eq!(judged(&[Some(0), None, None]), Some(0));
        assert_eq!(judged(&[Some(YEAR), Some(-YEAR), Some(3600)]), None);
    }

    #[test]
    fn without_any_answer_the_reason_is_that_of_the_first() {
        let failed = || Err(Unobserved::unreachable("GET /version", "refused"));
        assert_eq!(believed(vec![failed(), failed()]), failed());
    }
}
