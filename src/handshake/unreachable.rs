//! Why no certificate was seen.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why a server did not present a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Unreachable {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_recorded_with_its_data() {
        let unreachable = Unreachable::TimedOut { after: Duration::from_millis(1500) };
        let json = serde_json::to_string(&unreachable).unwrap();
        assert_eq!(json, r#"{"kind":"timed-out","after":"1s 500ms"}"#);
        assert_eq!(serde_json::from_str::<Unreachable>(&json).unwrap(), unreachable);
        assert_eq!(unreachable.to_string(), "no answer within 1.5s");
    }
}
