//! Kubelets of all nodes in this process. One listener serves every loopback address; each has its own certificate.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use serde_json::json;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::objects::{address_of, name_of};
use super::pki::Pki;

/// How long /metrics of a kubelet is, in bytes.
const METRICS: usize = 150_000;
/// How many connections fill the queue of the port that is silent.
const FILLING: usize = 8;

/// What kubelets do when they are dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Manner {
    /// They answer.
    Answer,
    /// They refuse connections.
    Refuse,
    /// Nothing answers, as behind a firewall that drops packets.
    Silent,
}

/// The kubelets of all nodes.
pub(crate) struct Kubelets {
    answering: u16,
    refusing: u16,
    silent: u16,
    sent: Arc<AtomicUsize>,
    _unanswered: (TcpListener, Vec<TcpStream>),
}

impl Kubelets {
    /// Serves so many nodes until the process ends.
    pub(crate) async fn start(pki: &Pki, nodes: usize) -> io::Result<Self> {
        let (listener, unanswered) = (listen(4096)?, listen(1)?);
        // Nothing listens there any more.
        let refusing = listen(1)?.local_addr()?.port();
        let (answering, silent) = (listener.local_addr()?.port(), unanswered.local_addr()?.port());
        let sent: Arc<AtomicUsize> = Arc::default();
        // Before anything is measured: a key for each of them.
        let identities = (0..nodes).map(|node| {
            let address = address_of(node).into();
            (address, pki.of_kubelet(&name_of(node), address))
        });
        tokio::spawn(serve(listener, Arc::new(identities.collect()), Arc::clone(&sent)));
        Ok(Self { answering, refusing, silent, sent, _unanswered: (unanswered, filled(silent).await?) })
    }

    /// The port of a kubelet with this manner.
    pub(crate) fn port(&self, manner: Manner) -> u16 {
        match manner {
            Manner::Answer => self.answering,
            Manner::Refuse => self.refusing,
            Manner::Silent => self.silent,
        }
    }

    /// How many bytes they have sent.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }
}

fn listen(backlog: u32) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0))?;
    socket.listen(backlog)
}

/// Fills the queue of a port that accepts nothing, so that it answers no SYN any more.
async fn filled(port: u16) -> io::Result<Vec<TcpStream>> {
    let mut kept = Vec::new();
    for _ in 0..FILLING {
        let dialled = tokio::time::timeout(Duration::from_secs(1), TcpStream::connect((Ipv4Addr::LOCALHOST, port)));
        match dialled.await {
            Ok(stream) => kept.push(stream?),
            Err(_) => return Ok(kept),
        }
    }
    Err(io::Error::other("the port that is to be silent accepts connections"))
}

async fn serve(listener: TcpListener, identities: Arc<BTreeMap<IpAddr, Arc<ServerConfig>>>, sent: Arc<AtomicUsize>) {
    let metrics = Bytes::from(metrics());
    while let Ok((stream, _)) = listener.accept().await {
        let (identities, sent, metrics) = (identities.clone(), sent.clone(), metrics.clone());
        tokio::spawn(async move {
            let at = stream.local_addr().map(|at| at.ip());
            let Some(identity) = at.ok().and_then(|at| identities.get(&at)) else { return };
            // What does not speak TLS is closed.
            let Ok(stream) = TlsAcceptor::from(identity.clone()).accept(stream).await else { return };
            // A client that goes away is not an error of the server.
            _ = answer(stream, metrics, sent).await;
        });
    }
}

async fn answer(stream: TlsStream<TcpStream>, metrics: Bytes, sent: Arc<AtomicUsize>) -> Result<(), hyper::Error> {
    let is_known = stream.get_ref().1.peer_certificates().is_some();
    let service = service_fn(move |request: Request<Incoming>| {
        let (status, body) = if is_known {
            content(request.uri().path(), &metrics)
        } else {
            (StatusCode::UNAUTHORIZED, Bytes::from_static(b"Unauthorized"))
        };
        sent.fetch_add(body.len(), Ordering::Relaxed);
        let response = Response::builder().status(status).body(Full::new(body)).expect("the status is one");
        async move { Ok::<_, Infallible>(response) }
    });
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
}

fn content(path: &str, metrics: &Bytes) -> (StatusCode, Bytes) {
    match path {
        "/metrics" => (StatusCode::OK, metrics.clone()),
        "/configz" => (StatusCode::OK, Bytes::from(configuration().to_string())),
        "/healthz" => (StatusCode::OK, Bytes::from_static(b"ok")),
        "/pods" => (StatusCode::OK, Bytes::from_static(b"{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"items\":[]}")),
        path if path.starts_with("/containerLogs/") => (StatusCode::OK, Bytes::from_static(b"I")),
        _ => (StatusCode::NOT_FOUND, Bytes::from_static(b"404 page not found")),
    }
}

fn metrics() -> String {
    let mut text = String::from(
        "kubelet_certificate_manager_client_ttl_seconds 2.6e+07\n\
         kubelet_certificate_manager_client_expiration_renew_errors 0\n\
         process_start_time_seconds 1.79e+09\n\
         kubelet_node_name{node=\"n\"} 1\n",
    );
    for i in 0.. {
        if text.len() > METRICS {
            break;
        }
        let bucket =
            format!("kubelet_runtime_operations_duration_seconds_bucket{{operation_type=\"op{i}\",le=\"0.5\"}}");
        text += &format!("{bucket} {i}\n");
    }
    text
}

fn configuration() -> serde_json::Value {
    json!({ "kubeletconfig": {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "address": "0.0.0.0",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true, "cacheTTL": "2m0s" },
            "x509": { "clientCAFile": "/etc/kubernetes/pki/ca.crt" },
        },
        "authorization": {
            "mode": "Webhook",
            "webhook": { "cacheAuthorizedTTL": "5m0s", "cacheUnauthorizedTTL": "30s" },
        },
        "cgroupDriver": "systemd",
        "clusterDNS": ["10.96.0.10"],
        "clusterDomain": "cluster.local",
        "containerLogMaxFiles": 5,
        "containerLogMaxSize": "10Mi",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "evictionHard": { "memory.available": "100Mi", "nodefs.available": "10%", "imagefs.available": "15%" },
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": 10248,
        "makeIPTablesUtilChains": true,
        "maxPods": 110,
        "nodeLeaseDurationSeconds": 40,
        "port": 10250,
        "readOnlyPort": 0,
        "registerNode": true,
        "resolvConf": "/run/systemd/resolve/resolv.conf",
        "rotateCertificates": true,
        "staticPodPath": "/etc/kubernetes/manifests",
        "streamingConnectionIdleTimeout": "4h0m0s",
        "volumePluginDir": "/usr/libexec/kubernetes/kubelet-plugins/volume/exec/",
    } })
}
