//! Text for people: what is wrong first, each thing once, with what to do about it.

mod clean_up;
mod consequences;
pub mod findings;
pub mod header;
mod not_checked;
pub mod page;
pub mod style;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod verbose;
pub mod wrap;

use std::path::PathBuf;

use self::page::Page;
use super::{Console, Gathered, OutputError, Report, Wanted};
use crate::check::Outcome;
use crate::event::Event;

/// Text for people.
pub struct Text {
    console: Console,
    verbose: bool,
    files: Vec<(&'static str, PathBuf)>,
    run: Gathered,
    written: bool,
}

impl Text {
    /// The text goes to the console.
    pub fn new(console: Console, wanted: &Wanted) -> Self {
        let files = wanted.files().map(|(name, path)| (name, path.to_owned())).collect();
        Self { console, verbose: wanted.verbose, files, run: Gathered::default(), written: false }
    }

    /// Writes the verdict, once.
    fn write_verdict(&mut self) -> Result<(), OutputError> {
        // The standard error shows why a run did not begin.
        if self.run.failed.is_some() {
            return Ok(());
        }
        if std::mem::replace(&mut self.written, true) {
            return Ok(());
        }
        let body = self.body();
        self.console.write(&body)
    }

    fn body(&self) -> String {
        let mut page = Page::new(self.console.width());
        let run = &self.run;
        for check in run.failing() {
            findings::write(&mut page, check, self.verbose);
            consequences::write(&mut page, run, check, self.verbose);
        }
        not_checked::write(&mut page, run, self.verbose);
        for check in run.checks().into_iter().map(|timed| &timed.check) {
            if matches!(check.outcome, Outcome::Warn | Outcome::Error) && !check.findings.is_empty() {
                findings::write(&mut page, check, self.verbose);
                consequences::write(&mut page, run, check, self.verbose);
            }
        }
        if self.verbose {
            verbose::write(&mut page, run);
        }
        summary::write(&mut page, run, &self.files, self.verbose);
        page.finish()
    }
}

impl Report for Text {
    fn event(&mut self, event: &Event) -> Result<(), OutputError> {
        self.run.event(event);
        match event {
            // At once, so that it is seen which cluster is being asked.
            Event::RunStarted(started) => {
                let mut page = Page::new(self.console.width());
                header::write(&mut page, started);
                self.console.write(&page.finish())
            }
            Event::CleanedUp { namespace, left } => {
                let mut page = Page::new(self.console.width());
                clean_up::write(&mut page, namespace.as_deref(), left.as_deref());
                self.console.write(&page.finish())
            }
            event if event.is_verdict() => self.write_verdict(),
            _ => Ok(()),
        }
    }

    fn finish(mut self: Box<Self>) -> Result<(), OutputError> {
        self.write_verdict()
    }
}
