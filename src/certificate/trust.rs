//! Whether a TLS client would trust a chain.

use std::time::Duration;

use jiff::Timestamp;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use serde::{Deserialize, Serialize};
use webpki::{EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};

use super::{Certificate, Description, SignatureAlgorithm};

/// The verdict that a TLS client comes to about a server: whether `chain` (the server's certificate
/// first) leads to one of `roots`, may be used by a server, was valid `at` that time, and covers
/// `name` where one is given.
///
/// The path is judged by webpki with the algorithms that rustls uses with AWS-LC, which include
/// P-521 and SHA-512; the name by [`Description::covers`](super::Description::covers). Revocation
/// is not looked at: clients of Kubernetes do not either.
///
/// # Where this differs from clients written in Go
///
/// - A CA certificate that is used as the server's own is [`Distrust::CaAsServer`]. Go accepts it.
/// - A CA with an RSA key below 2048 bits is [`Distrust::BadSignature`]: its signatures are not
///   looked at. Go accepts 1024 bits. The key of the server itself is not part of the path: rustls
///   refuses a short one in the handshake, Go takes it.
/// - A root outside its validity is refused, as Go does and webpki alone would not.
/// - A root that is not readable is passed over, as Go does when it loads a bundle.
///
/// Source: RFC 5280, section 6; <https://docs.rs/rustls-webpki>;
/// <https://go.dev/src/crypto/x509/verify.go>.
///
/// # Errors
/// The first reason for which a client refuses; a problem of the path comes before one of the name.
pub(crate) fn verify(
    chain: &[Certificate],
    roots: &[Certificate],
    name: Option<&str>,
    at: Timestamp,
) -> Result<(), Distrust> {
    let [leaf, intermediates @ ..] = chain else {
        return Err(Distrust::Malformed { reason: "there is no certificate".to_owned() });
    };
    let description = leaf.describe().map_err(|malformed| Distrust::Malformed { reason: malformed.reason })?;

    Path { leaf, intermediates, at, usage: KeyUsage::server_auth() }.verify(roots)?;

    match name {
        Some(name) if !description.covers(name) => {
            Err(Distrust::NameMismatch { name: name.to_owned(), presented: description.names() })
        }
        _ => Ok(()),
    }
}

/// The verdict that a server comes to about a client: as [`verify`], for a certificate that may be used by a client and
/// whose names do not matter.
///
/// # Errors
/// The first reason for which a server refuses.
pub(crate) fn verify_client(chain: &[Certificate], roots: &[Certificate], at: Timestamp) -> Result<(), Distrust> {
    let [leaf, intermediates @ ..] = chain else {
        return Err(Distrust::Malformed { reason: "there is no certificate".to_owned() });
    };
    leaf.describe().map_err(|malformed| Distrust::Malformed { reason: malformed.reason })?;
    Path { leaf, intermediates, at, usage: KeyUsage::client_auth() }.verify(roots).map_err(|distrust| match distrust {
        Distrust::NotForServerAuth => {
            Distrust::Other { text: "it is not meant for clients: its extended key usage lacks clientAuth".to_owned() }
        }
        other => other,
    })
}

/// Why a client does not trust a server. Displayed as what is wrong with the certificate: `it
/// expired on …`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Distrust {
    /// The certificate, one between it and the root, or the root is no longer valid.
    #[error("it, or one above it, expired at {not_after}")]
    Expired {
        /// The last moment of validity.
        not_after: Timestamp,
    },
    /// The certificate, one between it and the root, or the root is not valid yet.
    #[error("it, or one above it, is not valid before {not_before}")]
    NotYetValid {
        /// The first moment of validity.
        not_before: Timestamp,
    },
    /// No trusted certificate bears the name of the last issuer that the chain leads to.
    #[error("it leads to an issuer that is not trusted: {issuer}")]
    UnknownIssuer {
        /// That issuer.
        issuer: String,
    },
    /// The certificate is for other names.
    #[error("{name} is not among its names ({})", list(.presented))]
    NameMismatch {
        /// The name that was dialled.
        name: String,
        /// The names that the certificate covers.
        presented: Vec<String>,
    },
    /// A trusted certificate bears the issuer's name, but has not signed: often a CA that was
    /// created again under the old name.
    #[error("its signature was not made by the trusted issuer of that name")]
    BadSignature,
    /// A signature rests on an algorithm that clients refuse, such as SHA-1.
    #[error("it, or one above it, is signed with {algorithm}, which clients refuse")]
    RefusedSignature {
        /// The algorithm.
        algorithm: String,
    },
    /// The extended key usage names purposes, and none of them is being a server.
    #[error("it is not meant for servers: its extended key usage lacks serverAuth")]
    NotForServerAuth,
    /// A CA certificate presented as the server's own. rustls and others refuse it, Go accepts it.
    #[error("it is the certificate of a CA, which many clients refuse as a server's own")]
    CaAsServer,
    /// Not a certificate.
    #[error("it is malformed: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
    /// Another reason.
    #[error("{text}")]
    Other {
        /// The reason in words.
        text: String,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "it has none".to_owned() } else { names.join(", ") }
}

/// A chain to be led to a root.
struct Path<'a> {
    leaf: &'a Certificate,
    intermediates: &'a [Certificate],
    at: Timestamp,
    usage: KeyUsage,
}

impl Path<'_> {
    fn verify(&self, roots: &[Certificate]) -> Result<(), Distrust> {
        let (valid, outdated): (Vec<Root>, Vec<Root>) =
            roots.iter().filter_map(Root::read).partition(|root| root.description.is_valid_at(self.at));

        let Err(error) = self.leads_to(&valid) else {
            return Ok(());
        };
        // An outdated root is not trusted; but if the chain leads to it, its age is the reason and
        // not its absence.
        if matches!(error, Error::UnknownIssuer | Error::InvalidSignatureForPublicKey)
            && let Some(root) = outdated.into_iter().find(|root| self.leads_to(std::slice::from_ref(root)).is_ok())
        {
            return Err(root.outdated(self.at));
        }
        // A client that does not know a self-signed certificate refuses it for that, whether it is
        // a CA or not.
        if matches!(error, Error::CaUsedAsEndEntity) && self.is_self_issued() && !roots.contains(self.leaf) {
            return Err(self.unknown_issuer());
        }
        Err(self.distrust(error))
    }

    fn leads_to(&self, roots: &[Root]) -> Result<(), Error> {
        let leaf = CertificateDer::from(self.leaf.der());
        let intermediates: Vec<_> = self.intermediates.iter().map(|one| CertificateDer::from(one.der())).collect();
        let anchors: Vec<_> = roots.iter().map(|root| root.anchor.clone()).collect();
        EndEntityCert::try_from(&leaf)?
            .verify_for_usage(
                aws_lc_rs::default_provider().signature_verification_algorithms.all,
                &anchors,
                &intermediates,
                unix_time(self.at),
                self.usage,
                None,
                None,
            )
            .map(drop)
    }

    fn distrust(&self, error: Error) -> Distrust {
        match error {
            Error::CertExpired { not_after, .. } => Distrust::Expired { not_after: timestamp(not_after) },
            Error::CertNotValidYet { not_before, .. } => Distrust::NotYetValid { not_before: timestamp(not_before) },
            Error::UnknownIssuer => self.unknown_issuer(),
            Error::UnsupportedSignatureAlgorithmContext(context) => {
                Distrust::refused_signature(&context.signature_algorithm_id)
            }
            // The second: the algorithm is a good one, the issuer's key of another kind. Another CA of the same name has signed.
            Error::InvalidSignatureForPublicKey | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
                Distrust::BadSignature
            }
            Error::RequiredEkuNotFoundContext(_) => Distrust::NotForServerAuth,
            Error::CaUsedAsEndEntity => Distrust::CaAsServer,
            Error::BadDer | Error::BadDerTime | Error::TrailingData(_) | Error::InvalidCertValidity => {
                Distrust::Malformed { reason: format!("{error:?}") }
            }
            Error::NameConstraintViolation => {
                Distrust::Other { text: "its names are outside those that its issuer may certify".to_owned() }
            }
            Error::PathLenConstraintViolated => {
                Distrust::Other { text: "an issuer may not certify another issuer (path length)".to_owned() }
            }
            Error::EndEntityUsedAsCa => Distrust::Other { text: "its issuer is not a CA".to_owned() },
            other => Distrust::Other { text: format!("it is refused ({other:?})") },
        }
    }

    /// Names the issuer that is missing: the one where the presented chain ends.
    fn unknown_issuer(&self) -> Distrust {
        let descriptions: Vec<_> = self.intermediates.iter().filter_map(|one| one.describe().ok()).collect();
        let mut issuer = self.leaf.describe().map(|leaf| leaf.issuer).unwrap_or_default();
        // As many steps as there are certificates, so that two that name each other do not hold us.
        for _ in &descriptions {
            let Some(above) = descriptions.iter().find(|above| above.subject == issuer) else {
                break;
            };
            issuer.clone_from(&above.issuer);
        }
        Distrust::UnknownIssuer { issuer }
    }

    fn is_self_issued(&self) -> bool {
        self.leaf.describe().is_ok_and(|leaf| leaf.self_issued)
    }
}

impl Distrust {
    fn refused_signature(identifier: &[u8]) -> Self {
        let algorithm = SignatureAlgorithm::read_identifier(identifier).name().to_owned();
        Self::RefusedSignature { algorithm }
    }
}

/// A trusted certificate. webpki looks at its name and key only, so its validity is kept beside
/// them.
struct Root {
    anchor: TrustAnchor<'static>,
    description: Description,
}

impl Root {
    /// Nothing if it is not readable.
    fn read(certificate: &Certificate) -> Option<Self> {
        let der = CertificateDer::from(certificate.der());
        Some(Self {
            anchor: anchor_from_trusted_cert(&der).ok()?.to_owned(),
            description: certificate.describe().ok()?,
        })
    }

    /// What is wrong with a root that is not valid at that time.
    fn outdated(self, at: Timestamp) -> Distrust {
        let Description { not_before, not_after, .. } = self.description;
        if at < not_before { Distrust::NotYetValid { not_before } } else { Distrust::Expired { not_after } }
    }
}

/// Times before 1970 are taken to be its beginning: webpki counts from there.
fn unix_time(at: Timestamp) -> UnixTime {
    let seconds = u64::try_from(at.as_second()).unwrap_or(0);
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

fn timestamp(time: UnixTime) -> Timestamp {
    i64::try_from(time.as_secs()).ok().and_then(|second| Timestamp::from_second(second).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
