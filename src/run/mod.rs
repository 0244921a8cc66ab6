//! A run: plan, observe, judge.

pub mod engine;
pub mod exit_code;
#[cfg(test)]
mod independent_faults;
mod in_time;
pub mod observer;
pub mod plan;
pub mod profile;
pub mod selection;

pub use engine::{Conclusion, Run, run};
pub use exit_code::ExitCode;
pub use observer::{Observer, Source};
pub use plan::Plan;
pub use profile::{Profile, ProfileError};
pub use selection::{Selection, SelectionError};
