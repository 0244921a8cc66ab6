//! `--push`: targets get the verdict, and one that misbehaves changes no verdict, loses no file and shows no secret.

#[expect(dead_code, reason = "every request is answered here, whenever it came and from whom")]
mod plain_server;
#[expect(dead_code, reason = "only its side of TLS is used here")]
mod server;

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A request that came.
#[derive(Clone, Debug)]
struct Received {
    method: String,
    path: String,
    authorization: String,
    body: String,
}

/// A server that answers with these statuses, one after the other and then with the last; 0 is no answer at all.
#[derive(Clone)]
struct Target {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Target {
    async fn new(statuses: &'static [u16]) -> Self {
        Self::start(statuses, None).await
    }

    async fn with_tls(statuses: &'static [u16], config: Arc<rustls::ServerConfig>) -> Self {
        Self::start(statuses, Some(TlsAcceptor::from(config))).await
    }

    async fn start(statuses: &'static [u16], tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Self { address: listener.local_addr().unwrap(), received: Arc::default() };
        let of_the_server = target.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (target, tls) = (of_the_server.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => target.answer(stream, statuses).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                target.answer(stream, statuses).await;
                            }
                        }
                    }
                });
            }
        });
        target
    }

    async fn answer(&self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static, statuses: &'static [u16]) {
        let service = service_fn(|request: Request<Incoming>| async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let authorization = head.headers.get("Authorization").map_or("", |value| value.to_str().unwrap());
            let turn = {
                let mut received = self.received.lock().unwrap();
                received.push(Received {
                    method: head.method.to_string(),
                    path: head.uri.to_string(),
                    authorization: authorization.to_owned(),
                    body: String::from_utf8(body.to_vec()).unwrap(),
                });
                received.len() - 1
            };
            let status = *statuses.get(turn).or(statuses.last()).unwrap();
            if status == 0 {
                std::future::pending::<()>().await;
            }
            // Where a redirect leads to: this server, so that it would see who follows.
            let answer = Response::builder().status(status).header("Location", "/elsewhere");
            Ok::<_, Infallible>(answer.body(Full::new(Bytes::from_static(b"an answer"))).unwrap())
        });
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

/// What became of a run of the example, whose verdict is 1; or of the part of it whose verdict is 0.
struct Done {
    folder: TempDir,
    output: Output,
    took: Duration,
}

impl Done {
    fn code(&self) -> i32 {
        self.output.status.code().unwrap()
    }

    fn said(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }

    /// Everything that the run wrote, wherever.
    fn all(&self) -> String {
        let mut all = self.said() + &String::from_utf8_lossy(&self.output.stdout);
        for name in ["r.json", "r.xml", "r.jsonl"] {
            all += &self.file(name);
        }
        all
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// One warning that names the server and the reason, all files, and the same verdict as without the target.
    #[track_caller]
    fn is_undelivered(&self, code: i32, why: &str) {
        let said = self.said();
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("did not get the verdict") && said.contains(why), "{said}");
        assert_eq!(self.code(), code, "{said}");
        let verdicts: Value = serde_json::from_str(&self.file("r.json")).unwrap();
        assert_eq!(verdicts["exit_code"], 1);
        assert!(self.file("r.xml").contains("</testsuites>"));
        assert!(self.file("r.jsonl").contains("run-finished"));
        assert!(self.took < Duration::from_secs(25), "{:?}", self.took);
    }
}

async fn seaworthy(folder: TempDir, arguments: Vec<String>) -> Done {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_seaworthy"));
    command.current_dir(folder.path()).args(arguments);
    let began = Instant::now();
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    Done { folder, output, took: began.elapsed() }
}

async fn run(flags: &[&str]) -> Done {
    run_in(tempfile::tempdir().unwrap(), flags).await
}

async fn run_in(folder: TempDir, flags: &[&str]) -> Done {
    let files = ["run", "--example", "--json", "r.json", "--junit", "r.xml", "--events", "r.jsonl"];
    seaworthy(folder, files.iter().chain(flags).map(ToString::to_string).collect()).await
}

fn written(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

#[tokio::test]
async fn a_webhook_gets_the_json_with_the_token() {
    let target = Target::new(&[200]).await;
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), "token", "example-token-0123456789\n");
    let hook = format!("{}/T0/B0?key=k3y", target.url());
    let done = run_in(folder, &["--push", &hook, "--push-token-file", "token"]).await;
    assert_eq!((done.code(), done.said().as_str()), (1, ""));
    let [request] = target.received().try_into().unwrap();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/T0/B0?key=k3y"));
    assert_eq!(request.authorization, "Bearer example-token-0123456789");
    assert_eq!(request.body, done.file("r.json"), "the same bytes as in the file");
    assert!(!done.all().contains("example-token") && !done.all().contains("k3y"));
}

#[tokio::test]
async fn a_stream_is_sent_later() {
    let target = Target::new(&[204]).await;
    let before = run(&[]).await;
    let (json, folder) = (before.file("r.json"), before.folder);
    let arguments = ["report", "r.jsonl", "--push", &target.url()].map(ToOwned::to_owned);
    let done = seaworthy(folder, arguments.into()).await;
    assert_eq!((done.code(), target.received()[0].body.as_str()), (0, json.as_str()));
    let arguments = ["report", "r.jsonl", "--push", "http://127.0.0.1:1"].map(ToOwned::to_owned);
    assert_eq!(seaworthy(done.folder, arguments.into()).await.code(), 5);
}

#[tokio::test]
async fn prometheus_programs_are_asked_at_their_paths() {
    let target = Target::new(&[200]).await;
    let gateway = format!("pushgateway+{}", target.url());
    let alerts = format!("alertmanager+{}/am", target.url());
    let done = run(&["--push", &gateway, "--push", &alerts, "--report", "openmetrics=r.prom"]).await;
    assert_eq!((done.code(), done.said().as_str()), (1, ""));
    let received = target.received();
    let pushed = received.iter().find(|request| request.method == "PUT").unwrap();
    assert!(pushed.path.starts_with("/metrics/job/seaworthy/cluster@base64/"), "{}", pushed.path);
    assert_eq!(pushed.body.lines().count(), done.file("r.prom").lines().count());
    let posted = received.iter().find(|request| request.method == "POST").unwrap();
    assert_eq!(posted.path, "/am/api/v2/alerts");
    let posted: Value = serde_json::from_str(&posted.body).unwrap();
    assert!(posted.as_array().unwrap().iter().any(|alert| alert["labels"]["alertname"] == "SeaworthyCheckFails"));
}

#[tokio::test]
async fn a_target_that_recovers_gets_the_verdict() {
    let target = Target::new(&[503, 429, 200]).await;
    let done = run(&["--push", &target.url()]).await;
    assert_eq!((done.code(), done.said().as_str(), target.received().len()), (1, "", 3));
}

#[tokio::test]
async fn a_target_that_fails_is_asked_three_times() {
    let target = Target::new(&[500]).await;
    run(&["--push", &target.url()]).await.is_undelivered(1, "HTTP 500 (3 attempts)");
    assert_eq!(target.received().len(), 3);
}

#[tokio::test]
async fn a_target_that_refuses_is_asked_once() {
    let target = Target::new(&[401]).await;
    run(&["--push", &target.url()]).await.is_undelivered(1, "HTTP 401");
    assert_eq!(target.received().len(), 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Target::new(&[307]).await;
    run(&["--push", &target.url()]).await.is_undelivered(1, "HTTP 307, a redirect");
    assert_eq!(target.received().len(), 1);
}

#[tokio::test]
async fn a_target_that_hangs_has_a_deadline_and_delays_no_other() {
    let (hangs, works) = (Target::new(&[0]).await, Target::new(&[200]).await);
    let done = run(&["--push", &hangs.url(), "--push", &works.url()]).await;
    done.is_undelivered(1, "no answer within");
    assert_eq!(works.received().len(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let done = run(&["--push", "http://127.0.0.1:1/secret-path"]).await;
    done.is_undelivered(1, "the webhook at http://127.0.0.1:1 ");
    assert!(!done.all().contains("secret-path"));
}

#[tokio::test]
async fn a_server_whose_certificate_is_not_trusted_gets_nothing() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (ca, own) = (params.self_signed(&key).unwrap(), KeyPair::generate().unwrap());
    let leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&own, &Issuer::from_params(&params, &key)).unwrap();
    let target = Target::with_tls(&[200], server::presents(leaf.into(), &own)).await;
    let url = format!("https://{}", target.address);
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), "ca.pem", &ca.pem());
    written(folder.path(), "token", "example-token-0123456789");
    let trusting = ["--push", &url, "--push-token-file", "token", "--push-ca", "ca.pem"];
    let done = run_in(folder, &trusting[..4]).await;
    done.is_undelivered(1, "certificate");
    assert_eq!(target.received().len(), 0);
    let done = run_in(done.folder, &trusting).await;
    assert_eq!((done.code(), done.said().as_str(), target.received().len()), (1, "", 1));
}

#[tokio::test]
async fn a_server_without_tls_behind_https_is_undelivered() {
    let target = Target::new(&[200]).await;
    let url = format!("https://{}", target.address);
    run(&["--push", &url]).await.is_undelivered(1, "(3 attempts)");
    assert_eq!(target.received().len(), 0);
}

#[tokio::test]
async fn only_a_verdict_of_0_becomes_5() {
    let select = ["--select", "CP-05"];
    let done = run(&select).await;
    assert_eq!(done.code(), 0, "{}", done.said());
    let done = run(&[&select, ["--push", "http://127.0.0.1:1"].as_slice()].concat()).await;
    assert_eq!(done.code(), 5);
    let verdicts: Value = serde_json::from_str(&done.file("r.json")).unwrap();
    assert_eq!(verdicts["exit_code"], 0, "the verdict is what it was");
}

#[tokio::test]
async fn a_user_and_password_are_sent_and_never_shown() {
    let target = Target::new(&[403]).await;
    let url = format!("http://jane:hunter2@{}/x", target.address);
    let done = run(&["--push", &url]).await;
    done.is_undelivered(1, "HTTP 403");
    assert_eq!(target.received()[0].authorization, "Basic amFuZTpodW50ZXIy");
    assert!(!done.all().contains("hunter2") && !done.all().contains("jane"));
}

/// It has a cluster, and nothing else: no fact of it can be seen.
#[tokio::test]
async fn a_cluster_gets_its_own_report() {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let came = asked.clone();
    let url = plain_server::serve(move |plain_server::Asked { path, .. }| {
        came.lock().unwrap().push(path.clone());
        match path.as_str() {
            "/version" => plain_server::Answer::version(),
            path if path.starts_with("/apis/openreports.io/v1alpha1/clusterreports/") => {
                plain_server::Answer::object(&serde_json::json!({
                    "apiVersion": "openreports.io/v1alpha1", "kind": "ClusterReport", "metadata": { "name": "x" },
                }))
            }
            _ => plain_server::Answer::not_found(),
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let mut command = plain_server::run(folder.path(), &url, &["--select", "KL-01", "--push", "openreports"]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("did not get the verdict"), "{said}");
    let name = "/apis/openreports.io/v1alpha1/clusterreports/seaworthy-a-audit?fieldManager=seaworthy&force=true";
    assert_eq!(asked.lock().unwrap().iter().filter(|path| *path == name).count(), 1);
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_before_the_run() {
    for (flags, says) in [
        (vec!["--push", "jane:hunter2@example.test"], "--push, number 1: write https://"),
        (vec!["--push", "http://jane:hunter2@example.test"], "sent only by https"),
        (vec!["--push", "https://a.test", "--push-token-file", "missing"], "--push-token-file missing: cannot be read"),
        (vec!["--push", "https://a.test", "--push-ca", "r.txt"], "--push-ca r.txt: "),
        (vec!["--push-token-file", "r.txt"], "--push"),
        (vec!["--push", "openreports"], "--push openreports needs a run on a cluster"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), "r.txt", "hunter2 is no certificate");
        let done = run_in(folder, &flags).await;
        assert_eq!(done.code(), 2, "{flags:?}: {}", done.said());
        assert!(done.said().contains(says) && !done.said().contains("hunter2"), "{flags:?}: {}", done.said());
        assert!(!done.folder.path().join("r.json").exists(), "a wrong command line touches no file");
    }
}
