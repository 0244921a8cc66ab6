//! The standard output: its width, its colours, and what happens when its reader is gone.

use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};

use super::{Colour, OutputError};

/// How wide text is when the standard output is not a terminal.
const WIDTH: usize = 100;
/// Narrower than this, text is left to the terminal to break.
const NARROWEST: usize = 40;

/// The standard output.
pub struct Console {
    stream: AutoStream<Box<dyn Write + Send>>,
    width: usize,
    terminal: bool,
    closed: bool,
}

impl Console {
    /// The process's standard output.
    pub fn stdout(colour: Colour) -> Self {
        let stdout = io::stdout();
        let choice = match colour {
            Colour::Auto => AutoStream::choice(&stdout),
            Colour::Always => ColorChoice::AlwaysAnsi,
            Colour::Never => ColorChoice::Never,
        };
        let width = terminal_size::terminal_size_of(&stdout).map_or(WIDTH, |(width, _)| usize::from(width.0));
        Self { terminal: stdout.is_terminal(), ..Self::new(Box::new(stdout), choice, width) }
    }

    /// Any other stream.
    pub fn new(to: Box<dyn Write + Send>, choice: ColorChoice, width: usize) -> Self {
        Self { stream: AutoStream::new(to, choice), width: width.max(NARROWEST), terminal: false, closed: false }
    }

    /// How many columns there are.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many columns a terminal has.
    pub fn terminal_width(&self) -> Option<usize> {
        self.terminal.then_some(self.width)
    }

    /// Writes a text, with colours only where they are wanted. A reader that stops early, such as `head`, is not an error.
    pub fn write(&mut self, text: &str) -> Result<(), OutputError> {
        if self.closed {
            return Ok(());
        }
        match self.stream.write_all(text.as_bytes()).and_then(|()| self.stream.flush()) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            done => done.map_err(OutputError::Stream),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_not_an_error_and_a_full_disk_is() {
        let mut closed = Console::new(Box::new(Failing(io::ErrorKind::BrokenPipe)), ColorChoice::Never, 80);
        assert!(closed.write("a").is_ok() && closed.write("b").is_ok());
        let mut full = Console::new(Box::new(Failing(io::ErrorKind::StorageFull)), ColorChoice::Never, 80);
        assert!(full.write("a").is_err());
    }
}
