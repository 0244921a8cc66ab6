//! The flags that choose reports, and what feeds these.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser, ValueParser};
use tokio::sync::mpsc;

use super::Failure;
use crate::event::Event;
use crate::redaction::Redaction;
use crate::report::{Colour, Format, Progress, Reports, Wanted};

/// The name of the standard input in messages.
pub const STANDARD_INPUT: &str = "the standard input";

/// Parses the name of an output file.
pub fn output_file() -> ValueParser {
    let named = |path: PathBuf| match path.to_str() {
        Some("-") => Err("name a file, or /dev/stdout for the standard output"),
        _ => Ok(path),
    };
    PathBufValueParser::new().try_map(named).into()
}

/// The reports to write.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Reports")]
pub struct ReportArgs {
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

impl ReportArgs {
    /// Refuses to write two outputs to one file, or to overwrite an input.
    pub fn check(&self, read: &[(&str, Option<&Path>)], record: Option<&Path>) -> Result<(), Failure> {
        let written = [
            ("--junit", self.junit.as_deref()),
            ("--json", self.json.as_deref()),
            ("--events", self.events.as_deref()),
            ("--record", record),
        ];
        let mut taken: Vec<(&str, PathBuf)> = places(read).collect();
        for (flag, place) in places(&written) {
            if let Some((other, _)) = taken.iter().find(|(_, known)| *known == place) {
                let place = place.display();
                return Err(Failure::Usage(format!("{other} and {flag} are the same file, {place}: name another one")));
            }
            taken.push((flag, place));
        }
        Ok(())
    }

    /// The settings of the reports.
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

/// The canonical paths of files. Pipes and devices are left out, since they may have many writers.
fn places<'a>(files: &[(&'a str, Option<&Path>)]) -> impl Iterator<Item = (&'a str, PathBuf)> {
    files.iter().filter_map(|&(name, path)| Some((name, place(path?)?)))
}

fn place(path: &Path) -> Option<PathBuf> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return None;
    }
    let beside = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(fs::canonicalize(folder).ok()?.join(path.file_name()?))
    };
    // A file that can be neither found nor created fails when it is opened.
    fs::canonicalize(path).ok().or_else(beside)
}

/// Feeds every report with the events, from which secrets are removed first.
pub(super) async fn consume(
    mut events: mpsc::UnboundedReceiver<Event>,
    mut reports: Reports,
    redaction: Redaction,
) -> Result<(), Failure> {
    while let Some(event) = events.recv().await {
        reports.event(&event.redacted(&redaction));
    }
    Ok(reports.finish()?)
}
