//! What a server presented.

use serde::{Deserialize, Serialize};

use super::Authority;
use crate::certificate::{Certificate, Chain, Distrust};

/// What a server presented in one handshake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handshake {
    /// Where it was dialled.
    pub address: Authority,
    /// The requested name, which the verdict is about.
    pub server_name: Option<String>,
    /// The version that the server chose.
    pub version: TlsVersion,
    /// The certificates that the server presented.
    pub chain: Chain,
    /// Whether the server asked for a client certificate.
    pub client_certificate_requested: bool,
    /// Whether a client that trusts the given roots would trust the chain for the name, at the time
    /// of the handshake.
    pub verdict: Result<(), Distrust>,
    /// Why the handshake did not succeed after the chain had been presented, such as the refusal of
    /// a client without a certificate; nothing if it succeeded.
    pub failure: Option<String>,
}

impl Handshake {
    /// The server's own certificate.
    pub fn leaf(&self) -> &Certificate {
        self.chain.leaf()
    }
}

/// A version of TLS that the recorder speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[serde(rename = "TLS 1.2")]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "TLS 1.3")]
    Tls13,
}
