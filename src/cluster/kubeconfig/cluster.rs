//! A cluster of a kubeconfig: where its API server is, and how its certificate is verified.

use http::Uri;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

use super::document::Value;
use super::fields::Fields;
use super::files::{Entry, ReadFile};
use super::server::{Login, server};
use super::{named_file, proxy};
use crate::certificate::Certificate;

/// The extension whose content a credential plugin receives.
const FOR_PLUGINS: &str = "client.authentication.k8s.io/exec";

/// A cluster of a kubeconfig.
pub(super) struct ClusterEntry {
    pub(super) url: Uri,
    /// The name and password in the URL.
    pub(super) login: Option<Login>,
    pub(super) tls_server_name: Option<String>,
    pub(super) skips_verification: bool,
    /// The CAs; none where the machine's own are trusted.
    pub(super) authorities: Option<Vec<Certificate>>,
    /// The CAs as they are written, for credential plugins.
    pub(super) bundle: Option<Vec<u8>>,
    pub(super) proxy: Option<Uri>,
    pub(super) disables_compression: bool,
    /// The cluster's settings for credential plugins.
    pub(super) for_plugins: Option<serde_json::Value>,
}

impl ClusterEntry {
    /// Reads it, or what is wrong with it.
    pub(super) fn read(Entry { file, fields }: &Entry<'_>, read: ReadFile) -> Result<Self, String> {
        let text = fields.text("server")?.ok_or("it has no server: add its URL, such as https://HOST:6443")?;
        let (url, login) = server(&text).map_err(|why| format!("{why}{}", fields.line("server")))?;
        let proxy = fields.text("proxy-url")?.as_deref().map(proxy::of_kubeconfig).transpose()?;
        let skips_verification = fields.flag("insecure-skip-tls-verify")?;
        let path = fields.text("certificate-authority")?;
        let data = fields.bytes("certificate-authority-data")?;
        if path.is_some() && data.is_some() {
            return Err("it has both certificate-authority and certificate-authority-data: remove one of them".into());
        }
        let mut entry = Self {
            url,
            login,
            tls_server_name: None,
            skips_verification,
            authorities: None,
            bundle: None,
            proxy,
            disables_compression: fields.flag("disable-compression")?,
            for_plugins: for_plugins(*fields),
        };
        let bundle = match (data, path) {
            (Some(data), _) => Some(("certificate-authority-data".to_owned(), data)),
            (None, Some(path)) => Some(named_file("certificate-authority", &file.resolve(&path), read)?),
            (None, None) => None,
        };
        // Without TLS there is nothing to verify.
        if entry.url.scheme_str() == Some("http") {
            return Ok(entry);
        }
        if skips_verification && bundle.is_some() {
            return Err("it has insecure-skip-tls-verify and a certificate-authority: remove one of them \
                        (insecure-skip-tls-verify, if the CA is the right one)"
                .into());
        }
        if let Some((field, pem)) = bundle {
            entry.authorities = Some(authorities(&field, &pem)?);
            entry.bundle = Some(pem);
        }
        entry.tls_server_name = fields.text("tls-server-name")?;
        if let Some(name) = entry.tls_server_name.as_deref().filter(|name| ServerName::try_from(*name).is_err()) {
            let line = fields.line("tls-server-name");
            return Err(format!("its tls-server-name {name:?}{line} is neither a host name nor an IP address"));
        }
        Ok(entry)
    }
}

/// The certificates of a bundle. As in Go, what cannot be read as a CA is passed over, as long as one can.
fn authorities(field: &str, pem: &[u8]) -> Result<Vec<Certificate>, String> {
    let certificates = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    let authorities: Vec<_> = certificates
        .filter(|der| webpki::anchor_from_trusted_cert(der).is_ok())
        .map(|der| Certificate::from_der(der.to_vec()))
        .collect();
    if authorities.is_empty() {
        return Err(format!("its {field} holds no certificate in PEM form"));
    }
    Ok(authorities)
}

/// What an unused extension holds does not matter.
fn for_plugins(fields: Fields<'_>) -> Option<serde_json::Value> {
    let extensions = fields.list("extensions").ok()?;
    extensions.iter().find_map(|extension| {
        let Value::Map(fields) = &extension.value else { return None };
        let is_meant = matches!(&fields.get("name")?.value, Value::Text(name) if name == FOR_PLUGINS);
        is_meant.then(|| fields.get("extension").map(|content| content.value.to_json()))?
    })
}
