//! Recordings: all facts of a run in one file, to be judged again anywhere.

mod document;
mod error;
mod split;
mod writing;

pub use document::{Recording, is_recording};
pub use error::ReadError;
pub use writing::{Header, write};
