//! When facts are observed.

/// When a fact is observed, beside the others that a run needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Before all others: nothing takes longer, and what is asked at the same time delays it. It reports itself when it
    /// is under way, by [`Phase::end`](crate::live::Phase::end).
    First,
    /// As soon as its needs are there.
    Any,
    /// When all others are observed: it shows what has changed meanwhile.
    Last,
    /// When all others are observed, with nothing beside it. It is not cut off when the run ends or is stopped, so that
    /// it can bring back what it has taken down: it watches for that end itself.
    Alone,
}
