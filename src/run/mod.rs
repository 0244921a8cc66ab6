//! A run: plan, observe, judge.

pub mod engine;
pub mod exit_code;
mod in_time;
#[cfg(test)]
mod independent_faults;
pub mod observer;
pub mod plan;
pub mod profile;
pub mod selection;
mod survey;
#[cfg(test)]
mod unseen_facts;

pub use engine::{Conclusion, Run, run};
pub use exit_code::ExitCode;
pub use observer::{NotBegun, Observer, Source};
pub use plan::Plan;
pub use profile::{Profile, ProfileError};
pub use selection::{Selection, SelectionError};
