//! The certificates of a control plane.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// A CA, and the files that programs read.
pub(crate) struct Pki {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    ca: CertificateDer<'static>,
    pub(crate) ca_pem: String,
}

impl Pki {
    /// A new CA, with the certificates of an API server at these addresses and of its clients.
    pub(crate) fn new(folder: &Path, addresses: &[IpAddr]) -> io::Result<Self> {
        let mut params = CertificateParams::new([]).expect("no name is not a wrong one");
        params.distinguished_name.push(DnType::CommonName, "kubernetes");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = key();
        let ca = params.self_signed(&key).expect("the key signs");
        let (der, pem) = (ca.der().clone(), ca.pem());
        let pki = Self { folder: folder.to_owned(), issuer: Issuer::new(params, key), ca: der, ca_pem: pem };
        fs::write(pki.file("ca.crt"), &pki.ca_pem)?;
        let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"];
        let names = [&names[..], &["kubernetes.default.svc.cluster.local"]].concat();
        pki.write("apiserver", &pki.server("kube-apiserver", &names, addresses))?;
        let masters = Some("system:masters");
        pki.write("apiserver-kubelet-client", &pki.client("kube-apiserver-kubelet-client", masters))?;
        pki.write("admin", &pki.client("kubernetes-admin", masters))?;
        pki.write("floor", &pki.client("floor", masters))?;
        let signing = self::key();
        fs::write(pki.file("sa.key"), signing.serialize_pem())?;
        fs::write(pki.file("sa.pub"), signing.public_key_pem())?;
        Ok(pki)
    }

    /// A file of the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self, name: &str, (certificate, key): &(rcgen::Certificate, KeyPair)) -> io::Result<()> {
        fs::write(self.file(&format!("{name}.crt")), certificate.pem())?;
        fs::write(self.file(&format!("{name}.key")), key.serialize_pem())
    }

    fn client(&self, user: &str, group: Option<&str>) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new([]).expect("no name is not a wrong one");
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.signed(params)
    }

    fn server(&self, name: &str, names: &[&str], addresses: &[IpAddr]) -> (rcgen::Certificate, KeyPair) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("the names are plain");
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.signed(params)
    }

    fn signed(&self, mut params: CertificateParams) -> (rcgen::Certificate, KeyPair) {
        // From yesterday on, for a year.
        let day = jiff::Zoned::now().date().yesterday().expect("time goes on");
        let at =
            |year: i16| rcgen::date_time_ymd(year.into(), day.month().unsigned_abs(), day.day().min(28).unsigned_abs());
        (params.not_before, params.not_after) = (at(day.year()), at(day.year() + 1));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = key();
        (params.signed_by(&key, &self.issuer).expect("the CA signs"), key)
    }

    /// The TLS of a kubelet at this address. It accepts clients without a certificate, and refuses their requests.
    pub(crate) fn of_kubelet(&self, node: &str, address: IpAddr) -> Arc<ServerConfig> {
        let (certificate, key) = self.server(&format!("system:node:{node}"), &[node], &[address]);
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), provider());
        let clients = clients.allow_unauthenticated().build().expect("there is a CA");
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate.der().clone()], private(&key));
        Arc::new(config.expect("the key is the certificate's"))
    }

    /// The TLS of the client whose requests are the floor.
    pub(crate) fn of_floor(&self) -> Arc<ClientConfig> {
        let (certificate, key) = self.client("floor", Some("system:masters"));
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(self.roots())
            .with_client_auth_cert(vec![certificate.der().clone()], private(&key));
        Arc::new(config.expect("the key is the certificate's"))
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).expect("it is a certificate");
        roots
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("keys can be generated")
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::try_from(key.serialize_der()).expect("it is PKCS #8")
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
