//! How the parts of a topic become one again.

use std::collections::BTreeMap;

/// What several containers of a probe hold parts of.
pub trait Merge {
    /// Adds another part.
    fn add(&mut self, other: Self);
}

impl<T> Merge for Option<T> {
    fn add(&mut self, other: Self) {
        *self = self.take().or(other);
    }
}

impl<T> Merge for Vec<T> {
    fn add(&mut self, other: Self) {
        self.extend(other);
    }
}

impl<K: Ord, V> Merge for BTreeMap<K, V> {
    fn add(&mut self, other: Self) {
        self.extend(other);
    }
}

/// Whether something is asked at all.
impl Merge for bool {
    fn add(&mut self, other: Self) {
        *self |= other;
    }
}
