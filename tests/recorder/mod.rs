//! A server that records how the first request for `/version` is sent: through which proxy, with which credential.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, ServerConnection, SignatureScheme, Stream,
};
use x509_parser::prelude::{FromDer, X509Certificate};

/// How long a connection may be idle.
const DEADLINE: Duration = Duration::from_secs(30);
/// The answer to every request.
const UNAUTHORIZED: &str =
    r#"{"kind":"Status","apiVersion":"v1","reason":"Unauthorized","message":"Unauthorized","code":401}"#;

/// The CA of every recorder.
pub(crate) static SERVER_CA: LazyLock<Ca> = LazyLock::new(Ca::new);

pub(crate) struct Ca {
    pub(crate) pem: String,
    config: Arc<ServerConfig>,
}

impl Ca {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::new([]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "kubernetes");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = rcgen::Issuer::from_params(&params, &key);
        let leaf_key = rcgen::KeyPair::generate().unwrap();
        let names = ["127.0.0.1", "localhost", "kubernetes"].map(str::to_owned);
        let leaf = rcgen::CertificateParams::new(names).unwrap().signed_by(&leaf_key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(Arc::new(AnyClient))
            .with_single_cert(vec![leaf.into()], PrivateKeyDer::try_from(leaf_key.serialize_der()).unwrap())
            .unwrap();
        Self { pem, config: Arc::new(config) }
    }
}

pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    first: Arc<Mutex<Option<String>>>,
}

impl Recorder {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let first: Arc<Mutex<Option<String>>> = Arc::default();
        let record = Arc::clone(&first);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let record = Arc::clone(&record);
                // What a client breaks off is not a request.
                std::thread::spawn(move || drop(serve(stream, &record)));
            }
        });
        Self { address, first }
    }

    pub(crate) fn forget(&self) {
        *self.first.lock().unwrap() = None;
    }

    pub(crate) fn recorded(&self) -> Option<String> {
        self.first.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, record: &Mutex<Option<String>>) -> io::Result<()> {
    stream.set_read_timeout(Some(DEADLINE))?;
    let proxy = tunnel(&mut stream)?;
    let mut first = [0];
    stream.peek(&mut first)?;
    if first == [0x16] {
        let mut connection = ServerConnection::new(SERVER_CA.config.clone()).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        let mut parts = Vec::new();
        if let Some(chain) = connection.peer_certificates() {
            let (_, leaf) = X509Certificate::from_der(&chain[0]).map_err(io::Error::other)?;
            let name = leaf.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
            let more = if chain.len() > 1 { " and its issuer" } else { "" };
            parts.push(format!("certificate {}{more}", name.unwrap_or_default()));
        }
        let sni = connection.server_name().map(|name| format!("SNI {name}"));
        requests(&mut Stream::new(&mut connection, &mut stream), record, parts, sni.into_iter().chain(proxy))
    } else {
        requests(&mut stream, record, Vec::new(), proxy.into_iter().chain(["without TLS".to_owned()]))
    }
}

/// Answers requests on a connection, and records the first one.
fn requests(
    stream: &mut (impl Read + Write),
    record: &Mutex<Option<String>>,
    certificate: Vec<String>,
    connection: impl Iterator<Item = String>,
) -> io::Result<()> {
    let connection: Vec<_> = connection.collect();
    loop {
        let head = head(stream)?;
        let (line, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
        let path = line.split([' ', '?']).nth(1).unwrap_or_default();
        let headers: Vec<_> = headers.lines().filter_map(|line| line.split_once(':')).collect();
        let all = |name: &str| {
            let is = |(key, _): &&(&str, &str)| key.eq_ignore_ascii_case(name);
            headers.iter().filter(is).map(|(_, value)| value.trim()).collect::<Vec<_>>()
        };
        if let Some(prefix) = path.strip_suffix("/version") {
            let mut parts: Vec<_> = all("Authorization").into_iter().map(shown).collect();
            parts.extend(certificate.iter().cloned());
            for (header, word) in [("User", "as"), ("Uid", "uid"), ("Group", "groups"), ("Extra-team", "team")] {
                let values = all(&format!("Impersonate-{header}"));
                if !values.is_empty() {
                    parts.push(format!("{word} {}", values.join("+")));
                }
            }
            if parts.is_empty() {
                parts.push("nothing".into());
            }
            if !prefix.is_empty() {
                parts.push(format!("path {prefix}"));
            }
            parts.extend(connection.iter().cloned());
            record.lock().unwrap().get_or_insert(parts.join(", "));
        }
        write!(
            stream,
            "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{UNAUTHORIZED}",
            UNAUTHORIZED.len(),
        )?;
        stream.flush()?;
    }
}

/// An Authorization header with its name and password decoded.
fn shown(header: &str) -> String {
    let decoded = header.strip_prefix("Basic ").and_then(|text| BASE64_STANDARD.decode(text).ok());
    decoded.map_or_else(|| header.to_owned(), |text| format!("Basic {}", String::from_utf8_lossy(&text)))
}

/// Reads a request without a body.
fn head(stream: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Acts as a proxy, if it is asked to, by CONNECT or SOCKS 5: what follows is meant for the server itself.
fn tunnel(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut first = [0; 7];
    while stream.peek(&mut first)? < 7 && first[0] == b'C' {}
    if first == *b"CONNECT" {
        let head = head(stream)?;
        let login = head
            .lines()
            .find_map(|line| line.split_once(": Basic ").map(|(_, login)| shown(&format!("Basic {login}"))));
        let login = login.map(|login| login.replace("Basic ", " as ")).unwrap_or_default();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        return Ok(Some(format!("through a proxy{login}")));
    }
    if first[0] != 5 {
        return Ok(None);
    }
    let mut greeting = [0; 2];
    stream.read_exact(&mut greeting)?;
    stream.read_exact(&mut vec![0; greeting[1].into()])?;
    stream.write_all(&[5, 0])?;
    // The target is an IPv4 address.
    stream.read_exact(&mut [0; 10])?;
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    Ok(Some("through a proxy".into()))
}

/// Accepts every client certificate, whatever it is.
#[derive(Debug)]
struct AnyClient;

impl ClientCertVerifier for AnyClient {
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
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
