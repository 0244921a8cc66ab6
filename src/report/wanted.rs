//! Which reports are wanted.

use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser, ValueParser};

/// The reports to write.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Reports")]
pub struct Wanted {
    /// Write JUnit XML
    #[arg(long, value_name = "FILE", value_parser = output_file())]
    pub junit: Option<PathBuf>,
    /// Write the verdicts as JSON
    #[arg(long, value_name = "FILE", value_parser = output_file())]
    pub json: Option<PathBuf>,
    /// Write the event stream as JSON lines, which `seaworthy report` converts into any report
    #[arg(long, value_name = "FILE", value_parser = output_file())]
    pub events: Option<PathBuf>,
    /// The format of the standard output
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
    /// Show passed and skipped checks, notes, and how long each fact took
    #[arg(short, long)]
    pub verbose: bool,
    /// When to use colour
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    pub color: Colour,
}

impl Wanted {
    /// The files to write, by the names of their flags.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let files = [("junit", &self.junit), ("json", &self.json), ("events", &self.events)];
        files.into_iter().filter_map(|(flag, path)| Some((flag, path.as_deref()?)))
    }
}

/// Parses the name of an output file.
pub fn output_file() -> ValueParser {
    let named = |path: PathBuf| match path.to_str() {
        Some("-") => Err("name a file, or /dev/stdout for the standard output"),
        _ => Ok(path),
    };
    PathBufValueParser::new().try_map(named).into()
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
