//! The cryptography of every TLS connection.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, KeyProvider, aws_lc_rs};
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::PrivateKeyDer;

/// Makes it the default of this process.
///
/// # Panics
/// If there is a default already.
pub fn install() {
    let provider = CryptoProvider { key_provider: &Keys, ..aws_lc_rs::default_provider() };
    provider.install_default().expect("no provider is installed yet");
}

/// Loads keys that do not show their public half.
///
/// With the public half, rustls would compare the key with the certificate, and it cannot read a certificate of version 1. Go
/// presents such certificates, and `openssl x509 -req` issues them if it is given no extensions. The code that reads the key
/// and the certificate verifies that they belong together.
#[derive(Debug)]
struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Ok(Arc::new(Key(aws_lc_rs::sign::any_supported_type(&key)?)))
    }
}

#[derive(Debug)]
struct Key(Arc<dyn SigningKey>);

impl SigningKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        self.0.choose_scheme(offered)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}
