//! The recorder with servers on the loopback interface.

use std::{net::SocketAddr, sync::Mutex};

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P521_SHA512};
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::certificate::Distrust;
use crate::certificate::testing::{Authority as Ca, Leaf, years};

const SOON: Duration = Duration::from_secs(10);

/// A server that completes one handshake after the other and then reads until the client disconnects.
struct Server {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Server {
    async fn start(config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let _ = stream.read(&mut [0]).await;
                }
            }
        });
        Self { address, accepting }
    }

    async fn record(&self, name: Option<&str>, roots: &[Certificate]) -> Handshake {
        handshake(&target(self.address, name), roots, SOON).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn target(address: SocketAddr, name: Option<&str>) -> Target {
    Target { address: address.into(), server_name: name.map(str::to_owned) }
}

fn versions(
    versions: &[&'static SupportedProtocolVersion],
) -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
}

fn chain(certificates: &[&Certificate]) -> Vec<CertificateDer<'static>> {
    certificates.iter().map(|certificate| CertificateDer::from(certificate.der().to_vec())).collect()
}

/// A server that presents `leaf` and then `above`.
fn presenting(leaf: &Leaf, above: &[&Certificate]) -> ServerConfig {
    let presented = [&[&leaf.certificate], above].concat();
    versions(&[&TLS13, &TLS12]).with_no_client_auth().with_single_cert(chain(&presented), leaf.key().into()).unwrap()
}

/// A server that refuses clients without a certificate.
fn demanding(leaf: &Leaf, ca: &Ca, version: &'static SupportedProtocolVersion) -> ServerConfig {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(chain(&[&ca.certificate]));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    versions(&[version])
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain(&[&leaf.certificate]), leaf.key().into())
        .unwrap()
}

#[tokio::test]
async fn a_good_server() {
    let ca = Ca::new("kubernetes");
    let leaf = ca.leaf(&["n1", "127.0.0.1"]);
    let server = Server::start(presenting(&leaf, &[])).await;

    let seen = server.record(Some("n1"), std::slice::from_ref(&ca.certificate)).await;
    assert_eq!(
        seen,
        Handshake {
            address: server.address.into(),
            server_name: Some("n1".into()),
            version: TlsVersion::Tls13,
            chain: vec![leaf.certificate].try_into().unwrap(),
            client_certificate_requested: false,
            verdict: Ok(()),
            failure: None,
        }
    );

    let by_address = handshake(&Target::of(server.address.into()), &[ca.certificate], SOON).await;
    assert_eq!(by_address.unwrap().verdict, Ok(()));
}

#[tokio::test]
async fn is_recorded_in_json() {
    let ca = Ca::new("kubernetes");
    let server = Server::start(presenting(&ca.leaf(&["n1"]), &[])).await;
    let seen = server.record(Some("n2"), &[ca.certificate]).await;

    let json = serde_json::to_value(&seen).unwrap();
    assert_eq!(json["version"], "TLS 1.3");
    assert_eq!(json["address"], server.address.to_string());
    assert_eq!(json["verdict"]["Err"]["kind"], "name-mismatch");
    assert_eq!(serde_json::from_value::<Handshake>(json).unwrap(), seen);
}

#[tokio::test]
async fn a_server_of_tls_1_2() {
    let ca = Ca::new("kubernetes");
    let leaf = ca.leaf(&["n1"]);
    let config = versions(&[&TLS12])
        .with_no_client_auth()
        .with_single_cert(chain(&[&leaf.certificate]), leaf.key().into())
        .unwrap();
    let server = Server::start(config).await;

    let seen = server.record(Some("n1"), &[ca.certificate]).await;
    assert_eq!(seen.version, TlsVersion::Tls12);
    assert_eq!((seen.verdict, seen.failure), (Ok(()), None));
}

#[tokio::test]
async fn distrust_does_not_hide_what_was_presented() {
    let ca = Ca::new("kubernetes");
    let expired = ca.leaf_with(&["n1"], &PKCS_ECDSA_P256_SHA256, years(2000, 2001));
    let early = ca.leaf_with(&["n1"], &PKCS_ECDSA_P256_SHA256, years(3000, 3001));
    let foreign = Ca::new("another").leaf(&["n1"]);
    let misnamed = ca.leaf(&["n2"]);

    let cases = [
        (expired, Distrust::Expired { not_after: "2001-12-31T00:00:00Z".parse().unwrap() }),
        (early, Distrust::NotYetValid { not_before: "3000-01-01T00:00:00Z".parse().unwrap() }),
        (foreign, Distrust::UnknownIssuer { issuer: "CN=another".into() }),
        (misnamed, Distrust::NameMismatch { name: "n1".into(), presented: vec!["n2".into()] }),
    ];
    for (leaf, distrust) in cases {
        let server = Server::start(presenting(&leaf, &[])).await;
        let seen = server.record(Some("n1"), std::slice::from_ref(&ca.certificate)).await;
        assert_eq!(seen.verdict, Err(distrust));
        assert_eq!(seen.leaf(), &leaf.certificate);
        assert_eq!(seen.failure, None);
    }
}

#[tokio::test]
async fn a_key_on_p521() {
    let ca = Ca::keyed("kubernetes", &PKCS_ECDSA_P521_SHA512);
    let leaf = ca.leaf_with(&["n1"], &PKCS_ECDSA_P521_SHA512, |_| {});
    let server = Server::start(presenting(&leaf, &[])).await;

    let seen = server.record(Some("n1"), &[ca.certificate]).await;
    assert_eq!((seen.verdict, seen.failure), (Ok(()), None));
}

#[tokio::test]
async fn a_chain_is_kept_whole() {
    let root = Ca::new("root");
    let middle = root.intermediate("middle");
    let leaf = middle.leaf(&["n1"]);
    let server = Server::start(presenting(&leaf, &[&middle.certificate, &root.certificate])).await;

    let seen = server.record(Some("n1"), std::slice::from_ref(&root.certificate)).await;
    assert_eq!(seen.verdict, Ok(()));
    assert_eq!(seen.chain[..], [leaf.certificate, middle.certificate, root.certificate]);
}

#[tokio::test]
async fn a_demanded_client_certificate() {
    let ca = Ca::new("etcd-ca");
    let leaf = ca.leaf(&["n1"]);
    // rustls sends the alert of TLS 1.3 in both versions.
    for version in [&TLS12, &TLS13] {
        let server = Server::start(demanding(&leaf, &ca, version)).await;
        let seen = server.record(Some("n1"), std::slice::from_ref(&ca.certificate)).await;
        assert!(seen.client_certificate_requested);
        assert_eq!(seen.verdict, Ok(()));
        assert_eq!(
            seen.failure.as_deref(),
            Some("the server refused with the alert certificate_required"),
            "{:?}",
            seen.version
        );
    }
}

#[tokio::test]
async fn a_client_certificate_that_may_be_left_out() {
    let ca = Ca::new("kubernetes");
    let leaf = ca.leaf(&["n1"]);
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(chain(&[&ca.certificate]));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).allow_unauthenticated().build().unwrap();
    let config = versions(&[&TLS13])
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain(&[&leaf.certificate]), leaf.key().into())
        .unwrap();
    let server = Server::start(config).await;

    let started = std::time::Instant::now();
    let seen = server.record(Some("n1"), &[ca.certificate]).await;
    assert!(seen.client_certificate_requested);
    assert_eq!(seen.failure, None);
    assert!(started.elapsed() < REFUSAL_WAIT, "the session ticket ends the wait");
}

#[tokio::test]
async fn a_server_that_takes_its_leave_at_once() {
    let ca = Ca::new("kubernetes");
    let leaf = ca.leaf(&["n1"]);
    for version in [&TLS12, &TLS13] {
        let mut config = versions(&[version])
            .with_no_client_auth()
            .with_single_cert(chain(&[&leaf.certificate]), leaf.key().into())
            .unwrap();
        config.send_tls13_tickets = 0;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (near, far) = duplex(4096);
        let serving = tokio::spawn(async move { acceptor.accept(far).await?.shutdown().await });

        let target = Target::of("n1:6443".parse().unwrap());
        let seen = handshake_over(near, &target, std::slice::from_ref(&ca.certificate), SOON).await.unwrap();
        assert_eq!((seen.verdict, seen.failure), (Ok(()), None), "{:?}", seen.version);
        serving.await.unwrap().unwrap();
    }
}

/// Presents a certificate with another key than its own, and records the requested names.
#[derive(Debug)]
struct Impostor {
    certified: Arc<CertifiedKey>,
    asked_for: Arc<Mutex<Vec<Option<String>>>>,
}

impl ResolvesServerCert for Impostor {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.asked_for.lock().unwrap().push(hello.server_name().map(str::to_owned));
        Some(self.certified.clone())
    }
}

fn certified(certificate: &Certificate, key: &Leaf) -> Arc<CertifiedKey> {
    let key = aws_lc_rs::sign::any_supported_type(&PrivateKeyDer::from(key.key())).unwrap();
    Arc::new(CertifiedKey::new(chain(&[certificate]), key))
}

#[tokio::test]
async fn the_name_is_sent_but_not_an_address() {
    let leaf = Ca::new("kubernetes").leaf(&["n1"]);
    let asked_for = Arc::default();
    let resolver = Impostor { certified: certified(&leaf.certificate, &leaf), asked_for: Arc::clone(&asked_for) };
    let config = versions(&[&TLS13]).with_no_client_auth().with_cert_resolver(Arc::new(resolver));
    let server = Server::start(config).await;

    for name in [Some("kubernetes.default"), Some("10.96.0.1"), None] {
        server.record(name, &[]).await;
    }
    assert_eq!(*asked_for.lock().unwrap(), [Some("kubernetes.default".to_owned()), None, None]);
}

#[tokio::test]
async fn another_key_than_that_of_the_certificate() {
    let ca = Ca::new("kubernetes");
    let (leaf, other) = (ca.leaf(&["n1"]), ca.leaf(&["n1"]));
    let resolver = Impostor { certified: certified(&leaf.certificate, &other), asked_for: Arc::default() };
    let resolver = Arc::new(resolver);
    for version in [&TLS12, &TLS13] {
        let config = versions(&[version]).with_no_client_auth().with_cert_resolver(resolver.clone());
        let server = Server::start(config).await;
        let seen = server.record(Some("n1"), std::slice::from_ref(&ca.certificate)).await;
        assert_eq!(seen.failure.as_deref(), Some("the server did not prove that it holds the key of its certificate"));
    }
}

#[tokio::test]
async fn without_a_name_only_the_path_is_judged() {
    let ca = Ca::new("kubernetes");
    let server = Server::start(presenting(&ca.leaf(&["n1"]), &[])).await;
    assert_eq!(server.record(None, &[ca.certificate]).await.verdict, Ok(()));
}

#[tokio::test]
async fn over_an_open_stream() {
    let ca = Ca::new("kubernetes");
    let leaf = ca.leaf(&["n1"]);
    let acceptor = TlsAcceptor::from(Arc::new(presenting(&leaf, &[])));
    let (near, far) = duplex(1024);
    let serving = tokio::spawn(async move { acceptor.accept(far).await.map(drop) });

    let target = Target::of("n1:6443".parse().unwrap());
    let seen = handshake_over(near, &target, &[ca.certificate], SOON).await.unwrap();
    assert_eq!(seen.verdict, Ok(()));
    assert_eq!(seen.address.to_string(), "n1:6443");
    serving.await.unwrap().unwrap();
}

/// The result with a server that reads a little and answers `answer`, and then waits or
/// disconnects.
async fn answered(answer: &'static [u8], then_waits: bool) -> Unreachable {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        stream.write_all(answer).await.unwrap();
        if then_waits {
            std::future::pending::<()>().await;
        }
    });
    let deadline = Duration::from_millis(300);
    let unreachable = handshake(&target(address, None), &[], deadline).await.unwrap_err();
    serving.abort();
    unreachable
}

#[tokio::test]
async fn servers_of_other_protocols() {
    let not_tls = |answer: &str| Unreachable::NotTls { answer: answer.into() };
    let http = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
    assert_eq!(answered(http, false).await, not_tls("HTTP/1.1 400 Bad Request"));
    assert_eq!(answered(b"SSH-2.0-OpenSSH_9.9\r\n", true).await, not_tls("SSH-2.0-OpenSSH_9.9"));
}

#[tokio::test]
async fn servers_that_say_no_more() {
    let hanging = answered(b"", true).await;
    assert_eq!(hanging, Unreachable::TimedOut { after: Duration::from_millis(300) });
    assert_eq!(hanging.to_string(), "no answer within 300ms");
    assert_eq!(answered(b"", false).await, Unreachable::Closed);

    // A fatal alert, protocol_version: a server that speaks TLS 1.1 at best.
    let old = answered(&[21, 3, 1, 0, 2, 2, 70], false).await;
    assert_eq!(old, Unreachable::Declined { alert: "protocol_version".into() });

    // Looks like the beginning of a record, but is not one.
    let garbage = answered(&[22, 3, 3, 0, 4, 0xff, 0, 0, 0], true).await;
    assert!(matches!(garbage, Unreachable::Other { .. }), "{garbage:?}");
}

#[tokio::test]
async fn a_port_where_nothing_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(handshake(&target(address, None), &[], SOON).await, Err(Unreachable::Refused));
}

#[tokio::test]
async fn a_connection_that_is_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Closing with unread bytes makes the kernel reset the connection.
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        stream.readable().await.unwrap();
    });
    assert_eq!(handshake(&target(address, None), &[], SOON).await, Err(Unreachable::Reset));
}

#[tokio::test]
async fn a_name_that_does_not_resolve() {
    // No resolver accepts an empty label, so that no query is sent.
    let target = Target::of("n1..invalid:6443".parse().unwrap());
    let unreachable = handshake(&target, &[], SOON).await.unwrap_err();
    let text = unreachable.to_string();
    assert!(text.starts_with("the name n1..invalid does not resolve: "), "{text}");
}

#[tokio::test]
async fn a_name_that_cannot_be_asked_for() {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let (near, _far) = duplex(1024);
    let unreachable = handshake_over(near, &target(address, Some("a b")), &[], SOON).await.unwrap_err();
    assert!(unreachable.to_string().starts_with("\"a b\" is neither"), "{unreachable}");
}
