//! The course of something that was tried repeatedly while a node was down.

use crate::milliseconds::milliseconds;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How many tries in a row must succeed to be more than chance: where one server of three is dead and still gets its
/// share of requests, this happens once in 200,000 times.
pub(crate) const STEADY: usize = 30;

/// One try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tried {
    /// When it began.
    pub began: Instant,
    /// How it failed, if it did.
    pub fault: Option<String>,
}

/// The course of something after the loss.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Course {
    /// How often it was tried.
    pub tries: usize,
    /// How many of the tries failed.
    pub failures: usize,
    /// How the last of them failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// After how many milliseconds the first try began after which none failed, except by chance, if there were enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered_ms: Option<u64>,
    /// The longest time without a success, in milliseconds.
    pub silence_ms: u64,
    /// How long after the loss tries are known, in milliseconds.
    pub known_ms: u64,
}

/// Whether enough of the last tries succeeded in a row.
pub(crate) fn is_steady(tries: &[Tried]) -> bool {
    tries.len() >= STEADY && tries[tries.len() - STEADY..].iter().all(|tried| tried.fault.is_none())
}

impl Course {
    /// The tries that count, in order.
    pub(crate) fn of(tries: &[Tried], loss: Instant) -> Self {
        let since = &tries[tries.partition_point(|tried| tried.began < loss)..];
        let ill = ill(since);
        let well = &since[ill..];
        let recovered = if ill == 0 { loss } else { well.first().map_or(loss, |first| first.began) };
        let known = since.last().map_or(loss, |last| last.began);
        let (mut silence, mut heard) = (Duration::ZERO, loss);
        for tried in since.iter().filter(|tried| tried.fault.is_none()) {
            silence = silence.max(tried.began - heard);
            heard = tried.began;
        }
        let failures = || since.iter().filter_map(|tried| tried.fault.as_ref());
        Self {
            tries: since.len(),
            failures: failures().count(),
            fault: failures().next_back().cloned(),
            recovered_ms: (well.len() >= STEADY).then(|| milliseconds(recovered - loss)),
            silence_ms: milliseconds(silence.max(known - heard)),
            known_ms: milliseconds(known - loss),
        }
    }
}

/// After how many of these tries everything works. A single failure among successes is chance: a lost packet, a busy
/// machine.
fn ill(tries: &[Tried]) -> usize {
    let (mut ill, mut last) = (0, None);
    for (at, _) in tries.iter().enumerate().filter(|(_, tried)| tried.fault.is_some()) {
        if last.is_some_and(|last| at - last <= STEADY) || tries.len() - at <= STEADY {
            ill = at + 1;
        }
        last = Some(at);
    }
    ill
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A try each 100 ms from 500 ms before the loss on: `.` succeeds, `x` fails.
    fn course(outcomes: &str) -> Course {
        let first = Instant::now();
        let tries = outcomes.bytes().enumerate().map(|(i, outcome)| Tried {
            began: first + Duration::from_millis(100 * i as u64),
            fault: (outcome == b'x').then(|| "refused".to_owned()),
        });
        Course::of(&tries.collect::<Vec<_>>(), first + Duration::from_millis(500))
    }

    #[test]
    fn what_never_fails_has_recovered_at_once() {
        let course = course(&".".repeat(40));
        assert_eq!((course.tries, course.failures, course.recovered_ms), (35, 0, Some(0)));
        assert_eq!((course.silence_ms, course.known_ms), (100, 3400));
    }

    #[test]
    fn what_fails_has_recovered_after_its_last_failure() {
        let course = course(&format!("x....x.xxx{}", ".".repeat(STEADY)));
        assert_eq!((course.tries, course.failures, course.recovered_ms), (5 + STEADY, 4, Some(500)));
        assert_eq!((course.silence_ms, course.fault.as_deref()), (400, Some("refused")));
    }

    #[test]
    fn a_failure_alone_is_chance() {
        let well = ".".repeat(STEADY);
        assert_eq!(course(&format!(".....xxx{well}x{well}")).recovered_ms, Some(300));
        assert_eq!(course(&format!(".....xxx{well}x")).recovered_ms, None, "it is not known yet");
        assert_eq!(course(&format!(".....xxx{well}x.x{well}")).recovered_ms, Some(300 + 100 * (STEADY as u64 + 3)));
    }

    #[test]
    fn what_fails_now_and_then_has_not_recovered() {
        assert_eq!(course(&"..x".repeat(80)).recovered_ms, None);
        assert_eq!(course(&format!("{}x", ".".repeat(STEADY - 1)).repeat(9)).recovered_ms, None);
        let dead = course(&"x".repeat(45));
        assert_eq!((dead.recovered_ms, dead.silence_ms, dead.known_ms), (None, 3900, 3900));
    }

    #[test]
    fn nothing_is_known_of_what_was_not_tried() {
        assert_eq!(course("....."), Course::default());
        assert_eq!(course(&".".repeat(STEADY + 4)).recovered_ms, None, "too few tries");
    }

    #[test]
    fn what_is_steady_did_not_fail_lately() {
        let one = |fault: Option<&str>| Tried { began: Instant::now(), fault: fault.map(str::to_owned) };
        let mut tries = vec![one(Some("refused"))];
        tries.extend((1..STEADY).map(|_| one(None)));
        assert!(!is_steady(&tries));
        tries.push(one(None));
        assert!(is_steady(&tries));
        tries.push(one(Some("refused")));
        assert!(!is_steady(&tries));
    }
}
