//! The algorithm with which an issuer signed.

use std::{borrow::Cow, fmt};

use x509_parser::{
    asn1_rs::{FromDer, Oid},
    signature_algorithm::RsaSsaPssParams,
    x509::AlgorithmIdentifier,
};

/// A signature algorithm by the name that `openssl x509 -text` prints, else by its object
/// identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureAlgorithm {
    name: Cow<'static, str>,
    broken: bool,
}

impl SignatureAlgorithm {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the signature rests on SHA-1, MD5 or the older MD2, for which collisions are
    /// practical. Go and rustls refuse such signatures.
    ///
    /// Source: <https://go.dev/doc/go1.18#sha1>; RFC 9155.
    pub fn is_sha1_or_md5(&self) -> bool {
        self.broken
    }

    pub(super) fn read(identifier: &AlgorithmIdentifier<'_>) -> Self {
        const RSASSA_PSS: &str = "1.2.840.113549.1.1.10";
        let oid = identifier.algorithm.to_id_string();
        if oid == RSASSA_PSS {
            return Self::pss(identifier);
        }
        Self::named(oid)
    }

    /// Reads the object identifier with which an encoded `AlgorithmIdentifier` begins.
    pub(super) fn read_identifier(der: &[u8]) -> Self {
        match Oid::from_der(der) {
            Ok((_, oid)) => Self::named(oid.to_id_string()),
            Err(_) => Self::sound("an unreadable algorithm"),
        }
    }

    /// RSASSA-PSS names its hash in the parameters, and SHA-1 by leaving them out (RFC 4055, 3.1).
    fn pss(identifier: &AlgorithmIdentifier<'_>) -> Self {
        let hash = match &identifier.parameters {
            None => None,
            Some(parameters) => match RsaSsaPssParams::try_from(parameters) {
                Ok(parameters) => parameters.hash_algorithm().map(|hash| hash.algorithm.to_id_string()),
                Err(_) => return Self::sound("rsassaPss with unreadable parameters"),
            },
        };
        match hash.as_deref() {
            None | Some("1.3.14.3.2.26") => Self::broken("rsassaPss with SHA1"),
            Some("2.16.840.1.101.3.4.2.1") => Self::sound("rsassaPss with SHA256"),
            Some("2.16.840.1.101.3.4.2.2") => Self::sound("rsassaPss with SHA384"),
            Some("2.16.840.1.101.3.4.2.3") => Self::sound("rsassaPss with SHA512"),
            Some(other) => Self { name: format!("rsassaPss with {other}").into(), broken: false },
        }
    }

    fn named(oid: String) -> Self {
        match oid.as_str() {
            "1.2.840.113549.1.1.2" => Self::broken("md2WithRSAEncryption"),
            "1.2.840.113549.1.1.4" => Self::broken("md5WithRSAEncryption"),
            "1.2.840.113549.1.1.5" | "1.3.14.3.2.29" => Self::broken("sha1WithRSAEncryption"),
            "1.2.840.113549.1.1.10" => Self::sound("rsassaPss"),
            "1.2.840.113549.1.1.11" => Self::sound("sha256WithRSAEncryption"),
            "1.2.840.113549.1.1.12" => Self::sound("sha384WithRSAEncryption"),
            "1.2.840.113549.1.1.13" => Self::sound("sha512WithRSAEncryption"),
            "1.2.840.10040.4.3" => Self::broken("dsa_with_SHA1"),
            "2.16.840.1.101.3.4.3.2" => Self::sound("dsa_with_SHA256"),
            "1.2.840.10045.4.1" => Self::broken("ecdsa-with-SHA1"),
            "1.2.840.10045.4.3.2" => Self::sound("ecdsa-with-SHA256"),
            "1.2.840.10045.4.3.3" => Self::sound("ecdsa-with-SHA384"),
            "1.2.840.10045.4.3.4" => Self::sound("ecdsa-with-SHA512"),
            "1.3.101.112" => Self::sound("ED25519"),
            "1.3.101.113" => Self::sound("ED448"),
            "2.16.840.1.101.3.4.3.17" => Self::sound("ML-DSA-44"),
            "2.16.840.1.101.3.4.3.18" => Self::sound("ML-DSA-65"),
            "2.16.840.1.101.3.4.3.19" => Self::sound("ML-DSA-87"),
            _ => Self { name: oid.into(), broken: false },
        }
    }

    const fn sound(name: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), broken: false }
    }

    const fn broken(name: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), broken: true }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
