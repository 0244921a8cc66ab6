//! The outcome of a request that the API server passes on to a kubelet.

use serde::{Deserialize, Serialize};

/// The outcome of a request that goes through a kubelet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Came {
    /// The requested data.
    #[serde(alias = "log")]
    Wanted,
    /// An error of the API server about the kubelet.
    Error {
        /// The status code.
        status: u16,
        /// The API server's message.
        message: String,
    },
    /// No answer within the deadline.
    Nothing {
        /// The deadline, in milliseconds.
        after_ms: u64,
    },
}
