//! Which reports are wanted.

use std::path::PathBuf;

/// Which reports are wanted, and how.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Where JUnit XML goes.
    pub junit: Option<PathBuf>,
    /// Where the verdicts go.
    pub json: Option<PathBuf>,
    /// Where the event stream goes.
    pub events: Option<PathBuf>,
    /// What the standard output shows.
    pub output: Format,
    /// Whether the text shows more than what is wrong.
    pub verbose: bool,
    /// When to use colour.
    pub colour: Colour,
    /// What the standard error shows while the run goes on.
    pub progress: Progress,
}

/// What the standard output shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// The verdicts as JSON
    Json,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What the standard error shows while the run goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// A bar on a terminal, otherwise a line for each suite that is done.
    Shown,
    /// Nothing: no one is waiting.
    #[default]
    Hidden,
}
