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
    to: OutputFile,
    run: Gathered,
}

impl JUnit {
    /// The document goes there.
    pub fn new(to: OutputFile) -> Self {
        Self { to, run: Gathered::default() }
    }
}

impl Report for JUnit {
    fn event(&mut self, event: &Event) -> Result<(), OutputError> {
        self.run.event(event);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), OutputError> {
        let Self { mut to, run } = *self;
        to.write(|to| document::write(&run, to))?;
        to.publish()
    }
}
