//! JUnit XML, as CI systems read it: a suite is a test suite, a check is a test case.

pub mod case;
pub mod document;
#[cfg(test)]
mod tests;
pub mod xml;

use super::{Gathered, OutputError, OutputFile, Report};
use crate::event::Event;

/// JUnit XML.
pub struct JUnit {
    /// Until it is written.
    to: Option<OutputFile>,
    run: Gathered,
}

impl JUnit {
    /// The document goes there.
    pub fn new(to: OutputFile) -> Self {
        Self { to: Some(to), run: Gathered::default() }
    }

    fn write(&mut self) -> Result<(), OutputError> {
        let Some(mut to) = self.to.take() else { return Ok(()) };
        to.write(|to| document::write(&self.run, to))?;
        to.publish()
    }
}

impl Report for JUnit {
    fn event(&mut self, event: &Event) -> Result<(), OutputError> {
        self.run.event(event);
        if event.is_verdict() { self.write() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<(), OutputError> {
        self.write()
    }
}
