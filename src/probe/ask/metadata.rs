//! The metadata servers of clouds, as any pod on an instance can reach them.
//!
//! Nothing is asked for that would be a credential. Statuses and the names of accounts are kept; the token of a session
//! is sent back once, and goes nowhere else.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use http::header::HeaderValue;
use http::{Method, Request};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::asker::Asker;
use super::http::{Strangers, body, http_fault};
use super::{Ask, whole};
use crate::ports;
use crate::probe::fault::{Fault, Got};

/// How long one of these may take: all of them answer from within the machine.
const DEADLINE: Duration = Duration::from_secs(1);
/// How long all about one server may take: a connection, and up to three requests one after the other.
const WHOLE: Duration = Duration::from_secs(4);
/// How long a session lasts, in seconds: the least that outlasts the one request which is made in it.
const SESSION: &str = "2";
/// The most that is read of an answer, in bytes.
const LIMIT: usize = 4096;
/// How many accounts are named.
const NAMES: usize = 5;
/// The longest name of an account.
const NAME: usize = 120;

/// What the answer about a server that serves pods adds to a message, in bytes; about one that is closed, a third.
const SIZE: usize = 120;

/// The metadata servers of cloud instances, by their addresses.
pub struct MetadataServers;

/// A metadata server of a cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataQuestion {
    /// Its address.
    pub at: SocketAddr,
    /// Whether to ask what it serves, and not only whether it is open.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requests: bool,
}

/// A metadata server that accepts connections of the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetadataAnswer {
    /// It was not asked anything.
    Open,
    /// What it serves.
    Serves(Metadata),
}

/// What such a server answers to the requests of several clouds' clients. No credential is asked for, and no token is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// AWS, version 1: the status of a request for the names of the metadata.
    pub aws: Got<u16>,
    /// AWS, version 2: whether a session is given, and what it opens.
    pub aws_session: Got<AwsSession>,
    /// Google: the accounts that can be acted as.
    pub google: Got<GoogleAccounts>,
    /// Azure: the status of a request for the description of the instance.
    pub azure: Got<u16>,
}

/// A session at AWS's server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsSession {
    /// The status of the request for one.
    pub status: u16,
    /// Whether the instance has a role, as a client with a session learns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Got<bool>>,
}

/// The accounts that Google's server names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoogleAccounts {
    /// The status of the request.
    pub status: u16,
    /// Their names, which look like addresses of mail; the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

impl Ask for MetadataServers {
    type Question = Vec<MetadataQuestion>;
    type Answer = BTreeMap<SocketAddr, Got<MetadataAnswer>>;

    fn parts(question: &Self::Question) -> Vec<(usize, Self::Question)> {
        // All of them are asked after the same control.
        whole(question, question.len() * SIZE)
    }

    /// Asks every server, once the pod's network is seen to work: before, everything is closed.
    async fn ask(question: &Self::Question, asker: &Asker) -> Self::Answer {
        if !question.is_empty() {
            let kubelets =
                asker.node_addresses.iter().map(|ip| timeout(DEADLINE, TcpStream::connect((*ip, ports::KUBELET))));
            // A kubelet that stays closed is another topic's.
            drop(join_all(kubelets).await);
        }
        let answers = question.iter().map(async |question| {
            let asking = async { one(question, asker.strangers.as_ref().map_err(Clone::clone)).await };
            (question.at, asker.terms.within(WHOLE, asking).await)
        });
        join_all(answers).await.into_iter().collect()
    }
}

async fn one(question: &MetadataQuestion, strangers: Got<&Strangers>) -> Got<MetadataAnswer> {
    let at = question.at;
    let connected = timeout(DEADLINE, TcpStream::connect(at)).await.map_err(|_| Fault::TimedOut)?;
    drop(connected.map_err(closed)?);
    if !question.requests {
        return Ok(MetadataAnswer::Open);
    }
    let strangers = strangers?;
    let (aws, aws_session, google, azure) = tokio::join!(
        status(strangers, at, "/latest/meta-data/", None),
        aws_session(strangers, at),
        google(strangers, at),
        status(strangers, at, "/metadata/instance?api-version=2021-02-01", Some(("Metadata", "true"))),
    );
    Ok(MetadataAnswer::Serves(Metadata { aws, aws_session, google, azure }))
}

/// Why no connection could be made. A pod without addresses of the family has no route there.
fn closed(error: io::Error) -> Fault {
    match Errno::from_io_error(&error) {
        Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => Fault::NoRoute,
        Some(Errno::ACCESS | Errno::PERM) => Fault::Refused,
        _ => error.into(),
    }
}

async fn send(
    strangers: &Strangers,
    at: SocketAddr,
    (method, path): (Method, &str),
    header: Option<(&str, HeaderValue)>,
) -> Got<reqwest::Response> {
    let mut request = Request::builder().method(method).uri(format!("http://{at}{path}"));
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let request = request.body(()).map_err(|e| Fault::Other(e.to_string()))?;
    strangers.response(request, DEADLINE).await
}

async fn status(
    strangers: &Strangers,
    at: SocketAddr,
    path: &str,
    header: Option<(&'static str, &'static str)>,
) -> Got<u16> {
    let header = header.map(|(name, value)| (name, HeaderValue::from_static(value)));
    Ok(send(strangers, at, (Method::GET, path), header).await?.status().as_u16())
}

/// Asks for a session, and in it whether there is a role.
async fn aws_session(strangers: &Strangers, at: SocketAddr) -> Got<AwsSession> {
    let lifetime = ("x-aws-ec2-metadata-token-ttl-seconds", HeaderValue::from_static(SESSION));
    let response = send(strangers, at, (Method::PUT, "/latest/api/token"), Some(lifetime)).await?;
    let status = response.status().as_u16();
    let role = if status == 200 { Some(aws_role(strangers, at, response).await) } else { None };
    Ok(AwsSession { status, role })
}

/// Whether the instance has a role; its name is not kept.
async fn aws_role(strangers: &Strangers, at: SocketAddr, session: reqwest::Response) -> Got<bool> {
    let token = body(session, LIMIT).await?;
    // The reason would quote the token.
    let token =
        HeaderValue::from_str(token.trim()).map_err(|_| Fault::Other("this is not the token of a session".into()));
    let mut token = token?;
    token.set_sensitive(true);
    let in_session = Some(("x-aws-ec2-metadata-token", token));
    let path = "/latest/meta-data/iam/security-credentials/";
    let mut response = send(strangers, at, (Method::GET, path), in_session).await?;
    match response.status().as_u16() {
        200 => loop {
            match response.chunk().await.map_err(|e| http_fault(&e))? {
                Some(chunk) if chunk.iter().all(u8::is_ascii_whitespace) => {}
                content => return Ok(content.is_some()),
            }
        },
        404 => Ok(false),
        other => Err(Fault::Other(format!("HTTP {other}"))),
    }
}

async fn google(strangers: &Strangers, at: SocketAddr) -> Got<GoogleAccounts> {
    let header = ("metadata-flavor", HeaderValue::from_static("Google"));
    let path = "/computeMetadata/v1/instance/service-accounts/";
    let response = send(strangers, at, (Method::GET, path), Some(header)).await?;
    let status = response.status().as_u16();
    let names = if status == 200 { accounts(&body(response, LIMIT).await?)? } else { Vec::new() };
    Ok(GoogleAccounts { status, names })
}

/// The first accounts of a list, which also names one of them `default`.
fn accounts(list: &str) -> Got<Vec<String>> {
    let names = list.lines().map(|line| line.trim().trim_end_matches('/')).filter(|name| !name.is_empty());
    let is_name = |name: &str| {
        name.len() <= NAME && name.chars().all(|c| c.is_ascii_alphanumeric() || ['@', '.', '-', '_', ':'].contains(&c))
    };
    let mut accounts = Vec::new();
    for name in names {
        if !is_name(name) {
            return Err(Fault::Stranger("this is not a list of accounts".into()));
        }
        if name != "default" && accounts.len() < NAMES {
            accounts.push(name.to_owned());
        }
    }
    Ok(accounts)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::net::TcpListener;

    use super::*;

    type Requests = Arc<Mutex<Vec<Request<()>>>>;

    /// A server that answers by method and path, and the requests that it gets.
    async fn server(answer: fn(&Request<()>) -> (u16, &'static str)) -> (SocketAddr, Requests) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let requests = Requests::default();
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let seen = Arc::clone(&seen);
                let respond = service_fn(move |request: Request<Incoming>| {
                    let request = request.map(drop);
                    let (status, body) = answer(&request);
                    seen.lock().unwrap().push(request);
                    let response = http::Response::builder().status(status).body(body.to_owned()).unwrap();
                    async { Ok::<_, Infallible>(response) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), respond),
                );
            }
        });
        (at, requests)
    }

    async fn asked(at: SocketAddr) -> Got<MetadataAnswer> {
        one(
            &MetadataQuestion { at, requests: true },
            Strangers::unpooled(Duration::from_secs(4)).as_ref().map_err(Clone::clone),
        )
        .await
    }

    async fn served(answer: fn(&Request<()>) -> (u16, &'static str)) -> (Metadata, Requests) {
        let (at, requests) = server(answer).await;
        match asked(at).await {
            Ok(MetadataAnswer::Serves(metadata)) => (metadata, requests),
            other => panic!("{other:?}"),
        }
    }

    fn aws(request: &Request<()>) -> (u16, &'static str) {
        let token = request.headers().get("x-aws-ec2-metadata-token");
        match (request.method().as_str(), request.uri().path()) {
            ("PUT", "/latest/api/token") if request.headers()["x-aws-ec2-metadata-token-ttl-seconds"] == "2" => {
                (200, "c2VjcmV0")
            }
            ("GET", "/latest/meta-data/iam/security-credentials/")
                if token.is_some_and(|token| token == "c2VjcmV0") =>
            {
                (200, "node-role\n")
            }
            ("GET", path) if path.starts_with("/latest/") => (401, ""),
            _ => (404, ""),
        }
    }

    #[tokio::test]
    async fn a_session_shows_whether_there_is_a_role_and_nothing_more_is_asked_or_kept() {
        let (metadata, requests) = served(aws).await;
        assert_eq!(metadata.aws_session, Ok(AwsSession { status: 200, role: Some(Ok(true)) }));
        assert_eq!((&metadata.aws, &metadata.azure), (&Ok(401), &Ok(404)));
        let kept = serde_json::to_string(&metadata).unwrap() + &format!("{metadata:?}");
        assert!(!kept.contains("c2VjcmV0") && !kept.contains("node-role"), "{kept}");
        let requests = requests.lock().unwrap();
        let mut paths: Vec<_> =
            requests.iter().map(|request| format!("{} {}", request.method(), request.uri())).collect();
        paths.sort();
        assert_eq!(
            paths,
            [
                "GET /computeMetadata/v1/instance/service-accounts/",
                "GET /latest/meta-data/",
                "GET /latest/meta-data/iam/security-credentials/",
                "GET /metadata/instance?api-version=2021-02-01",
                "PUT /latest/api/token",
            ]
        );
        // Azure's server refuses requests that were forwarded.
        assert!(requests.iter().all(|request| !request.headers().contains_key("x-forwarded-for")));
    }

    #[tokio::test]
    async fn an_instance_without_a_role_is_recognised() {
        let (metadata, _) =
            served(|request| if request.method() == Method::PUT { (200, "t") } else { (404, "") }).await;
        assert_eq!(metadata.aws_session, Ok(AwsSession { status: 200, role: Some(Ok(false)) }));
        let (metadata, _) =
            served(|request| if request.method() == Method::PUT { (200, "t\u{1}") } else { (200, "") }).await;
        let unknown = metadata.aws_session.unwrap().role.unwrap().unwrap_err();
        assert_eq!(unknown, Fault::Other("this is not the token of a session".into()));
    }

    #[tokio::test]
    async fn googles_accounts_are_listed_for_a_request_like_googles() {
        let (metadata, _) = served(|request| {
            let flavoured = request.headers().get("metadata-flavor").is_some_and(|flavor| flavor == "Google");
            match request.uri().path() {
                "/computeMetadata/v1/instance/service-accounts/" if flavoured => {
                    (200, "12-compute@developer.gserviceaccount.com/\ndefault/\n")
                }
                "/metadata/instance" if request.headers()["metadata"] == "true" => (200, "{}"),
                _ => (403, ""),
            }
        })
        .await;
        let names = vec!["12-compute@developer.gserviceaccount.com".to_owned()];
        assert_eq!(metadata.google, Ok(GoogleAccounts { status: 200, names }));
        assert_eq!(metadata.aws_session, Ok(AwsSession { status: 403, role: None }));
        assert_eq!((metadata.aws, metadata.azure), (Ok(403), Ok(200)));
    }

    #[test]
    fn a_list_of_accounts_is_short_and_holds_names_only() {
        let many = "a@p.iam.gserviceaccount.com/\n".repeat(9);
        assert_eq!(accounts(&many).unwrap().len(), NAMES);
        assert_eq!(accounts("p.svc.id.goog/\ndefault/"), Ok(vec!["p.svc.id.goog".to_owned()]));
        assert_eq!(accounts(""), Ok(vec![]));
        assert!(accounts("<html>please log in</html>").is_err() && accounts(&"a".repeat(NAME + 1)).is_err());
    }

    #[tokio::test]
    async fn a_closed_server_is_asked_nothing_and_a_silent_one_not_waited_for_long() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let open = one(&MetadataQuestion { at, requests: false }, Err(Fault::Reset)).await;
        assert_eq!(open, Ok(MetadataAnswer::Open));
        // It accepts connections and sends nothing.
        let began = Instant::now();
        let Ok(MetadataAnswer::Serves(silent)) = asked(at).await else { panic!("it is open") };
        assert!(began.elapsed() < 2 * DEADLINE, "{:?}", began.elapsed());
        assert_eq!((silent.aws, silent.aws_session), (Err(Fault::TimedOut), Err(Fault::TimedOut)));
        drop(listener);
        assert_eq!(asked(at).await, Err(Fault::Refused));
        for (errno, fault) in [(Errno::AFNOSUPPORT, Fault::NoRoute), (Errno::PERM, Fault::Refused)] {
            assert_eq!(closed(errno.into()), fault);
        }
    }
}
