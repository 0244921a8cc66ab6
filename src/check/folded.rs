//! Transitional: a verdict merges equal findings by itself.

use super::finding::Difference;
use super::{Subject, Verdict};

/// Transitional.
#[derive(Debug)]
pub struct Folded(&'static str);

impl Default for Folded {
    fn default() -> Self {
        Self::new()
    }
}

impl Folded {
    /// Transitional.
    pub fn new() -> Self {
        Self("Node")
    }

    /// Transitional.
    pub fn about(kind: &'static str) -> Self {
        Self(kind)
    }

    /// Transitional.
    pub fn expect(&mut self, verdict: &mut Verdict, node: &str, holds: bool, finding: impl FnOnce() -> Difference) {
        verdict.expect(Subject::cluster_object(self.0, node), holds, finding);
    }

    /// Transitional.
    pub fn tell(self, _: &mut Verdict) {}
}
