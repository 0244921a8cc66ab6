//! The proxy that injects faults into whole runs (`tests/weather.rs`): each fault happens, is counted, and follows from the seed.

#[expect(dead_code, reason = "whole runs count checks and their reasons")]
mod compared;
#[expect(dead_code, reason = "whole runs choose among faults")]
mod injector;
#[expect(dead_code, reason = "only some of its servers are used here")]
mod server;

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use compared::Calm;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use injector::{Fault, Identity, Injector, Origin, Weather};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use seaworthy::check::{Judged, Outcome};
use serde_json::{Value, json};

/// A list, and a page of one.
const LIST: &str = "/api/v1/pods?limit=500";
const NEXT: &str = "/api/v1/pods?limit=500&continue=x";
const LOG: &str = "/api/v1/namespaces/a/pods/b/log?follow=true";
/// What is written, and how often it was.
const WRITE: &str = "/api/v1/namespaces/a/secrets/";
static WRITTEN: AtomicUsize = AtomicUsize::new(0);
/// How long a log is, in bytes.
const LONG: usize = 8 << 20;

/// What the API server behind the proxy answers: what it was asked, or a long log.
fn mirror(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path().starts_with(WRITE) {
        WRITTEN.fetch_add(1, Ordering::Relaxed);
    }
    if request.uri().path().ends_with("/log") {
        return server::reply(200, "text/plain", vec![b'.'; LONG]);
    }
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let answer = json!({ "kind": "PodList", "path": request.uri().to_string(), "as": header("impersonate-user") });
    server::object(200, &answer)
}

/// A CA, with the server behind the proxy and its administrator.
struct World {
    authority: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
    origin: Arc<Origin>,
}

impl World {
    async fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "kubernetes");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let (certificate, key) = leaf(&issuer, "kubernetes", ExtendedKeyUsagePurpose::ServerAuth);
        let address = server::serve(&[server::presents(certificate.der().clone(), &key)], mirror).await;
        let identity = |(certificate, key): (rcgen::Certificate, KeyPair)| Identity {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        };
        let administrator = identity(leaf(&issuer, "kubernetes-admin", ExtendedKeyUsagePurpose::ClientAuth));
        let origin = Origin::new(address, vec![authority.der().clone()], identity((certificate, key)), administrator);
        Self { authority, issuer, origin: Arc::new(origin.unwrap()) }
    }

    async fn proxy(&self, percent: u32, faults: &[Fault]) -> (Injector, reqwest::Client) {
        self.in_weather(Weather { seed: 7, percent, faults: faults.to_vec(), spares_version: false }).await
    }

    async fn in_weather(&self, weather: Weather) -> (Injector, reqwest::Client) {
        let injector = Injector::start(self.origin.clone(), weather).await.unwrap();
        (injector, self.client(None))
    }

    /// A client, perhaps with a certificate for this user.
    fn client(&self, user: Option<&str>) -> reqwest::Client {
        let authority = reqwest::Certificate::from_pem(self.authority.pem().as_bytes()).unwrap();
        let mut builder = reqwest::Client::builder().tls_certs_only([authority]).no_proxy();
        if let Some(user) = user {
            let (certificate, key) = leaf(&self.issuer, user, ExtendedKeyUsagePurpose::ClientAuth);
            let pem = certificate.pem() + &key.serialize_pem();
            builder = builder.identity(reqwest::Identity::from_pem(pem.as_bytes()).unwrap());
        }
        builder.build().unwrap()
    }
}

fn leaf(issuer: &Issuer<'_, KeyPair>, name: &str, usage: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![usage];
    (params.signed_by(&key, issuer).unwrap(), key)
}

/// The status, the headers and the body of an answer; or how it broke.
async fn get(client: &reqwest::Client, injector: &Injector, path: &str) -> Result<(u16, String, String), String> {
    // As kube sends it. reqwest decompresses nothing here.
    let request = client.get(format!("https://{}{path}", injector.address)).header("accept-encoding", "gzip");
    let answer = async {
        let response = request.timeout(Duration::from_secs(30)).send().await?;
        let (status, headers) = (response.status().as_u16(), format!("{:?}", response.headers()));
        let body = response.bytes().await?;
        Ok::<_, reqwest::Error>((status, headers, String::from_utf8_lossy(&body).into_owned()))
    };
    answer.await.map_err(|why| format!("{why:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_faults_an_answer_is_as_it_was() {
    let world = World::new().await;
    let (injector, client) = world.in_weather(Weather::calm()).await;
    for _ in 0..3 {
        let (status, _, body) = get(&client, &injector, LIST).await.unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        // Small clusters have several pages as well.
        assert_eq!((status, &body["path"], &body["as"]), (200, &json!("/api/v1/pods?limit=7"), &Value::Null));
    }
    let (_, _, body) = get(&world.client(Some("system:node:n1")), &injector, LIST).await.unwrap();
    assert!(body.contains(r#""as":"system:node:n1""#), "{body}");
    assert_eq!((injector.counts().len(), injector.failures()), (0, Vec::new()));
}

/// Asks with this fault alone; it must have been injected exactly as often.
async fn one(world: &World, fault: Fault, path: &str) -> Result<(u16, String, String), String> {
    let (injector, client) = world.proxy(100, &[fault]).await;
    let seen = get(&client, &injector, path).await;
    assert_eq!(injector.counts(), [(fault, 1)].into(), "{seen:?}");
    assert_eq!(injector.failures(), Vec::<String>::new());
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_happens() {
    let world = World::new().await;
    for fault in Fault::ALL {
        let began = Instant::now();
        match fault {
            Fault::Delay => {
                assert_eq!(one(&world, fault, LIST).await.unwrap().0, 200);
                assert!(began.elapsed() >= Duration::from_millis(100));
            }
            Fault::Reset | Fault::ResetLate => {
                let why = one(&world, fault, LIST).await.unwrap_err();
                assert!(why.contains("ConnectionReset"), "{why}");
            }
            Fault::Closed => {
                let why = one(&world, fault, LIST).await.unwrap_err();
                assert!(!why.contains("ConnectionReset"), "{why}");
            }
            Fault::Truncated => assert!(one(&world, fault, LIST).await.unwrap_err().contains("Body")),
            Fault::TooManyRequests => {
                let (status, headers, _) = one(&world, fault, LIST).await.unwrap();
                assert!(status == 429 && headers.contains(r#""retry-after": "1""#), "{headers}");
            }
            Fault::InternalError => assert_eq!(one(&world, fault, LIST).await.unwrap().0, 500),
            Fault::BadGateway => assert_eq!(one(&world, fault, LIST).await.unwrap().0, 502),
            Fault::Unavailable => assert_eq!(one(&world, fault, LIST).await.unwrap().0, 503),
            Fault::GatewayTimeout => assert_eq!(one(&world, fault, LIST).await.unwrap().0, 504),
            Fault::Html => {
                let (status, headers, body) = one(&world, fault, LIST).await.unwrap();
                assert!(status == 200 && headers.contains("text/html") && body.starts_with("<html>"), "{body}");
            }
            Fault::HalfJson => {
                let (status, _, body) = one(&world, fault, LIST).await.unwrap();
                assert!(status == 200 && serde_json::from_str::<Value>(&body).is_err(), "{body}");
            }
            Fault::Large => assert_eq!(one(&world, fault, LIST).await.unwrap().2.trim_end().len(), 56),
            Fault::Bomb => {
                let (_, headers, body) = one(&world, fault, LIST).await.unwrap();
                assert!(headers.contains("gzip") && body.len() < 1 << 20, "{headers} {}", body.len());
            }
            Fault::Expired => {
                let (status, _, body) = one(&world, fault, NEXT).await.unwrap();
                assert!(status == 410 && body.contains(r#""reason":"Expired""#), "{body}");
            }
            Fault::PageNotFound => assert_eq!(one(&world, fault, LIST).await.unwrap().0, 404),
            Fault::FailureAsSuccess => {
                let (status, _, body) = one(&world, fault, LIST).await.unwrap();
                assert!(status == 200 && body.contains(r#""kind":"Status""#), "{body}");
            }
            Fault::WrongDate => assert!(one(&world, fault, LIST).await.unwrap().1.contains("2036")),
            // Each has a test of its own.
            Fault::ClosedAfter | Fault::Drip | Fault::WatchEnded | Fault::Dropped => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_drips_is_late() {
    let world = World::new().await;
    let (injector, client) = world.proxy(100, &[Fault::Drip]).await;
    let late = tokio::time::timeout(Duration::from_secs(1), get(&client, &injector, LIST)).await;
    assert!(late.is_err(), "{late:?}");
    assert_eq!(injector.counts(), [(Fault::Drip, 1)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_closed_after_an_answer_that_does_not_announce_it() {
    let world = World::new().await;
    let (injector, client) = world.proxy(100, &[Fault::ClosedAfter]).await;
    for times in 1..4 {
        let (status, headers, body) = get(&client, &injector, LIST).await.unwrap();
        assert!(status == 200 && !headers.contains("close"), "{headers}");
        assert!(serde_json::from_str::<Value>(&body).is_ok());
        assert_eq!(injector.counts(), [(Fault::ClosedAfter, times)].into());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_of_the_connections_are_dropped() {
    let world = World::new().await;
    let (injector, _) = world.proxy(50, &[Fault::Dropped]).await;
    let mut answered = 0;
    for _ in 0..6 {
        answered += usize::from(get(&world.client(None), &injector, LIST).await.is_ok());
    }
    // A client may connect again by itself.
    assert!(answered >= 3 && injector.counts()[&Fault::Dropped] >= 3, "{answered} {:?}", injector.counts());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_or_breaks_after_its_first_piece() {
    let world = World::new().await;
    let (_, _, body) = one(&world, Fault::WatchEnded, LOG).await.unwrap();
    assert!((1..LONG).contains(&body.len()), "{}", body.len());
    assert!(one(&world, Fault::Truncated, LOG).await.unwrap_err().contains("Body"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_may_be_carried_out_without_a_right_answer() {
    let world = World::new().await;
    let (injector, client) = world.proxy(100, &[Fault::Html, Fault::BadGateway]).await;
    for i in 0..20 {
        let url = format!("https://{}{WRITE}{i}", injector.address);
        let answer = client.post(url).body("{}").send().await.unwrap();
        assert!(answer.text().await.unwrap().starts_with("<html>"));
    }
    let carried_out = WRITTEN.load(Ordering::Relaxed);
    assert!((1..20).contains(&carried_out), "{carried_out} of 20");
    get(&client, &injector, WRITE).await.unwrap();
    assert_eq!(WRITTEN.load(Ordering::Relaxed), carried_out, "what is only read is not passed on");
}

#[test]
fn a_bomb_is_small_until_it_is_decompressed() {
    let bomb = injector::answer::bomb_of(b"{}", 8);
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(&bomb[..]).read_to_end(&mut out).unwrap();
    assert_eq!((out.len(), &out[..3]), ((8 << 20) + 2, &b"{} "[..]));
    assert!(bomb.len() < 16 << 10, "{}", bomb.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_gives_the_same_faults_in_any_order() {
    let world = World::new().await;
    let paths: Vec<_> = (0..40).map(|i| format!("/api/v1/namespaces/seaworthy-bcd4{i:x}/pods/p{}", i % 10)).collect();
    let faults = [Fault::InternalError, Fault::BadGateway, Fault::Html];
    let mut seen = Vec::new();
    for backwards in [false, true] {
        let (injector, client) = world.proxy(50, &faults).await;
        let mut statuses = std::collections::BTreeMap::<_, Vec<_>>::new();
        for at in 0..paths.len() {
            // The ids of runs differ, and requests of one kind stay in their order.
            let path = &paths[if backwards { at / 10 * 10 + 9 - at % 10 } else { at }];
            let (status, ..) = get(&client, &injector, path).await.unwrap();
            statuses.entry(path.rsplit('/').next().unwrap().to_owned()).or_default().push(status);
        }
        let injected: usize = injector.counts().values().sum();
        assert!((10..30).contains(&injected), "{injected} of {}", paths.len());
        seen.push(statuses);
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_for_the_version_can_be_spared() {
    let world = World::new().await;
    let weather = Weather { seed: 1, percent: 100, faults: vec![Fault::BadGateway], spares_version: true };
    let (injector, client) = world.in_weather(weather).await;
    assert_eq!(get(&client, &injector, "/version").await.unwrap().0, 200);
    assert_eq!(get(&client, &injector, LIST).await.unwrap().0, 502);
}

/// A check as a run reports it.
fn judged(outcome: Outcome, findings: &[(&str, &str)], unseen: &[&str]) -> Vec<Judged> {
    let findings: Vec<_> = findings
        .iter()
        .map(|(subject, expected)| {
            json!({ "subjects": [{ "kind": "Node", "name": subject }], "expected": expected, "seen": "something else",
                "fix": "fix it", "severity": "major" })
        })
        .collect();
    let unseen: Vec<_> = unseen.iter().map(|why| json!({ "why": why })).collect();
    let check = json!({ "id": "XX-01", "name": "x", "suite": "x", "title": "x", "severity": "major",
        "outcome": outcome, "observations": 1, "findings": findings, "unseen": unseen, "reason": "a reason" });
    vec![serde_json::from_value(check).unwrap()]
}

#[test]
fn what_a_run_claims_only_because_of_faults_is_wrong() {
    let failing = Calm::of(&[judged(Outcome::Fail, &[("n1", "7 days left"), ("n2", "7 days left")], &[])]);
    let passing = Calm::of(&[judged(Outcome::Pass, &[], &[]), judged(Outcome::Pass, &[], &[])]);
    let n1 = ("n1", "5 days left");
    for (calm, run, wrong) in [
        (&failing, judged(Outcome::Pass, &[], &[]), Some("it is pass (a reason), but fail without faults")),
        (&failing, judged(Outcome::Skip, &[], &[]), Some("it is skip (a reason), but fail without faults")),
        (&passing, judged(Outcome::Skip, &[], &[]), Some("it is skip (a reason), but pass without faults")),
        (
            &passing,
            judged(Outcome::Fail, &[n1], &[]),
            Some("this finding does not exist without faults: Node n1: _ days left; seen: something else"),
        ),
        (
            &passing,
            judged(Outcome::Blocked, &[n1], &[]),
            Some("this finding does not exist without faults: Node n1: _ days left; seen: something else"),
        ),
        (&passing, judged(Outcome::Error, &[], &["HTTP 503"]), None),
        (&failing, judged(Outcome::Fail, &[n1], &["HTTP 503"]), None),
    ] {
        let wrong = Vec::from_iter(wrong.map(|wrong| format!("XX-01: {wrong}")));
        assert_eq!(calm.wrong(&run), wrong, "{run:?}");
    }
    assert_eq!(passing.wrong(&[]), ["XX-01: it is not reported"]);
    assert_eq!(passing.lost(&judged(Outcome::Blocked, &[], &["HTTP 503"])), ["XX-01"]);
    assert_eq!(passing.lost(&judged(Outcome::Pass, &[], &[])), [""; 0]);
}

#[test]
fn a_finding_that_goes_missing_is_wrong() {
    let failing = Calm::of(&[judged(Outcome::Fail, &[("n1", "present"), ("n2", "present")], &[])]);
    let seen = judged(Outcome::Fail, &[("n1", "present")], &[]);
    assert_eq!(failing.wrong(&seen), ["XX-01: this finding is missing, and nothing is inconclusive: Node n2: present"]);
    assert_eq!(failing.wrong(&judged(Outcome::Fail, &[("n1", "present")], &["HTTP 503"])), [""; 0]);
}
