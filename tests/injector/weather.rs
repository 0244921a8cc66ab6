//! Which faults happen, and when: the same seed gives a request the same fault, in whatever order requests come.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

use super::asked::Asked;
use super::fault::Fault;

/// The weather of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Weather {
    /// What all choices follow from.
    pub(crate) seed: u64,
    /// How many of a hundred requests meet a fault.
    pub(crate) percent: u32,
    /// The faults that there are.
    pub(crate) faults: Vec<Fault>,
    /// Whether requests for the version meet none: a run that gets no answer there does not begin.
    pub(crate) spares_version: bool,
}

impl Weather {
    /// No faults at all.
    pub(crate) fn calm() -> Self {
        Self { seed: 0, percent: 0, faults: Vec::new(), spares_version: false }
    }

    /// A number that follows from the seed and from these words.
    pub(crate) fn number(&self, words: &str) -> u64 {
        let digest = digest(&SHA256, format!("{} {words}", self.seed).as_bytes());
        digest.as_ref().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// One of these; none if there are none.
    fn one_of<T: Copy>(&self, words: &str, all: &[T]) -> Option<T> {
        let length = u64::try_from(all.len()).ok().filter(|length| *length > 0)?;
        usize::try_from(self.number(words) % length).ok().and_then(|place| all.get(place)).copied()
    }
}

/// The weather, and what was asked in it so far.
pub(super) struct Course {
    pub(super) weather: Weather,
    /// How often each request was sent. Connections count as requests.
    sent: Mutex<BTreeMap<String, u64>>,
}

impl Course {
    pub(super) fn new(weather: Weather) -> Self {
        Self { weather, sent: Mutex::default() }
    }

    /// How often this was sent before.
    fn before(&self, key: &str) -> u64 {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let count = sent.entry(key.to_owned()).or_default();
        *count += 1;
        *count - 1
    }

    /// What happens to a request, and a number for its details.
    pub(super) fn befalls(&self, asked: &Asked) -> Option<(Fault, u64)> {
        let Weather { percent, faults, spares_version, .. } = &self.weather;
        let words = format!("{} {}", asked.key, self.before(&asked.key));
        if *spares_version && asked.key.starts_with("GET /version?") {
            return None;
        }
        if self.weather.number(&format!("whether {words}")) % 100 >= u64::from(*percent) {
            return None;
        }
        let possible: Vec<_> = faults.iter().copied().filter(|fault| fault.can_befall(asked)).collect();
        let fault = self.weather.one_of(&format!("which {words}"), &possible)?;
        Some((fault, self.weather.number(&format!("how {words}"))))
    }

    /// Whether a new connection is dropped: every n-th one.
    pub(super) fn drops_connection(&self) -> bool {
        let Weather { percent, faults, .. } = &self.weather;
        let nth = u64::from(100 / (*percent).clamp(1, 50));
        self.before("a connection") % nth == self.weather.number("which connection") % nth
            && *percent > 0
            && faults.contains(&Fault::Dropped)
    }
}
