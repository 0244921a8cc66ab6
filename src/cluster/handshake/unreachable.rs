//! Why no certificate was seen.

use std::{io, time::Duration};

use serde::{Deserialize, Serialize};

use super::connection::{Ending, alert_name};

/// Why a server did not present a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Unreachable {
    /// Nothing listens there, or a firewall refuses the connection.
    #[error("the connection was refused")]
    Refused,
    /// No answer in time.
    #[error("no answer within {after:?}")]
    TimedOut {
        /// The time that was allowed.
        #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
        after: Duration,
    },
    /// The host name has no address.
    #[error("the name {name} does not resolve: {text}")]
    NameNotResolved {
        /// The name.
        name: String,
        /// The resolver's message.
        text: String,
    },
    /// The connection was reset.
    #[error("the connection was reset")]
    Reset,
    /// The server closed the connection before it presented a certificate.
    #[error("the server closed the connection without presenting a certificate")]
    Closed,
    /// The server answered in another protocol.
    #[error("the answer is not TLS: {answer}")]
    NotTls {
        /// The first line of the answer, shortened and escaped.
        answer: String,
    },
    /// The server speaks TLS and ended the handshake before it presented a certificate, for
    /// instance because it does not serve such a name or such a version of TLS.
    #[error("the server declined with the alert {alert}")]
    Declined {
        /// The alert, by its name in RFC 8446.
        alert: String,
    },
    /// Another reason.
    #[error("{text}")]
    Other {
        /// The reason in words.
        text: String,
    },
}

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

    #[test]
    fn is_recorded_with_its_data() {
        let unreachable = Unreachable::TimedOut { after: Duration::from_millis(1500) };
        let json = serde_json::to_string(&unreachable).unwrap();
        assert_eq!(json, r#"{"kind":"timed-out","after":"1s 500ms"}"#);
        assert_eq!(serde_json::from_str::<Unreachable>(&json).unwrap(), unreachable);
        assert_eq!(unreachable.to_string(), "no answer within 1.5s");
    }
}
