//! Text for people: what is wrong first, each thing once, with what to do about it.

pub(crate) mod bounded;
mod brief;
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

use self::bounded::{Block, bounded};
use self::page::Page;
use super::{Console, Gathered, OutputError, Report, Wanted};
use crate::check::{Judged, Outcome};
use crate::event::{CleanedUp, Event};

/// Text for people.
pub struct Text {
    console: Console,
    verbose: bool,
    files: Vec<(String, PathBuf)>,
    run: Gathered,
    cleaned_up: Vec<CleanedUp>,
    written: bool,
}

impl Text {
    /// The text goes to the console.
    pub fn new(console: Console, wanted: &Wanted) -> Self {
        let files = wanted.files().map(|file| (file.format.name(), file.path.to_owned())).collect();
        let (run, cleaned_up) = (Gathered::default(), Vec::new());
        Self { console, verbose: wanted.verbose, files, run, cleaned_up, written: false }
    }

    /// Writes the verdict, once.
    fn write_verdict(&mut self) -> Result<(), OutputError> {
        if std::mem::replace(&mut self.written, true) {
            return Ok(());
        }
        let body = self.body();
        self.console.write(&body)
    }

    fn body(&self) -> String {
        let (run, all) = (&self.run, self.verbose);
        let width = self.console.width();
        let block = |check: &Judged, write: &dyn Fn(&mut Page)| {
            let mut page = Page::new(width, all);
            write(&mut page);
            page.blank();
            Block { ids: vec![check.id.clone()], text: page.finish() }
        };
        let mut blocks: Vec<Block> = Vec::new();
        for check in run.failing() {
            blocks.push(block(check, &|page| {
                findings::write(page, check, all);
                consequences::write(page, run, check, all);
            }));
        }
        blocks.extend(not_checked::blocks(run, width, all));
        let below_gate = run.checks().into_iter().map(|timed| &timed.check);
        let below_gate =
            below_gate.filter(|check| matches!(check.outcome, Outcome::Warn | Outcome::Error | Outcome::Blocked));
        // What follows from another check is listed there.
        let below_gate = below_gate
            .filter(|check| check.findings.iter().any(|finding| finding.cause.is_none() && finding.waived.is_none()));
        let (in_brief, in_full): (Vec<_>, Vec<_>) = below_gate.partition(|check| !all && brief::is_enough(run, check));
        for check in in_full {
            blocks.push(block(check, &|page| {
                findings::write(page, check, all);
                // What could not be checked for the same reason is listed with that reason.
                if check.outcome == Outcome::Warn {
                    consequences::write(page, run, check, all);
                }
            }));
        }
        blocks.extend(brief::block(&in_brief, width));
        let mut end = Page::new(width, all);
        if all {
            verbose::write(&mut end, run);
        }
        summary::write(&mut end, run, &self.files, all);
        bounded(blocks, &end.finish(), all)
    }
}

impl Report for Text {
    fn event(&mut self, event: &Event) -> Result<(), OutputError> {
        self.run.event(event);
        match event {
            // At once, so that it is seen which cluster is being asked.
            Event::RunStarted(started) => {
                let mut page = Page::new(self.console.width(), self.verbose);
                header::write(&mut page, started);
                self.console.write(&page.finish())
            }
            Event::CleanedUp(cleaned_up) => {
                self.cleaned_up.push(cleaned_up.clone());
                Ok(())
            }
            event if event.is_verdict() => self.write_verdict(),
            _ => Ok(()),
        }
    }

    fn finish(mut self: Box<Self>) -> Result<(), OutputError> {
        self.write_verdict()?;
        let mut page = Page::new(self.console.width(), self.verbose);
        clean_up::write(&mut page, &self.cleaned_up);
        self.console.write(&page.finish())
    }
}
