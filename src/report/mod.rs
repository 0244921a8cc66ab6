//! Reports: consumers of the event stream. They know events and the words of verdicts in them, never a check or a fact.

mod annotations;
mod causes_first;
pub(crate) mod conclusion;
pub mod console;
mod csv;
mod ctrf;
pub(crate) mod documentation;
mod excerpt;
mod folded;
pub mod format;
pub mod gathered;
mod history;
mod html;
pub mod json;
pub mod jsonl;
pub mod junit;
pub(crate) mod markdown;
pub mod on_verdict;
pub mod openmetrics;
pub mod openreports;
pub mod output;
pub mod plain;
pub mod progress;
pub mod reports;
mod sarif;
pub mod shortened;
mod tap;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;
pub mod waiting;
pub mod wanted;
#[cfg(test)]
mod well_formed;

pub use console::Console;
pub use format::Format;
pub use gathered::Gathered;
pub use history::History;
pub use on_verdict::OnVerdict;
pub use output::{OutputError, OutputFile, StreamFile};
pub use reports::{Report, Reports};
pub use wanted::{Colour, Progress, Target, Wanted, output_file};
