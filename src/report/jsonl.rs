//! The event stream as JSON lines.

use std::io::Write;

use super::{OutputError, Report, StreamFile};
use crate::event::Event;

/// The event stream as JSON lines, each there as soon as it happened.
pub struct JsonLines(StreamFile);

impl JsonLines {
    /// The events go there.
    pub fn new(to: StreamFile) -> Self {
        Self(to)
    }
}

impl Report for JsonLines {
    fn event(&mut self, event: &Event) -> Result<(), OutputError> {
        self.0.write(|to| {
            serde_json::to_writer(&mut *to, event)?;
            to.write_all(b"\n")
        })
    }

    fn finish(self: Box<Self>) -> Result<(), OutputError> {
        Ok(())
    }
}
