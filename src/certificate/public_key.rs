//! The key that a certificate vouches for.

use std::fmt;

use x509_parser::{public_key, x509::SubjectPublicKeyInfo};

/// The kind and strength of a public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA.
    Rsa {
        /// The length of the modulus in bits.
        bits: usize,
    },
    /// ECDSA.
    Ecdsa {
        /// The curve by its NIST name such as `P-256`, else its object identifier.
        curve: String,
    },
    /// Ed25519 (RFC 8410).
    Ed25519,
    /// Another algorithm.
    Other {
        /// Its object identifier.
        algorithm: String,
    },
}

impl PublicKey {
    /// The shortest RSA key that is not weak, in bits, and the shortest whose signatures rustls verifies.
    pub const SHORTEST_RSA: usize = 2048;

    /// The bits by which strengths are compared within a kind: of the modulus or of the curve's
    /// field; nothing where the kind is not known.
    pub fn bits(&self) -> Option<usize> {
        match self {
            Self::Rsa { bits } => Some(*bits),
            Self::Ecdsa { curve } => curve.strip_prefix("P-").and_then(|bits| bits.parse().ok()),
            Self::Ed25519 => Some(256),
            Self::Other { .. } => None,
        }
    }

    pub(super) fn read(info: &SubjectPublicKeyInfo<'_>) -> Self {
        let algorithm = info.algorithm.algorithm.to_id_string();
        match algorithm.as_str() {
            "1.2.840.113549.1.1.1" => match info.parsed() {
                Ok(public_key::PublicKey::RSA(key)) => Self::Rsa { bits: bit_length(key.modulus) },
                _ => Self::Other { algorithm },
            },
            "1.2.840.10045.2.1" => Self::Ecdsa { curve: curve(info) },
            "1.3.101.112" => Self::Ed25519,
            _ => Self::Other { algorithm },
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits } => write!(f, "RSA {bits}"),
            Self::Ecdsa { curve } => write!(f, "ECDSA {curve}"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Other { algorithm } => f.write_str(algorithm),
        }
    }
}

/// The curve is a parameter of the algorithm (RFC 5480, 2.1.1); the length of the point would
/// confuse P-256 with its kin.
fn curve(info: &SubjectPublicKeyInfo<'_>) -> String {
    let Some(oid) = info.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok()) else {
        return "unnamed curve".to_owned();
    };
    match oid.to_id_string().as_str() {
        "1.3.132.0.33" => "P-224".to_owned(),
        "1.2.840.10045.3.1.7" => "P-256".to_owned(),
        "1.3.132.0.34" => "P-384".to_owned(),
        "1.3.132.0.35" => "P-521".to_owned(),
        other => other.to_owned(),
    }
}

/// The length of a big-endian number without its leading zeroes.
fn bit_length(number: &[u8]) -> usize {
    let zeroes = number.iter().take_while(|byte| **byte == 0).count();
    match number[zeroes..] {
        [] => 0,
        [first, ref rest @ ..] => 8 - first.leading_zeros() as usize + 8 * rest.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeroes_do_not_count() {
        assert_eq!(bit_length(&[]), 0);
        assert_eq!(bit_length(&[0, 0]), 0);
        assert_eq!(bit_length(&[0, 0x80, 0]), 16);
        assert_eq!(bit_length(&[0x01, 0xff]), 9);
    }

    #[test]
    fn strength_is_comparable_within_a_kind() {
        assert_eq!(PublicKey::Ecdsa { curve: "P-521".into() }.bits(), Some(521));
        assert_eq!(PublicKey::Ecdsa { curve: "1.3.132.0.10".into() }.bits(), None);
    }
}
