//! Whether a server still speaks a version of TLS that is out of date.

use serde::{Deserialize, Serialize};

/// What a server answers to a client that speaks TLS 1.1 at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outdated {
    /// It continues with this version.
    Accepted {
        /// `TLS 1.1`, `TLS 1.0` or `SSL 3.0`.
        version: String,
    },
    /// It ends the handshake.
    Refused {
        /// The alert, by its name in RFC 8446; nothing if it only closes the connection.
        alert: Option<String>,
    },
}
