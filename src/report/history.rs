//! The history of runs: a folder with the event stream of each, by date.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::jsonl::JsonLines;
use super::output::TEMPORARY;
use super::{OutputError, OutputFile, Report};
use crate::event::Event;

/// The form of a file's name: the time at which the run began, in UTC, so that names have the order of time.
const NAME: &str = "%Y-%m-%dT%H-%M-%SZ";
/// What a file's name ends with.
const END: &str = ".jsonl";
/// No run takes that long: the temporary files of older ones belong to runs that were killed.
const LONGEST_RUN: Duration = Duration::from_secs(48 * 60 * 60);

/// A folder with the event stream of each run. A stream is there when its run has ended: all that is there is whole.
pub struct History {
    folder: PathBuf,
    limit: NonZeroUsize,
    lines: JsonLines<OutputFile>,
}

impl History {
    /// Makes the folder, unless it exists, removes what killed runs have left in it, and opens the file of this run.
    pub fn open(folder: &Path, limit: NonZeroUsize, began: Timestamp) -> Result<Self, OutputError> {
        fs::create_dir_all(folder).map_err(|why| OutputError::file(folder, why))?;
        // What cannot be removed is in no one's way.
        let _ = remove_temporary(folder, SystemTime::now());
        let name = began.to_zoned(TimeZone::UTC).strftime(NAME).to_string() + END;
        let file = OutputFile::create(&folder.join(name))?;
        Ok(Self { folder: folder.into(), limit, lines: JsonLines::new(file) })
    }
}

impl Report for History {
    fn event(&mut self, event: &Event) -> Result<(), OutputError> {
        self.lines.event(event)
    }

    fn finish(self: Box<Self>) -> Result<(), OutputError> {
        let Self { folder, limit, lines } = *self;
        lines.into_inner().publish()?;
        remove_oldest(&folder, limit).map_err(|why| OutputError::file(&folder, why))
    }
}

/// Removes all but the newest streams. Other files are left alone.
fn remove_oldest(folder: &Path, limit: NonZeroUsize) -> io::Result<()> {
    let mut streams = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let is_stream = name.strip_suffix(END).is_some_and(|time| jiff::civil::DateTime::strptime(NAME, time).is_ok());
        if is_stream {
            streams.push(name);
        }
    }
    streams.sort_unstable_by(|a, b| b.cmp(a));
    streams.iter().skip(limit.get()).try_for_each(|name| fs::remove_file(folder.join(name)))
}

/// Removes the temporary files of runs that were killed.
fn remove_temporary(folder: &Path, now: SystemTime) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_temporary = entry.file_name().to_string_lossy().starts_with(TEMPORARY);
        let age = now.duration_since(entry.metadata()?.modified()?).unwrap_or_default();
        if is_temporary && age > LONGEST_RUN {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(number: usize) -> NonZeroUsize {
        NonZeroUsize::new(number).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn event() -> Event {
        Event::FactStarted { fact: "pods".into() }
    }

    #[test]
    fn a_stream_is_there_when_its_run_has_ended_and_the_oldest_are_removed() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("history");
        for (day, expected) in [(1, vec![1]), (2, vec![1, 2]), (3, vec![2, 3])] {
            let began = format!("2026-12-0{day}T02:17:00Z").parse().unwrap();
            let mut history = Box::new(History::open(&folder, limit(2), began).unwrap());
            fs::write(folder.join("latest.json"), "{}").unwrap();
            history.event(&event()).unwrap();
            assert!(!names(&folder).contains(&format!("2026-12-0{day}T02-17-00Z.jsonl")));
            history.finish().unwrap();
            let expected = expected.iter().map(|day| format!("2026-12-0{day}T02-17-00Z.jsonl"));
            let expected: Vec<_> = expected.chain(["latest.json".to_owned()]).collect();
            assert_eq!(names(&folder), expected);
        }
        let text = fs::read_to_string(folder.join("2026-12-03T02-17-00Z.jsonl")).unwrap();
        assert_eq!(text, "{\"event\":\"fact-started\",\"fact\":\"pods\"}\n");
    }

    #[test]
    fn what_a_killed_run_left_is_removed_when_no_run_can_be_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join(format!("{TEMPORARY}x7f4k"));
        fs::write(&left, "half").unwrap();
        let written = fs::metadata(&left).unwrap().modified().unwrap();
        remove_temporary(folder.path(), written + LONGEST_RUN).unwrap();
        assert!(left.exists());
        remove_temporary(folder.path(), written + LONGEST_RUN + Duration::from_secs(1)).unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let why = History::open(&file.path().join("a"), limit(1), Timestamp::now()).err().unwrap().to_string();
        assert!(why.starts_with(&file.path().display().to_string()), "{why}");
    }
}
