//! Reports that are written once, as a whole.

use super::{Gathered, OutputError, Report};
use crate::event::Event;

/// A report on a whole run.
pub trait Whole: Send {
    /// Writes it.
    fn write(self, run: &Gathered) -> Result<(), OutputError>;
}

/// A report that is written with the verdict, or at the end of a stream that has none.
pub struct OnVerdict<W> {
    /// Until it is written.
    report: Option<W>,
    run: Gathered,
}

impl<W: Whole> OnVerdict<W> {
    /// Writes this report when it is time.
    pub fn new(report: W) -> Self {
        Self { report: Some(report), run: Gathered::default() }
    }

    fn write(&mut self) -> Result<(), OutputError> {
        self.report.take().map_or(Ok(()), |report| report.write(&self.run))
    }
}

impl<W: Whole> Report for OnVerdict<W> {
    fn event(&mut self, event: &Event) -> Result<(), OutputError> {
        self.run.event(event);
        if event.is_verdict() { self.write() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<(), OutputError> {
        self.write()
    }
}
