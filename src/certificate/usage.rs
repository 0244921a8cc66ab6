//! What a certificate's key may be used for.

use std::fmt;

use x509_parser::extensions;

/// A bit of the key usage extension (RFC 5280, 4.2.1.3), under its ASN.1 name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyUsage {
    DigitalSignature,
    NonRepudiation,
    KeyEncipherment,
    DataEncipherment,
    KeyAgreement,
    KeyCertSign,
    CrlSign,
    EncipherOnly,
    DecipherOnly,
}

impl KeyUsage {
    /// The bits in the order of the standard.
    const ALL: [Self; 9] = [
        Self::DigitalSignature,
        Self::NonRepudiation,
        Self::KeyEncipherment,
        Self::DataEncipherment,
        Self::KeyAgreement,
        Self::KeyCertSign,
        Self::CrlSign,
        Self::EncipherOnly,
        Self::DecipherOnly,
    ];

    /// The usages whose bit is set, the first being the lowest.
    pub(super) fn all_in(flags: u16) -> Vec<Self> {
        Self::ALL.into_iter().zip(0..).filter(|(_, bit)| flags & (1u16 << bit) != 0).map(|(usage, _)| usage).collect()
    }
}

impl fmt::Display for KeyUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DigitalSignature => "digitalSignature",
            Self::NonRepudiation => "nonRepudiation",
            Self::KeyEncipherment => "keyEncipherment",
            Self::DataEncipherment => "dataEncipherment",
            Self::KeyAgreement => "keyAgreement",
            Self::KeyCertSign => "keyCertSign",
            Self::CrlSign => "cRLSign",
            Self::EncipherOnly => "encipherOnly",
            Self::DecipherOnly => "decipherOnly",
        })
    }
}

/// A purpose of the extended key usage extension (RFC 5280, 4.2.1.12), under its ASN.1 name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExtendedKeyUsage {
    Any,
    ServerAuth,
    ClientAuth,
    CodeSigning,
    EmailProtection,
    TimeStamping,
    OcspSigning,
    /// Another purpose, by its object identifier.
    Other(String),
}

impl ExtendedKeyUsage {
    /// The purposes that the extension names.
    pub(super) fn all_in(extension: &extensions::ExtendedKeyUsage<'_>) -> Vec<Self> {
        let known = [
            (extension.any, Self::Any),
            (extension.server_auth, Self::ServerAuth),
            (extension.client_auth, Self::ClientAuth),
            (extension.code_signing, Self::CodeSigning),
            (extension.email_protection, Self::EmailProtection),
            (extension.time_stamping, Self::TimeStamping),
            (extension.ocsp_signing, Self::OcspSigning),
        ];
        let known = known.into_iter().filter(|(named, _)| *named).map(|(_, purpose)| purpose);
        let other = extension.other.iter().map(|oid| Self::Other(oid.to_id_string()));
        known.chain(other).collect()
    }
}

impl fmt::Display for ExtendedKeyUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "anyExtendedKeyUsage",
            Self::ServerAuth => "serverAuth",
            Self::ClientAuth => "clientAuth",
            Self::CodeSigning => "codeSigning",
            Self::EmailProtection => "emailProtection",
            Self::TimeStamping => "timeStamping",
            Self::OcspSigning => "OCSPSigning",
            Self::Other(oid) => oid,
        })
    }
}
