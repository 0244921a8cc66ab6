//! What refuses unsuitable files of reports, and what feeds reports.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::Failure;
use crate::event::Event;
use crate::redaction::Redaction;
use crate::report::{Progress, Reports, Wanted};

/// The name of the standard input in messages.
pub const STANDARD_INPUT: &str = "the standard input";

/// Refuses to write two outputs to one file, or to overwrite an input.
pub fn check_files(wanted: &Wanted, read: &[(&str, Option<&Path>)], record: Option<&Path>) -> Result<(), Failure> {
    let read = read.iter().filter_map(|&(name, path)| Some((name.to_owned(), path?)));
    let written = wanted.files().map(|file| (file.flag, file.path));
    let written = written.chain(record.map(|path| ("--record".to_owned(), path)));
    let mut taken: Vec<(String, PathBuf)> = places(read).collect();
    for (flag, place) in places(written) {
        if let Some((other, _)) = taken.iter().find(|(_, known)| *known == place) {
            let place = place.display();
            return Err(Failure::Usage(format!("{other} and {flag} are the same file, {place}: name another one")));
        }
        taken.push((flag, place));
    }
    Ok(())
}

/// The canonical paths of files. Pipes and devices are left out, since they may have many writers.
fn places<'a>(files: impl Iterator<Item = (String, &'a Path)>) -> impl Iterator<Item = (String, PathBuf)> {
    files.filter_map(|(name, path)| Some((name, place(path)?)))
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

/// Opens the reports, before the run begins.
pub fn open(wanted: &Wanted, progress: Progress) -> Result<Reports, Failure> {
    let shown = wanted.standard_output().map_err(Failure::Usage)?;
    Ok(Reports::open(wanted, shown, progress)?)
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
