//! Text for people.

use std::io::{self, Write};

use super::{OutputError, Report};
use crate::event::Event;

/// Text for people.
pub struct Text;

impl Report for Text {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        writeln!(io::stdout(), "{event:?}")
    }

    fn finish(self: Box<Self>) -> Result<(), OutputError> {
        Ok(())
    }
}
