//! What is known of a cluster from before: findings that someone has accepted, and those that an earlier run had.

mod accept;
mod apply;
mod baseline;
mod check;
pub mod diff;
mod waiver;

pub use accept::{AcceptError, Acceptable, Terms, append, entries};
pub use apply::Acceptance;
pub use baseline::Baseline;
pub use check::CHECK;
pub use diff::Diff;
pub use waiver::{Waiver, WaiverError, Waivers};
