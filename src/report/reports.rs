//! All reports of a run.

use super::format::Way;
use super::jsonl::JsonLines;
use super::text::Text;
use super::wanted::InFile;
use super::{Console, Format, OnVerdict, OutputError, OutputFile, Progress, StreamFile, Wanted};
use crate::event::Event;

/// A consumer of the event stream.
pub trait Report: Send {
    /// Takes the next event. What there is to write is written with the verdict, not after the clean-up.
    fn event(&mut self, event: &Event) -> Result<(), OutputError>;
    /// Writes what is left to write, such as what there is of a run that was cut off.
    fn finish(self: Box<Self>) -> Result<(), OutputError>;
}

/// All reports of a run. One that cannot be written does not keep the others from being written.
pub struct Reports {
    /// The progress goes first, and the standard output speaks when all files are there.
    open: Vec<Box<dyn Report>>,
    failed: Option<OutputError>,
}

impl Reports {
    /// Opens every file that is wanted, before the run begins.
    pub fn open(wanted: &Wanted, shown: Format, progress: Progress) -> Result<Self, OutputError> {
        let mut open: Vec<Box<dyn Report>> = Vec::new();
        let console = Console::stdout(wanted.color);
        match shown.way() {
            Way::Text => open.push(Box::new(Text::new(console, wanted))),
            Way::Whole(writer) => open.push(Box::new(OnVerdict::new(writer, console))),
            Way::Events => open.push(Box::new(JsonLines::new(console))),
        }
        let mut streams = Vec::new();
        for InFile { format, path, .. } in wanted.files() {
            match format.way() {
                Way::Text => unreachable!("text has no file"),
                Way::Whole(writer) => open.push(Box::new(OnVerdict::new(writer, OutputFile::create(path)?))),
                Way::Events => streams.push(path),
            }
        }
        // These are seen from the start, so they come after those that may still refuse.
        for path in streams {
            open.push(Box::new(JsonLines::new(StreamFile::create(path)?)));
        }
        if progress == Progress::Shown {
            open.push(super::progress::progress());
        }
        open.reverse();
        Ok(Self { open, failed: None })
    }

    /// Adds a report that no format of the command line stands for.
    pub fn add(&mut self, report: impl Report + 'static) {
        self.open.insert(0, Box::new(report));
    }

    /// Feeds every report.
    pub fn event(&mut self, event: &Event) {
        let mut still_open = Vec::with_capacity(self.open.len());
        for mut report in self.open.drain(..) {
            match report.event(event) {
                Ok(()) => still_open.push(report),
                Err(why) => _ = self.failed.get_or_insert(why),
            }
        }
        self.open = still_open;
    }

    /// Finishes every report.
    pub fn finish(self) -> Result<(), OutputError> {
        let Self { open, mut failed } = self;
        for report in open {
            if let Err(why) = report.finish() {
                failed.get_or_insert(why);
            }
        }
        failed.map_or(Ok(()), Err)
    }
}
