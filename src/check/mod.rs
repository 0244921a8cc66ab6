//! Checks: pure functions from facts to a verdict, whose parameters are their needs.

mod bounds;
pub mod cause;
pub mod documentation;
pub mod finding;
mod fingerprint;
pub mod judge;
pub mod note;
pub mod outcome;
pub mod severity;
pub mod subject;
#[cfg(test)]
pub(crate) mod testing;
pub mod verdict;
mod waived;

pub use cause::{Cause, Origin, Root};
pub use documentation::Documentation;
pub use finding::Finding;
pub use judge::{Check, Judge, Suite};
pub use note::Note;
pub use outcome::{Judged, Outcome};
pub use severity::Severity;
pub use subject::Subject;
pub use verdict::Verdict;
pub use waived::Waived;
