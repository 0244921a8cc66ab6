//! A client certificate and its key, as Go's `tls.X509KeyPair` takes them.

use base64::prelude::{BASE64_STANDARD, Engine};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::certificate::{Certificate, PublicKey};
use crate::cluster::ClientCertificate;

/// The shortest RSA key that a client here can sign with, in bits.
const SHORTEST_RSA: usize = 2048;

/// Reads both from PEM. Text between the blocks and blocks of other kinds are passed over, so both may be one file. What is
/// returned is PEM that every reader understands. `certificate_field` and `key_field` name them in an error, which never
/// quotes them.
pub(in crate::cluster) fn client_certificate(
    (certificate_field, certificate): (&str, &[u8]),
    (key_field, key): (&str, &[u8]),
) -> Result<ClientCertificate, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate).filter_map(Result::ok).collect();
    let Some(leaf) = chain.first() else {
        let hint = if is_pem(certificate) { "" } else { ": it is not PEM" };
        return Err(format!("{certificate_field} holds no certificate{hint}"));
    };
    let (_, parsed) =
        X509Certificate::from_der(leaf).map_err(|_| format!("the certificate in {certificate_field} is damaged"))?;
    let key = private_key(key_field, key)?;
    let signer = any_supported_type(&key).map_err(|_| unusable_key(key_field, leaf))?;
    if signer.public_key().is_some_and(|public| *public != *parsed.tbs_certificate.subject_pki.raw) {
        let subject = parsed.subject();
        return Err(format!("{key_field} is not the key of {certificate_field} ({subject}): the two belong together"));
    }
    let chain: String = chain.iter().map(|der| pem("CERTIFICATE", der)).collect();
    let key = match &key {
        PrivateKeyDer::Pkcs1(der) => pem("RSA PRIVATE KEY", der.secret_pkcs1_der()),
        PrivateKeyDer::Sec1(der) => pem("EC PRIVATE KEY", der.secret_sec1_der()),
        other => pem("PRIVATE KEY", other.secret_der()),
    };
    Ok(ClientCertificate::new(chain, key))
}

fn private_key(field: &str, pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let text = String::from_utf8_lossy(pem);
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(format!("{field} is encrypted, and no passphrase can be given: decrypt it with `openssl pkey`"));
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let hint = if is_pem(pem) { "" } else { ": it is not PEM" };
        format!("{field} holds no private key{hint}")
    })
}

/// Why a key cannot sign, by the certificate that it belongs to.
fn unusable_key(field: &str, leaf: &CertificateDer<'_>) -> String {
    let public = Certificate::from_der(leaf.to_vec()).describe().map(|description| description.public_key);
    match public {
        Ok(PublicKey::Rsa { bits }) if bits < SHORTEST_RSA => format!(
            "{field} is an RSA key of {bits} bits, and seaworthy signs with {SHORTEST_RSA} bits or more: issue the \
             certificate again with a new key (`openssl req -newkey rsa:{SHORTEST_RSA}`, or on a kubeadm cluster \
             `kubeadm kubeconfig user`)"
        ),
        Ok(public) => format!("{field} is damaged, or not a key that TLS signs with (the certificate's is {public})"),
        Err(_) => format!("{field} is damaged, or not a key that TLS signs with"),
    }
}

fn is_pem(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes).contains("-----BEGIN ")
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = body.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new([]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn read(certificate: &str, key: &str) -> Result<ClientCertificate, String> {
        client_certificate(("its c", certificate.as_bytes()), ("its k", key.as_bytes()))
    }

    #[test]
    fn both_may_be_in_one_file_with_other_text() {
        let (certificate, key) = pair();
        let file = format!("Bag Attributes\n{certificate}some text\r\n{}", key.replace('\n', "\r\n"));
        let read = read(&file, &file).unwrap();
        assert_eq!(read.chain(), certificate.replace("\r\n", "\n"));
        assert_eq!(read.expose_key(), key.replace("\r\n", "\n"));
    }

    #[test]
    fn what_is_wrong_is_named_and_not_quoted() {
        let ((certificate, key), (_, other)) = (pair(), pair());
        let damaged = pem("CERTIFICATE", b"secret");
        for (certificate, key, says) in [
            ("secret", &*key, "its c holds no certificate: it is not PEM"),
            (&*key, &*key, "its c holds no certificate"),
            (&*damaged, &*key, "the certificate in its c is damaged"),
            (&*certificate, "secret", "its k holds no private key: it is not PEM"),
            (&*certificate, &*certificate, "its k holds no private key"),
            (
                &*certificate,
                &*other,
                "its k is not the key of its c (CN=rcgen self signed cert): the two belong together",
            ),
            (&*certificate, &*pem("PRIVATE KEY", b"secret"), "its k is damaged, or not a key that TLS signs with"),
            (&*certificate, &*pem("ENCRYPTED PRIVATE KEY", b"secret"), "its k is encrypted, and no passphrase"),
        ] {
            let why = read(certificate, key).err().unwrap();
            assert!(why.starts_with(says) && !why.contains("secret"), "{why}");
        }
    }
}
