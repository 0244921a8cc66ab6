//! What becomes of a connection that failed before a certificate was seen.

use std::io;

use super::connection::{Ending, alert_name};
use crate::handshake::Unreachable;

impl Unreachable {
    pub(super) fn not_resolved(name: &str, error: &io::Error) -> Self {
        Self::NameNotResolved { name: name.to_owned(), text: error.to_string() }
    }
}

impl From<io::Error> for Unreachable {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, UnexpectedEof};
        match error.kind() {
            ConnectionRefused => Self::Refused,
            ConnectionReset | ConnectionAborted | BrokenPipe => Self::Reset,
            UnexpectedEof => Self::Closed,
            _ => Self::Other { text: error.to_string() },
        }
    }
}

impl From<Ending> for Unreachable {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Stream(error) => error.into(),
            Ending::Closed => Self::Closed,
            Ending::TimedOut(after) => Self::TimedOut { after },
            Ending::NotTls(answer) => Self::NotTls { answer: first_line(&answer) },
            Ending::Alert(alert) => Self::Declined { alert: alert_name(alert) },
            ending @ Ending::Protocol(_) => Self::Other { text: ending.to_string() },
        }
    }
}

/// The printable beginning of an answer, for a message.
fn first_line(answer: &[u8]) -> String {
    const ENOUGH: usize = 60;
    let line = answer.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    line[..line.len().min(ENOUGH)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_cut_to_its_first_line() {
        assert_eq!(first_line(b"HTTP/1.1 400 Bad Request\r\nDate: now"), "HTTP/1.1 400 Bad Request");
        assert_eq!(first_line(b"\x1b[2J"), "\\x1b[2J");
        assert_eq!(first_line(&[b'a'; 1000]).len(), 60);
    }
}
