//! Certificates made for tests.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, SignatureAlgorithm, date_time_ymd,
};
use rustls_pki_types::PrivatePkcs8KeyDer;

use super::Certificate;

/// A CA that signs what the tests need.
pub(crate) struct Authority {
    pub(crate) certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
pub(crate) struct Leaf {
    pub(crate) certificate: Certificate,
    key: KeyPair,
}

impl Leaf {
    /// The private key, as a server loads it.
    pub(crate) fn key(&self) -> PrivatePkcs8KeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der())
    }
}

impl Authority {
    /// A root of that name, valid from 1975 to 4096.
    pub(crate) fn new(name: &str) -> Self {
        Self::with(name, |_| {})
    }

    /// A root of that name with such a key.
    pub(crate) fn keyed(name: &str, algorithm: &'static SignatureAlgorithm) -> Self {
        Self::root(authority(name), KeyPair::generate_for(algorithm).unwrap())
    }

    /// A root of that name, changed before it is signed.
    pub(crate) fn with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = authority(name);
        change(&mut params);
        Self::root(params, KeyPair::generate().unwrap())
    }

    fn root(params: CertificateParams, key: KeyPair) -> Self {
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate: owned(&certificate), issuer: Issuer::new(params, key) }
    }

    /// A CA of that name below this one.
    pub(crate) fn intermediate(&self, name: &str) -> Self {
        let (params, key) = (authority(name), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self { certificate: owned(&certificate), issuer: Issuer::new(params, key) }
    }

    /// A server certificate with P-256 for these names and addresses.
    pub(crate) fn leaf(&self, names: &[&str]) -> Leaf {
        self.leaf_with(names, &PKCS_ECDSA_P256_SHA256, |_| {})
    }

    /// A server certificate, changed before it is signed.
    pub(crate) fn leaf_with(
        &self,
        names: &[&str],
        algorithm: &'static SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Leaf {
        let mut params = server(names);
        change(&mut params);
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Leaf { certificate: owned(&certificate), key }
    }
}

/// A server certificate that is its own root; `is_ca` as given.
pub(crate) fn self_signed(names: &[&str], is_ca: IsCa) -> Leaf {
    let mut params = server(names);
    params.is_ca = is_ca;
    let key = KeyPair::generate().unwrap();
    Leaf { certificate: owned(&params.self_signed(&key).unwrap()), key }
}

/// Valid in those years only.
pub(crate) fn years(first: i32, last: i32) -> impl FnOnce(&mut CertificateParams) {
    move |params| {
        params.not_before = date_time_ymd(first, 1, 1);
        params.not_after = date_time_ymd(last, 12, 31);
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn server(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    params.distinguished_name.push(DnType::OrganizationName, "seaworthy");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn owned(certificate: &rcgen::Certificate) -> Certificate {
    Certificate::from_der(certificate.der().as_ref())
}
