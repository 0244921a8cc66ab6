//! Reports: consumers of the event stream. They know events, never checks or facts.

pub mod console;
pub mod gathered;
pub mod json;
pub mod jsonl;
pub mod junit;
pub mod markdown;
pub mod output;
pub mod plain;
pub mod progress;
pub mod reports;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;
pub mod wanted;

pub use console::Console;
pub use gathered::Gathered;
pub use output::{OutputError, OutputFile, StreamFile};
pub use reports::{Report, Reports};
pub use wanted::{Colour, Format, Progress, Wanted};
