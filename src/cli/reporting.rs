//! What refuses unsuitable files of reports, and what feeds reports.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::{Failure, say};
use crate::event::Event;
use crate::push::{PushArgs, Pushes};
use crate::redaction::Redaction;
use crate::report::text::wrap::printable;
use crate::report::{Progress, Reports, Wanted};
use crate::run::ExitCode;

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

/// Reads what there is to send, before the run begins.
pub(super) fn resolve(push: &PushArgs) -> Result<Pushes, Failure> {
    push.resolve().map_err(Failure::Usage)
}

/// The same for a command that asks no cluster.
pub(super) fn resolve_without_cluster(push: &PushArgs) -> Result<Pushes, Failure> {
    push.resolve_without_cluster().map_err(Failure::Usage)
}

/// Whether every target of `--push` got the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) struct Delivered(bool);

impl Delivered {
    /// The exit code of a command that would have ended with this one.
    pub(super) fn exit_code(self, otherwise: ExitCode) -> ExitCode {
        if self.0 { otherwise } else { otherwise.undelivered() }
    }
}

/// Feeds every report with the events, from which secrets are removed first. What is sent is sent when all files are there.
pub(super) async fn consume(
    mut events: mpsc::UnboundedReceiver<Event>,
    mut reports: Reports,
    mut pushes: Pushes,
    redaction: Redaction,
) -> Result<Delivered, Failure> {
    while let Some(event) = events.recv().await {
        let event = event.redacted(&redaction);
        reports.event(&event);
        pushes.event(&event);
    }
    finish(reports, pushes).await
}

/// Finishes every report, then sends the verdict. A report that cannot be written keeps no target from getting it.
pub(super) async fn finish(reports: Reports, pushes: Pushes) -> Result<Delivered, Failure> {
    let finished = reports.finish();
    let failed = pushes.deliver().await;
    for undelivered in &failed {
        say(&printable(&undelivered.to_string()));
    }
    finished?;
    Ok(Delivered(failed.is_empty()))
}
