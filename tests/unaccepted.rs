//! API servers whose certificate clients do not accept: each is examined without a verified connection, gets no credential,
//! and is one finding that blocks the other checks.

#[expect(dead_code, reason = "no server here hangs")]
mod server;
mod xsd;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::prelude::{BASE64_STANDARD, Engine};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use serde_json::{Value, json};
use server::{builder, failure, kubeconfig, object, presents, run_with, serve, version, written};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A certificate that is signed with SHA-1, for an RSA key of 1,024 bits.
const WEAK: &str = include_str!("../src/certificate/description/rsa1024-sha1.pem");
/// How often any server here was shown a client certificate.
static CERTIFICATES: AtomicUsize = AtomicUsize::new(0);
/// The credentials that any server here was sent in a header.
static TOKENS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The servers count together, so one test has them at a time.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A CA.
struct Ca {
    params: CertificateParams,
    key: KeyPair,
}

impl Ca {
    fn new(name: &str) -> Self {
        Self::keyed(name, KeyPair::generate().unwrap())
    }

    /// A CA with an RSA key.
    fn rsa(name: &str) -> Self {
        Self::keyed(name, KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap())
    }

    fn keyed(name: &str, key: KeyPair) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { params, key }
    }

    fn certificate(&self) -> rcgen::Certificate {
        self.params.self_signed(&self.key).unwrap()
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    /// A certificate for this server, and its key.
    fn leaf(&self, change: impl FnOnce(&mut CertificateParams)) -> (CertificateDer<'static>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (leaf(change).signed_by(&key, &self.issuer()).unwrap().into(), key)
    }
}

/// What a certificate for this server says.
fn leaf(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned(), "kubernetes".to_owned()]).unwrap();
    params.not_after = date_time_ymd(2120, 1, 1);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    change(&mut params);
    params
}

/// Asks every client for a certificate, and counts those that show one.
#[derive(Debug)]
struct Counting;

impl ClientCertVerifier for Counting {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        CERTIFICATES.fetch_add(1, Ordering::Relaxed);
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A server that presents this certificate and asks for one.
fn asks(certificate: CertificateDer<'static>, key: &KeyPair) -> Arc<rustls::ServerConfig> {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = builder().with_client_cert_verifier(Arc::new(Counting)).with_single_cert(vec![certificate], key);
    Arc::new(config.unwrap())
}

/// The key of an RSA certificate that this program does not have. No signature of such a short key is ever verified, so that
/// any will do.
#[derive(Debug)]
struct ShortKey;

impl SigningKey for ShortKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::RSA_PSS_SHA256).then(|| Box::new(Self) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RSA
    }
}

impl Signer for ShortKey {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok(vec![1; 128])
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::RSA_PSS_SHA256
    }
}

/// The public RSA key of 1,024 bits in [`WEAK`].
struct ShortPublicKey(Vec<u8>);

impl ShortPublicKey {
    fn new() -> Self {
        let der = WEAK.lines().filter(|line| !line.starts_with("---")).collect::<String>();
        let der = BASE64_STANDARD.decode(der).unwrap();
        // RSAPublicKey: a SEQUENCE of a modulus of 129 bytes and an exponent.
        let start = der.windows(6).position(|window| window == [0x30, 0x81, 0x89, 0x02, 0x81, 0x81]).unwrap();
        Self(der[start..start + 3 + 0x89].to_vec())
    }
}

impl rcgen::PublicKeyData for ShortPublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl rustls::server::ResolvesServerCert for Always {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// A server with a certificate for the short key.
fn short(ca: &Ca) -> Arc<rustls::ServerConfig> {
    let certificate = leaf(|_| {}).signed_by(&ShortPublicKey::new(), &ca.issuer()).unwrap();
    let key = CertifiedKey::new(vec![certificate.into()], Arc::new(ShortKey));
    let config = builder().with_client_cert_verifier(Arc::new(Counting));
    Arc::new(config.with_cert_resolver(Arc::new(Always(Arc::new(key)))))
}

/// The certificate with the name of its signature algorithm changed to sha1WithRSAEncryption. Clients refuse it for that
/// name, before they look at the signature.
fn with_sha1(certificate: &CertificateDer<'_>) -> CertificateDer<'static> {
    const SHA256: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
    let mut der = certificate.to_vec();
    let places: Vec<_> = (0..der.len() - 9).filter(|at| der[*at..*at + 9] == SHA256).collect();
    assert_eq!(places.len(), 2, "the algorithm is named inside of what is signed, and beside the signature");
    for place in places {
        der[place + 8] = 0x05;
    }
    der.into()
}

/// Remembers every credential, and answers as a healthy API server without any object.
fn open(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if let Some(shown) = request.headers().get("Authorization") {
        TOKENS.lock().unwrap_or_else(PoisonError::into_inner).push(shown.to_str().unwrap().to_owned());
    }
    match request.uri().path() {
        "/version" => version(),
        "/api/v1/namespaces/kube-public/configmaps/cluster-info" => cluster_info(),
        _ => failure(404, "NotFound", "not found"),
    }
}

/// The CA in cluster-info.
static OFFERED: Mutex<String> = Mutex::new(String::new());

fn cluster_info() -> Response<Full<Bytes>> {
    let ca = BASE64_STANDARD.encode(OFFERED.lock().unwrap_or_else(PoisonError::into_inner).as_bytes());
    let config = json!({ "kind": "Config", "clusters": [{ "name": "", "cluster": {
        "server": "https://127.0.0.1:6443", "certificate-authority-data": ca } }] });
    let metadata = json!({ "name": "cluster-info", "namespace": "kube-public" });
    object(
        200,
        &json!({ "kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata,
        "data": { "kubeconfig": config.to_string() } }),
    )
}

/// What a run reported.
struct Report {
    code: Option<i32>,
    said: String,
    verdicts: Value,
    junit: String,
}

impl Report {
    fn check(&self, id: &str) -> &Value {
        self.verdicts["checks"].as_array().unwrap().iter().find(|check| check["id"] == id).unwrap()
    }

    fn with(&self, outcome: &str) -> Vec<&str> {
        let checks = self.verdicts["checks"].as_array().unwrap().iter();
        checks.filter(|check| check["outcome"] == outcome).map(|check| check["id"].as_str().unwrap()).collect()
    }

    /// What a check found.
    fn seen(&self, id: &str) -> Vec<&str> {
        let findings = self.check(id)["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
        findings.iter().map(|finding| finding["seen"].as_str().unwrap()).collect()
    }

    /// PK-01 fails with this, and blocks all that is not seen.
    #[track_caller]
    fn blames_the_certificate(&self, what: &str) {
        let Self { code, said, verdicts, junit } = self;
        assert!(self.seen("PK-01").iter().any(|seen| seen.contains(what)), "{what}: {:?} {said}", self.seen("PK-01"));
        assert_eq!((self.with("fail"), self.with("error")), (vec!["PK-01"], Vec::new()), "{what}: {said}");
        assert_eq!(*code, Some(1), "{said}");
        let [root] = &verdicts["causes"].as_array().unwrap()[..] else { panic!("{}", verdicts["causes"]) };
        assert_eq!(root["check"], "PK-01");
        for check in verdicts["checks"].as_array().unwrap() {
            let blocked = check["outcome"] != "blocked" || check.to_string().contains(r#""cause":{"check":"PK-01""#);
            assert!(blocked, "{check}");
        }
        let document = roxmltree::Document::parse(junit).unwrap();
        let count = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).count();
        assert_eq!((count("testcase"), count("failure"), count("error")), (checks(), 1, 0), "{junit}");
        let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/junit.xsd");
        xsd::validate(&std::fs::read_to_string(schema).unwrap(), junit).unwrap();
        assert!(junit.contains("blocked by PK-01: "), "{junit}");
    }
}

/// How many checks the profile audit has: all but AA-26.
fn checks() -> usize {
    seaworthy::suites::checks().count() - 1
}

/// Runs all checks of the profile against a server, as a user with a token and a client certificate, and judges the
/// recording: the verdicts must be the same.
async fn run(address: SocketAddr, authority: Option<&str>, profile: &str) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = json!({ "server": format!("https://{address}") });
    if let Some(pem) = authority {
        cluster["certificate-authority-data"] = BASE64_STANDARD.encode(pem).into();
    }
    let own = Ca::new("kubernetes");
    let (certificate, key) = own.leaf(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    let encoded = BASE64_STANDARD.encode(&certificate);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n");
    let user = json!({
        "token": "not-a-real-token",
        "client-certificate-data": BASE64_STANDARD.encode(pem),
        "client-key-data": BASE64_STANDARD.encode(key.serialize_pem()),
    });
    let kubeconfig = written(&folder, &cluster, &user);
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (junit, json, recording) = (file("r.xml"), file("r.json"), file("recording.json"));
    let arguments = ["--profile", profile, "--junit", &junit, "--json", &json, "--record", &recording];
    let done = run_with(kubeconfig, &arguments).await;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let written = std::fs::read_to_string(&json).unwrap_or_else(|_| panic!("{said}"));
    let judged = std::process::Command::new(env!("CARGO_BIN_EXE_seaworthy"))
        .args(["judge", &recording, "-o", "json"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&judged.stdout), written, "the recording gives the same verdicts");
    Report {
        code: done.status.code(),
        said,
        verdicts: serde_json::from_str(&written).unwrap(),
        junit: std::fs::read_to_string(&junit).unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_accepted_is_examined_and_gets_no_credential() {
    let _turn = TURN.lock().await;
    let (tokens, certificates) = (TOKENS.lock().unwrap().len(), CERTIFICATES.load(Ordering::Relaxed));
    let ca = Ca::new("kubernetes");
    let rsa = Ca::rsa("kubernetes");
    let (other, namesake) = (Ca::new("company-proxy"), Ca::new("kubernetes"));
    let asking = |(certificate, key): (CertificateDer<'static>, KeyPair)| asks(certificate, &key);
    let trusting = |ca: &Ca| ca.certificate().pem();
    let itself = {
        let mut params = leaf(|_| {});
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ca { params, key: KeyPair::generate().unwrap() }
    };
    let its_own = itself.certificate();
    let signed_with_sha1 = {
        let (certificate, key) = rsa.leaf(|_| {});
        asks(with_sha1(&certificate), &key)
    };
    for (config, authority, what, also) in [
        (asking(other.leaf(|_| {})), trusting(&ca), "an issuer that is not trusted: CN=company-proxy", "PK-03"),
        (asking(namesake.leaf(|_| {})), trusting(&ca), "not made by the trusted issuer of that name", "PK-03"),
        (
            asking(ca.leaf(|params| params.not_after = date_time_ymd(2020, 1, 1))),
            trusting(&ca),
            "expired at 2020",
            "PK-04",
        ),
        (
            asking(ca.leaf(|params| params.not_before = date_time_ymd(2119, 1, 1))),
            trusting(&ca),
            "not valid before 2119",
            "PK-03",
        ),
        (
            asking(ca.leaf(|params| params.subject_alt_names.clear())),
            trusting(&ca),
            "its certificate has 0 other names",
            "PK-01",
        ),
        (
            asking(ca.leaf(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth])),
            trusting(&ca),
            "not meant for servers",
            "PK-03",
        ),
        (asks(its_own.der().clone(), &itself.key), its_own.pem(), "the certificate of a CA", "PK-03"),
        (signed_with_sha1, trusting(&rsa), "signed with sha1WithRSAEncryption", "PK-14"),
        (short(&ca), trusting(&ca), "has an RSA key of 1024 bits: rustls, the TLS library of this program", "PK-14"),
    ] {
        let report = run(serve(&[config], open).await, Some(&authority), "audit").await;
        report.blames_the_certificate(what);
        assert!(!report.seen(also).is_empty(), "{what}: {also} found nothing: {}", report.check(also));
    }
    // Nothing else shows that this system does not trust the CA.
    let report = run(serve(&[asking(ca.leaf(|_| {}))], open).await, None, "audit").await;
    report.blames_the_certificate("has no certificate-authority");
    assert_eq!(TOKENS.lock().unwrap()[tokens..], [""; 0]);
    assert_eq!(CERTIFICATES.load(Ordering::Relaxed), certificates);
    // The control: both reach a server that is verified.
    run(serve(&[asking(ca.leaf(|_| {}))], open).await, Some(&trusting(&ca)), "audit").await;
    assert!(TOKENS.lock().unwrap()[tokens..].iter().any(|token| token == "Bearer not-a-real-token"));
    assert!(CERTIFICATES.load(Ordering::Relaxed) > certificates);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_speaks_old_tls_at_most_is_named() {
    /// A ServerHello of TLS 1.1, of which only the version matters.
    const HELLO: [u8; 49] = {
        let mut record = [0; 49];
        let head = [22, 3, 2, 0, 44, 2, 0, 0, 40, 3, 2];
        let mut at = 0;
        while at < head.len() {
            record[at] = head[at];
            at += 1;
        }
        record[44] = 0xc0;
        record[45] = 0x09;
        record
    };
    let _turn = TURN.lock().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut hello = [0; 4096];
            let length = stream.read(&mut hello).await.unwrap();
            // The version in a ClientHello comes after the heads of the record and of the message.
            let speaks = if length > 11 && hello[9..11] == [3, 2] { &HELLO[..] } else { &[21, 3, 1, 0, 2, 2, 70] };
            // A client that has gone needs no answer.
            let _ = stream.write_all(speaks).await;
        }
    });
    let report = run(address, Some(&Ca::new("kubernetes").certificate().pem()), "audit").await;
    report.blames_the_certificate("speaks TLS 1.1 at most, and clients of Kubernetes require TLS 1.2");
    assert_eq!(report.seen("PK-14"), ["it speaks TLS 1.1 with a client that asks for it"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ca_in_cluster_info_shows_that_the_kubeconfig_has_another() {
    let _turn = TURN.lock().await;
    let (ours, theirs) = (Ca::new("kubernetes"), Ca::new("kubernetes"));
    *OFFERED.lock().unwrap() = theirs.certificate().pem();
    let (certificate, key) = theirs.leaf(|_| {});
    let report = run(serve(&[presents(certificate, &key)], open).await, Some(&ours.certificate().pem()), "audit").await;
    let finding = &report.check("PK-01")["findings"][0];
    assert!(finding["evidence"][0].as_str().unwrap().contains("cluster-info of this server has the CA"), "{finding}");
    assert!(finding["fix"].as_str().unwrap().contains("the kubeconfig has the CA of another cluster"), "{finding}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_instance_without_the_endpoint_s_name_does_not_end_a_run() {
    let _turn = TURN.lock().await;
    let ca = Ca::new("kubernetes");
    let (good, good_key) = ca.leaf(|_| {});
    let (bad, bad_key) = ca.leaf(|params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("kubernetes".try_into().unwrap())];
    });
    let (good, bad) = (presents(good, &good_key), presents(bad, &bad_key));
    for configs in [vec![bad.clone(), good.clone(), good.clone()], vec![good, bad.clone()], vec![bad]] {
        let report = run(serve(&configs, open).await, Some(&ca.certificate().pem()), "audit").await;
        assert_eq!(report.verdicts["cluster"]["version"], "v1.37.2", "{}", report.said);
        // No request failed for the name.
        assert!(!report.verdicts.to_string().contains("invalid peer certificate"), "{}", report.verdicts);
        if configs.len() == 1 {
            assert_eq!(report.seen("PK-01"), ["its certificate has 1 other names"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_no_credential_is_asked_if_it_is_rejected() {
    let _turn = TURN.lock().await;
    let ca = Ca::new("kubernetes");
    let (certificate, key) = ca.leaf(|_| {});
    let address = serve(&[presents(certificate, &key)], |_| failure(401, "Unauthorized", "Unauthorized")).await;
    let report = run(address, Some(&ca.certificate().pem()), "ci").await;
    assert_eq!((report.code, report.with("fail"), report.with("error")), (Some(3), Vec::new(), vec!["CP-01"]));
    assert!(report.check("CP-01").to_string().contains("the API server rejects the credential of a in "));
    assert_eq!(report.check("PK-01")["outcome"], "pass", "{}", report.check("PK-01"));
    assert_eq!(report.verdicts["checks"].as_array().unwrap().len(), checks() + 1);
}

/// An API server that takes its user for one of kubeadm's administrators, who may do nothing.
fn powerless(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    match (request.method().as_str(), request.uri().path()) {
        (_, "/version") => version(),
        ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews") => object(
            201,
            &json!({ "kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {}, "status": {
            "userInfo": { "username": "kubernetes-admin", "groups": ["kubeadm:cluster-admins", "system:authenticated"] } } }),
        ),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews") => object(
            201,
            &json!({ "kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {},
            "spec": {}, "status": { "allowed": false } }),
        ),
        _ => failure(403, "Forbidden", "User \"kubernetes-admin\" cannot do anything"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_of_kubeadm_without_rights_is_one_finding() {
    let _turn = TURN.lock().await;
    let ca = Ca::new("kubernetes");
    let (certificate, key) = ca.leaf(|_| {});
    let address = serve(&[presents(certificate, &key)], powerless).await;
    let folder = tempfile::tempdir().unwrap();
    let path = kubeconfig(&folder, &format!("https://{address}"), &ca.certificate().pem());
    let json = folder.path().join("r.json");
    let done = run_with(path, &["--profile", "ci", "--json", json.to_str().unwrap(), "-n", "default"]).await;
    let text = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(1), "{text}");
    assert!(text.contains("ClusterRoleBinding kubeadm:cluster-admins"), "{text}");
    assert!(text.contains("--kubeconfig /etc/kubernetes/super-admin.conf"), "{text}");
    // Not a list of rights, and nothing was created.
    assert!(text.matches("not permitted").count() <= 1 && !text.contains("left behind"), "{text}");
    let verdicts: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let of = |outcome: &str| {
        let checks = verdicts["checks"].as_array().unwrap().iter().filter(|check| check["outcome"] == outcome);
        checks.map(|check| check["id"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(of("fail"), ["AA-19"], "{text}");
    assert_eq!(of("error"), [""; 0], "{text}");
}
