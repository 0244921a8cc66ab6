//! The flags that choose reports.

use std::path::PathBuf;

use clap::Args;

use crate::report::{Colour, Format, Progress, Wanted};

/// Which reports are written.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Reports")]
pub struct ReportArgs {
    /// Write JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write the verdicts as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the event stream as JSON lines, from which `seaworthy report` makes any report
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// What the standard output shows
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
    /// Show passed and skipped checks, notes, and what each fact cost
    #[arg(short, long)]
    pub verbose: bool,
    /// When to use colour
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    pub color: Colour,
}

impl ReportArgs {
    /// What the reports are told.
    pub fn wanted(&self, progress: Progress) -> Wanted {
        Wanted {
            junit: self.junit.clone(),
            json: self.json.clone(),
            events: self.events.clone(),
            output: self.output,
            verbose: self.verbose,
            colour: self.color,
            progress,
        }
    }
}
