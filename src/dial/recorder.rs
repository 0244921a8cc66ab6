//! The part of the recorder that rustls calls during a handshake.

use std::sync::{Arc, OnceLock};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::certificate::{Certificate, Chain, PublicKey};

/// Takes part in a handshake as verifier and without a client certificate, accepts everything,
/// and remembers it.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    chain: OnceLock<Chain>,
    key_not_proven: OnceLock<()>,
    client_certificate_requested: OnceLock<()>,
}

impl Recorder {
    /// What the server presented.
    pub(super) fn chain(&self) -> Option<&Chain> {
        self.chain.get()
    }

    /// What makes a client refuse a handshake that was completed here: that the server signed it
    /// with another key than that of its certificate.
    ///
    /// An RSA key below 2048 bits is accepted: its signature cannot be verified here, and clients
    /// written in Go accept it.
    pub(super) fn doubt(&self) -> Option<String> {
        self.key_not_proven.get()?;
        Some("the server did not prove that it holds the key of its certificate".to_owned())
    }

    /// Whether the server asked for a client certificate.
    pub(super) fn client_certificate_requested(&self) -> bool {
        self.client_certificate_requested.get().is_some()
    }

    fn note_signature(&self, verified: &Result<HandshakeSignatureValid, Error>, certificate: &CertificateDer<'_>) {
        let wrong = matches!(verified, Err(Error::InvalidCertificate(CertificateError::BadSignature)));
        if wrong && !is_short_rsa(certificate) {
            self.key_not_proven.get_or_init(|| ());
        }
    }
}

fn is_short_rsa(certificate: &CertificateDer<'_>) -> bool {
    Certificate::from_der(certificate.as_ref())
        .describe()
        .is_ok_and(|leaf| matches!(leaf.public_key, PublicKey::Rsa { bits } if bits < PublicKey::SHORTEST_RSA))
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    aws_lc_rs::default_provider().signature_verification_algorithms
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificates = std::iter::once(leaf).chain(intermediates).map(|one| Certificate::from_der(one.as_ref()));
        if let Ok(chain) = Chain::try_from(certificates.collect::<Vec<_>>()) {
            self.chain.get_or_init(|| chain);
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.note_signature(&verify_tls12_signature(message, certificate, signature, &algorithms()), certificate);
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.note_signature(&verify_tls13_signature(message, certificate, signature, &algorithms()), certificate);
        Ok(HandshakeSignatureValid::assertion())
    }

    /// The secure algorithms first; then those with SHA-1, so that a server with nothing better
    /// still presents its certificate.
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = algorithms().supported_schemes();
        schemes.extend([SignatureScheme::ED448, SignatureScheme::RSA_PKCS1_SHA1, SignatureScheme::ECDSA_SHA1_Legacy]);
        schemes
    }
}

impl ResolvesClientCert for Recorder {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.client_certificate_requested.get_or_init(|| ());
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}
