//! The event stream as JSON lines.

use super::{Console, OutputError, OutputFile, Report, StreamFile};
use crate::event::Event;

/// Where lines go, one at a time.
pub trait Lines: Send {
    /// Writes one, with its end.
    fn write_line(&mut self, line: &str) -> Result<(), OutputError>;
}

impl Lines for Console {
    fn write_line(&mut self, line: &str) -> Result<(), OutputError> {
        self.write(line)
    }
}

impl Lines for StreamFile {
    fn write_line(&mut self, line: &str) -> Result<(), OutputError> {
        self.write(line.as_bytes())
    }
}

impl Lines for OutputFile {
    fn write_line(&mut self, line: &str) -> Result<(), OutputError> {
        self.write(|to| to.write_all(line.as_bytes()))
    }
}

/// The event stream as JSON lines, each there as soon as it happened.
pub struct JsonLines<L>(L);

impl<L> JsonLines<L> {
    /// The events go there.
    pub fn new(to: L) -> Self {
        Self(to)
    }

    /// Where the events have gone.
    pub fn into_inner(self) -> L {
        self.0
    }
}

impl<L: Lines> Report for JsonLines<L> {
    fn event(&mut self, event: &Event) -> Result<(), OutputError> {
        let mut line = serde_json::to_string(event).map_err(|why| OutputError::Stream(why.into()))?;
        line.push('\n');
        self.0.write_line(&line)
    }

    fn finish(self: Box<Self>) -> Result<(), OutputError> {
        Ok(())
    }
}
