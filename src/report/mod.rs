//! Reports: consumers of the event stream. They know events, never checks or facts.

pub mod output;
pub mod text;

use std::io;

pub use output::{OutputError, OutputFile};

use crate::cli::run::ReportArgs;
use crate::event::Event;

/// A consumer of the event stream.
pub trait Report: Send {
    /// Takes the next event.
    fn event(&mut self, event: &Event) -> io::Result<()>;
    /// Writes what is left to write.
    fn finish(self: Box<Self>) -> Result<(), OutputError>;
}

/// What the standard output shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// The verdicts as JSON.
    Json,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// All reports of a run.
pub struct Reports(Vec<Box<dyn Report>>);

impl Reports {
    /// Opens every file that was asked for, before the run begins.
    pub fn open(_args: &ReportArgs) -> Result<Self, OutputError> {
        Ok(Self(vec![Box::new(text::Text)]))
    }

    /// Feeds every report.
    pub fn event(&mut self, event: &Event) -> Result<(), OutputError> {
        for report in &mut self.0 {
            report.event(event).map_err(OutputError::Stream)?;
        }
        Ok(())
    }

    /// Finishes every report.
    pub fn finish(self) -> Result<(), OutputError> {
        self.0.into_iter().try_for_each(Report::finish)
    }
}
