//! How a question fails, as a client in a pod sees it.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

/// An answer, or how the question failed.
pub type Got<T> = Result<T, Fault>;

/// How a question failed, as a client in the pod sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The connection was refused.
    Refused,
    /// No answer within the deadline of the question.
    TimedOut,
    /// The connection broke.
    Reset,
    /// The network has no route to the address.
    NoRoute,
    /// The name does not resolve, for this reason.
    Unresolved(String),
    /// Another program answered.
    Stranger(String),
    /// The server does not speak TLS: it answered with this line.
    NotTls(String),
    /// Anything else.
    Other(String),
    /// The question was not asked, or not given its full time, because the probe had to answer by its deadline. This is
    /// not something that was seen: no judge may take it for a failure, or for a port that is closed.
    Unanswered,
}

impl Fault {
    /// Whether the server answered in another protocol than TLS.
    pub fn is_not_tls(&self) -> bool {
        matches!(self, Self::NotTls(_))
    }

    /// Whether packets seem to be dropped: nothing came back, not even a refusal.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::TimedOut | Self::Unanswered)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::TimedOut => f.write_str("no answer"),
            Self::Reset => f.write_str("connection reset"),
            Self::NoRoute => f.write_str("no route"),
            Self::Unresolved(why) => write!(f, "the name does not resolve: {why}"),
            Self::Stranger(who) => write!(f, "another program answered: {who}"),
            Self::NotTls(line) => write!(f, "another program answered: the answer is not TLS: {line}"),
            Self::Other(what) => f.write_str(what),
            Self::Unanswered => f.write_str("the probe had no time left to ask"),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::ConnectionRefused => Self::Refused,
            Kind::TimedOut => Self::TimedOut,
            Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::UnexpectedEof => Self::Reset,
            Kind::HostUnreachable | Kind::NetworkUnreachable => Self::NoRoute,
            _ => Self::Other(error.to_string()),
        }
    }
}
