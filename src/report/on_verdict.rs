//! Reports that are written once, as a whole.

use std::io::{self, Write};

use super::format::Writer;
use super::{Console, Gathered, OutputError, OutputFile, Report};
use crate::event::Event;

/// Where a whole report goes.
pub trait Destination: Send {
    /// Writes the report that this writes.
    fn write(self, report: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), OutputError>;
}

impl Destination for Console {
    fn write(mut self, report: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), OutputError> {
        let mut text = Vec::new();
        report(&mut text).map_err(OutputError::Stream)?;
        Self::write(&mut self, &String::from_utf8_lossy(&text))
    }
}

impl Destination for OutputFile {
    fn write(mut self, report: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), OutputError> {
        Self::write(&mut self, report)?;
        self.publish()
    }
}

/// A report that is written with the verdict, or at the end of a stream that has none.
pub struct OnVerdict<D> {
    writer: Writer,
    /// Until it is written.
    to: Option<D>,
    run: Gathered,
}

impl<D: Destination> OnVerdict<D> {
    /// Writes such a report there, when it is time.
    pub fn new(writer: Writer, to: D) -> Self {
        Self { writer, to: Some(to), run: Gathered::default() }
    }

    fn write(&mut self) -> Result<(), OutputError> {
        let Self { writer, to, run } = self;
        to.take().map_or(Ok(()), |to| to.write(|to| writer(run, to)))
    }
}

impl<D: Destination> Report for OnVerdict<D> {
    fn event(&mut self, event: &Event) -> Result<(), OutputError> {
        self.run.event(event);
        if event.is_verdict() { self.write() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<(), OutputError> {
        self.write()
    }
}
