//! API servers on the loopback interface, each with a certificate of its own, and runs of the program against them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::prelude::{BASE64_STANDARD, Engine};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What a server answers to a request.
pub(crate) type Answer = fn(&Request<Incoming>) -> Response<Full<Bytes>>;

/// A server's side of TLS, of today's versions.
pub(crate) fn builder() -> rustls::ConfigBuilder<rustls::ServerConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap()
}

/// A server that presents this certificate.
pub(crate) fn presents(certificate: CertificateDer<'static>, key: &rcgen::KeyPair) -> Arc<rustls::ServerConfig> {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    Arc::new(builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap())
}

/// A server on the loopback interface, which presents these in turn, as behind a load balancer. Nothing ever happens that
/// a watch would report.
pub(crate) async fn serve(configs: &[Arc<rustls::ServerConfig>], answer: Answer) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let configs = configs.to_vec();
    tokio::spawn(async move {
        let turns = AtomicUsize::new(0);
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let turn = turns.fetch_add(1, Ordering::Relaxed) % configs.len();
            let acceptor = TlsAcceptor::from(configs[turn].clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(|request: Request<Incoming>| async move {
                    if request.uri().query().is_some_and(|query| query.contains("watch=")) {
                        std::future::pending::<()>().await;
                    }
                    let response = answer(&request);
                    if response.extensions().get::<Never>().is_some() {
                        std::future::pending::<()>().await;
                    }
                    Ok::<_, std::convert::Infallible>(response)
                });
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

/// Marks a response that never comes.
#[derive(Clone)]
struct Never;

/// No answer at all.
pub(crate) fn nothing() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    response.extensions_mut().insert(Never);
    response
}

pub(crate) fn reply(status: u16, content_type: &str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder().status(status).header("Content-Type", content_type).body(Full::new(body.into())).unwrap()
}

pub(crate) fn object(status: u16, value: &Value) -> Response<Full<Bytes>> {
    reply(status, "application/json", value.to_string())
}

pub(crate) fn failure(status: u16, reason: &str, message: &str) -> Response<Full<Bytes>> {
    object(
        status,
        &json!({ "kind": "Status", "apiVersion": "v1", "reason": reason, "message": message, "code": status }),
    )
}

pub(crate) fn version() -> Response<Full<Bytes>> {
    object(
        200,
        &json!({ "major": "1", "minor": "37", "gitVersion": "v1.37.2", "gitCommit": "", "gitTreeState": "",
        "buildDate": "", "goVersion": "", "compiler": "", "platform": "" }),
    )
}

/// A kubeconfig for a server with this CA, with a token.
pub(crate) fn kubeconfig(folder: &tempfile::TempDir, server: &str, ca: &str) -> PathBuf {
    let cluster = json!({ "server": server, "certificate-authority-data": BASE64_STANDARD.encode(ca) });
    written(folder, &cluster, &json!({ "token": "not-a-real-token" }))
}

/// A kubeconfig of this cluster and this user.
pub(crate) fn written(folder: &tempfile::TempDir, cluster: &Value, user: &Value) -> PathBuf {
    let path = folder.path().join("kubeconfig");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{ "name": "a", "cluster": cluster }],
        "users": [{ "name": "a", "user": user }],
        "contexts": [{ "name": "a", "context": { "cluster": "a", "user": "a" } }],
    });
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

/// Runs the program with this kubeconfig.
pub(crate) async fn run_with(kubeconfig: PathBuf, arguments: &[&str]) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_seaworthy"));
    command.arg("run").arg("--kubeconfig").arg(kubeconfig).args(arguments);
    command.env_remove("HTTPS_PROXY").env_remove("https_proxy");
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}
