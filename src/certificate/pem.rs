//! Bundles of certificates in PEM, as CA files and `certificate-authority-data` hold them.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::Certificate;

/// The largest bundle that is read, in bytes. Mozilla's whole root store is a quarter of it.
pub(crate) const MAXIMUM_BUNDLE: usize = 1 << 20;

impl Certificate {
    /// Every `CERTIFICATE` block of a bundle, in its order.
    ///
    /// Text between blocks and blocks of other kinds are passed over, as Go's
    /// `CertPool.AppendCertsFromPEM` does, except private keys: a bundle that holds one is refused,
    /// because bundles end up in recordings. What the blocks hold is decoded from base64 but not
    /// read; [`describe`](Certificate::describe) does that.
    ///
    /// Source: RFC 7468; <https://pkg.go.dev/crypto/x509#CertPool.AppendCertsFromPEM>.
    ///
    /// # Errors
    /// Names the block (counted from 1, over all kinds) and never quotes it.
    pub fn from_pem_bundle(text: &str) -> Result<Vec<Self>, BundleError> {
        if text.len() > MAXIMUM_BUNDLE {
            return Err(BundleError::TooLarge { size: text.len() });
        }
        let mut certificates = Vec::new();
        let mut lines = text.lines().map(str::trim);
        let mut block = 0;
        while let Some(line) = lines.next() {
            let Some(label) = marker(line, "-----BEGIN ") else {
                continue;
            };
            block += 1;
            if label.ends_with("PRIVATE KEY") {
                return Err(BundleError::PrivateKey { block });
            }
            let body = body(&mut lines, label).ok_or(BundleError::Unterminated { block })?;
            if label == "CERTIFICATE" {
                let der = STANDARD.decode(body).map_err(|_| BundleError::NotBase64 { block })?;
                certificates.push(Self::from_der(der));
            }
        }
        if certificates.is_empty() {
            return Err(BundleError::NoCertificate);
        }
        Ok(certificates)
    }
}

/// The lines up to the end of the block, joined; nothing if another marker or the end of the text
/// comes first.
fn body<'a>(lines: &mut impl Iterator<Item = &'a str>, label: &str) -> Option<String> {
    let mut body = String::new();
    for line in lines {
        if line.starts_with("-----") {
            return (marker(line, "-----END ") == Some(label)).then_some(body);
        }
        body.push_str(line);
    }
    None
}

/// The label of a line such as `-----BEGIN CERTIFICATE-----`.
fn marker<'a>(line: &'a str, opening: &str) -> Option<&'a str> {
    line.strip_prefix(opening)?.strip_suffix("-----")
}

/// Why a bundle was not read. None of the messages quotes the bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// More bytes than [`MAXIMUM_BUNDLE`].
    #[error("the bundle has {size} bytes, more than the {MAXIMUM_BUNDLE} that are read")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// A private key among the certificates.
    #[error("block {block} is a private key, which has no place in a bundle of certificates")]
    PrivateKey {
        /// The number of the block, from 1.
        block: usize,
    },
    /// A block without its end line.
    #[error("block {block} does not end")]
    Unterminated {
        /// The number of the block, from 1.
        block: usize,
    },
    /// A certificate that is not base64.
    #[error("block {block} is not base64")]
    NotBase64 {
        /// The number of the block, from 1.
        block: usize,
    },
    /// Not one certificate in the bundle.
    #[error("no certificate in the bundle")]
    NoCertificate,
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn pem(label: &str, der: &[u8]) -> String {
        let body = STANDARD.encode(der);
        let lines: Vec<_> = body.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    }

    #[test]
    fn passes_over_text_and_other_blocks() {
        let bundle = format!(
            "# the cluster's CA\n{}subject=CN = kubernetes\r\n{}{}",
            pem("CERTIFICATE", &[1]),
            pem("X509 CRL", &[9]),
            pem("CERTIFICATE", &[2]).replace('\n', "\r\n"),
        );
        let certificates = Certificate::from_pem_bundle(&bundle).unwrap();
        assert_eq!(certificates, [Certificate::from_der([1]), Certificate::from_der([2])]);
    }

    #[test]
    fn refuses_every_kind_of_private_key_without_quoting_it() {
        for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
            let bundle = pem("CERTIFICATE", &[1]) + &pem(label, b"a secret that must stay one");
            let error = Certificate::from_pem_bundle(&bundle).unwrap_err();
            assert_eq!(error, BundleError::PrivateKey { block: 2 });
            assert!(!format!("{error} {error:?}").contains(&STANDARD.encode("a secret")[..8]));
        }
    }

    #[test]
    fn names_the_block_that_is_broken() {
        let good = pem("CERTIFICATE", &[1]);
        let unterminated = format!("{good}-----BEGIN CERTIFICATE-----\nAQ==\n{good}");
        assert_eq!(Certificate::from_pem_bundle(&unterminated), Err(BundleError::Unterminated { block: 2 }));
        let garbled = format!("{good}{}", good.replace("AQ==", "A!=="));
        assert_eq!(Certificate::from_pem_bundle(&garbled), Err(BundleError::NotBase64 { block: 2 }));
    }

    #[test]
    fn a_bundle_without_certificates_is_an_error() {
        assert_eq!(Certificate::from_pem_bundle(""), Err(BundleError::NoCertificate));
        assert_eq!(Certificate::from_pem_bundle(&pem("X509 CRL", &[1])), Err(BundleError::NoCertificate));
    }

    #[test]
    fn a_bundle_has_a_largest_size() {
        let size = MAXIMUM_BUNDLE + 1;
        assert_eq!(Certificate::from_pem_bundle(&"\n".repeat(size)), Err(BundleError::TooLarge { size }));
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_safe(text in "(-----(BEGIN|END) CERTIFICATE-----|\\PC|\n){0,40}") {
            let _ = Certificate::from_pem_bundle(&text);
        }

        #[test]
        fn what_was_encoded_is_read_back(ders in vec(vec(any::<u8>(), 0..200), 1..5)) {
            let bundle: String = ders.iter().map(|der| pem("CERTIFICATE", der)).collect();
            let expected: Vec<_> = ders.into_iter().map(Certificate::from_der).collect();
            prop_assert_eq!(Certificate::from_pem_bundle(&bundle).unwrap(), expected);
        }
    }
}
