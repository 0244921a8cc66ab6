//! Recordings: all facts of a run in one file, to be judged again anywhere.

mod document;
mod error;
mod facts;

pub use document::{Header, Recording, is_recording};
pub use error::ReadError;
