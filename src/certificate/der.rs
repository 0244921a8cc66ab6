//! A certificate as it was presented.

use std::fmt;

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A certificate in DER, exactly as it was presented.
///
/// The bytes are not checked: what a server sends is worth recording even if it is not a certificate.
/// [`describe`](Certificate::describe) says whether it is one. Serialised as base64 on one line, as
/// `openssl x509` reads between its BEGIN and END lines.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Certificate(Vec<u8>);

impl Certificate {
    /// Takes the bytes as they are.
    pub fn from_der(der: impl Into<Vec<u8>>) -> Self {
        Self(der.into())
    }

    /// The bytes.
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// The SHA-256 of the whole certificate, as `sha256:<hex>`.
    pub fn fingerprint(&self) -> String {
        sha256(&self.0)
    }
}

/// Names the certificate by its fingerprint: a page of bytes helps no one.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.fingerprint())
    }
}

impl Serialize for Certificate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Certificate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // The error of the decoder is left out because it quotes its input.
        STANDARD.decode(text).map(Self).map_err(|_| de::Error::custom("a certificate must be base64 of its DER"))
    }
}

/// `sha256:<hex>`, the form in which kubeadm prints the pin of a CA.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(digest::digest(&digest::SHA256, bytes).as_ref()))
}

/// Lower-case hex without separators.
pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_recorded_as_one_line_of_base64() {
        let certificate = Certificate::from_der([0x30, 0x03, 0x02, 0x01, 0xff]);
        let json = serde_json::to_string(&certificate).unwrap();
        assert_eq!(json, r#""MAMCAf8=""#);
        assert_eq!(serde_json::from_str::<Certificate>(&json).unwrap(), certificate);
    }

    #[test]
    fn an_unreadable_recording_is_not_quoted() {
        let error = serde_json::from_str::<Certificate>(r#""not base64!""#).unwrap_err();
        assert!(!error.to_string().contains("not base64"), "{error}");
    }

    #[test]
    fn debug_names_the_fingerprint() {
        assert_eq!(
            format!("{:?}", Certificate::from_der([])),
            "Certificate(sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855)"
        );
    }
}
