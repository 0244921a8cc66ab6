//! What a certificate says, in plain values.

use std::net::IpAddr;

use jiff::Timestamp;
use x509_parser::{
    certificate::X509Certificate,
    error::X509Error,
    extensions::{GeneralName, ParsedExtension},
    nom,
    prelude::FromDer,
    time::ASN1Time,
};

use super::{
    Certificate, ExtendedKeyUsage, KeyUsage, PublicKey, SignatureAlgorithm,
    der::{hex, sha256},
    distinguished_name, hostname,
};

/// What a certificate says about itself. Nothing here is verified: see [`verify`](super::verify).
///
/// Source: RFC 5280, section 4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The subject as RFC 4514 writes it: `CN=system:node:n1,O=system:nodes`.
    pub subject: String,
    /// The subject's common name, which is the user name if this is a client certificate; the last
    /// one if there are more, as in Go.
    pub common_name: Option<String>,
    /// The subject's organizations, which are the groups if this is a client certificate.
    pub organizations: Vec<String>,
    /// The issuer as RFC 4514 writes it.
    pub issuer: String,
    /// The serial number in hex, as encoded.
    pub serial: String,
    /// The first moment at which the certificate is valid.
    pub not_before: Timestamp,
    /// The last moment at which the certificate is valid. The end of the year 9999, which says
    /// "never" (RFC 5280, 4.1.2.5), is [`Timestamp::MAX`].
    pub not_after: Timestamp,
    /// The DNS names among the subject alternative names.
    pub dns_names: Vec<String>,
    /// The IP addresses among the subject alternative names.
    pub ip_addresses: Vec<IpAddr>,
    /// The other subject alternative names, and those that are malformed, for messages only.
    pub other_names: Vec<String>,
    /// What the basic constraints say; nothing if there are none.
    pub is_ca: Option<bool>,
    /// The key usages; empty if there is no such extension, which permits every use.
    pub key_usages: Vec<KeyUsage>,
    /// The extended key usages; empty if there is no such extension, which permits every use.
    pub extended_key_usages: Vec<ExtendedKeyUsage>,
    /// The identifier of the key that signed, in hex.
    pub authority_key_id: Option<String>,
    /// The identifier of this key, in hex.
    pub subject_key_id: Option<String>,
    /// The public key.
    pub public_key: PublicKey,
    /// The algorithm with which the issuer signed.
    pub signature_algorithm: SignatureAlgorithm,
    /// The SHA-256 of the public key as `sha256:<hex>`: what `kubeadm join
    /// --discovery-token-ca-cert-hash` takes.
    pub spki_sha256: String,
    /// The SHA-256 of the certificate as `sha256:<hex>`.
    pub fingerprint: String,
    /// Whether subject and issuer are the same name, as in a root.
    pub self_issued: bool,
}

impl Description {
    /// Whether the subject alternative names cover what a client dials.
    ///
    /// An IP literal (also in brackets) is looked up among the IP addresses only. Anything else is
    /// compared with the DNS names regardless of case; `*` as a whole left-most label stands for
    /// one label. The common name is never looked at.
    ///
    /// Source: `VerifyHostname` in <https://pkg.go.dev/crypto/x509#Certificate.VerifyHostname>.
    pub fn covers(&self, name: &str) -> bool {
        let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        match literal.parse::<IpAddr>() {
            Ok(address) => {
                // To Go, ::ffff:10.96.0.1 and 10.96.0.1 are one address.
                self.ip_addresses.iter().any(|presented| presented.to_canonical() == address.to_canonical())
            }
            Err(_) => self.dns_names.iter().any(|presented| hostname::covers(presented, name)),
        }
    }

    /// Whether `at` lies within the validity; both ends belong to it.
    pub fn is_valid_at(&self, at: Timestamp) -> bool {
        (self.not_before..=self.not_after).contains(&at)
    }

    /// Every name that a client may dial: the DNS names, then the addresses.
    pub fn names(&self) -> Vec<String> {
        let addresses = self.ip_addresses.iter().map(ToString::to_string);
        self.dns_names.iter().cloned().chain(addresses).collect()
    }
}

/// The bytes are not the certificate that they are presented as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a certificate: {reason}")]
pub struct Malformed {
    /// What the parser stumbled over.
    pub reason: String,
}

impl Malformed {
    fn new(reason: &impl ToString) -> Self {
        Self { reason: reason.to_string() }
    }
}

impl Certificate {
    /// Reads what the certificate says.
    ///
    /// # Errors
    /// Bytes that are not one certificate in DER, and certificates that name an extension twice or
    /// hold an unreadable one of those that are described here; Go refuses all of them too.
    pub fn describe(&self) -> Result<Description, Malformed> {
        let certificate = self.parse()?;
        let names = AlternativeNames::read(&certificate)?;
        let extensions = Extensions::read(&certificate)?;
        let subject = certificate.subject();
        Ok(Description {
            subject: distinguished_name::render(subject),
            common_name: subject.iter_common_name().last().and_then(|name| name.as_str().ok()).map(str::to_owned),
            organizations: subject
                .iter_organization()
                .filter_map(|name| name.as_str().ok())
                .map(str::to_owned)
                .collect(),
            issuer: distinguished_name::render(certificate.issuer()),
            serial: hex(certificate.raw_serial()),
            not_before: timestamp(certificate.validity().not_before),
            not_after: timestamp(certificate.validity().not_after),
            dns_names: names.dns,
            ip_addresses: names.ip,
            other_names: names.other,
            is_ca: extensions.is_ca,
            key_usages: extensions.key_usages,
            extended_key_usages: extensions.extended_key_usages,
            authority_key_id: extensions.authority_key_id,
            subject_key_id: extensions.subject_key_id,
            public_key: PublicKey::read(certificate.public_key()),
            signature_algorithm: SignatureAlgorithm::read(&certificate.signature_algorithm),
            spki_sha256: sha256(certificate.public_key().raw),
            fingerprint: self.fingerprint(),
            self_issued: subject.as_raw() == certificate.issuer().as_raw(),
        })
    }

    /// Whether `issuer` bears the name of the issuer and its key has made the signature. Where the signature's algorithm
    /// is not known here, the key's identifier decides.
    pub fn is_signed_by(&self, issuer: &Self) -> bool {
        let (Ok(certificate), Ok(authority)) = (self.parse(), issuer.parse()) else { return false };
        if certificate.issuer().as_raw() != authority.subject().as_raw() {
            return false;
        }
        match certificate.verify_signature(Some(authority.public_key())) {
            Err(X509Error::SignatureUnsupportedAlgorithm) => match (self.describe(), issuer.describe()) {
                (Ok(certificate), Ok(authority)) => {
                    certificate.authority_key_id.is_some() && certificate.authority_key_id == authority.subject_key_id
                }
                _ => false,
            },
            verified => verified.is_ok(),
        }
    }

    fn parse(&self) -> Result<X509Certificate<'_>, Malformed> {
        match X509Certificate::from_der(self.der()) {
            Ok(([], certificate)) => {
                certificate.extensions_map().map_err(|error| Malformed::new(&error))?;
                Ok(certificate)
            }
            Ok((rest, _)) => Err(Malformed::new(&format!("{} bytes follow the certificate", rest.len()))),
            Err(error) => Err(error.into()),
        }
    }
}

impl From<nom::Err<X509Error>> for Malformed {
    fn from(error: nom::Err<X509Error>) -> Self {
        match error {
            nom::Err::Incomplete(_) => Self::new(&"it ends too early"),
            nom::Err::Error(error) | nom::Err::Failure(error) => Self::new(&error),
        }
    }
}

/// Dates beyond what a timestamp holds are taken to its ends: the "never" of RFC 5280 is a day
/// beyond it.
fn timestamp(time: ASN1Time) -> Timestamp {
    let second = time.timestamp();
    Timestamp::from_second(second).unwrap_or(if second < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// The subject alternative names, sorted by kind.
#[derive(Default)]
struct AlternativeNames {
    dns: Vec<String>,
    ip: Vec<IpAddr>,
    other: Vec<String>,
}

impl AlternativeNames {
    fn read(certificate: &X509Certificate<'_>) -> Result<Self, Malformed> {
        let mut names = Self::default();
        let extension = certificate.subject_alternative_name().map_err(|error| Malformed::new(&error))?;
        for name in extension.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::DNSName(name) => names.dns.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => match address(bytes) {
                    Some(address) => names.ip.push(address),
                    None => names.other.push(format!("an IP address of {} bytes", bytes.len())),
                },
                other => names.other.push(other.to_string().escape_debug().to_string()),
            }
        }
        Ok(names)
    }
}

/// Four or sixteen bytes; certificates have been seen with a network mask behind the address, or
/// with its text.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// The extensions that describe a certificate, apart from its names.
#[derive(Default)]
struct Extensions {
    is_ca: Option<bool>,
    key_usages: Vec<KeyUsage>,
    extended_key_usages: Vec<ExtendedKeyUsage>,
    authority_key_id: Option<String>,
    subject_key_id: Option<String>,
}

impl Extensions {
    fn read(certificate: &X509Certificate<'_>) -> Result<Self, Malformed> {
        let mut extensions = Self::default();
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(constraints) => {
                    extensions.is_ca = Some(constraints.ca);
                }
                ParsedExtension::KeyUsage(usage) => {
                    extensions.key_usages = KeyUsage::all_in(usage.flags);
                }
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    extensions.extended_key_usages = ExtendedKeyUsage::all_in(usage);
                }
                ParsedExtension::SubjectKeyIdentifier(id) => {
                    extensions.subject_key_id = Some(hex(id.0));
                }
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    extensions.authority_key_id = id.key_identifier.as_ref().map(|id| hex(id.0));
                }
                ParsedExtension::ParseError { .. } => {
                    return Err(Malformed::new(&format!("extension {} is not readable", extension.oid)));
                }
                _ => {}
            }
        }
        Ok(extensions)
    }
}

#[cfg(test)]
mod tests;
