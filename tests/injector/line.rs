//! One connection of a client, and the one behind it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{ACCEPT_ENCODING, HeaderName, HeaderValue, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Notify};

use super::Shared;
use super::answer::{self, Body, Broken, Whole};
use super::asked::Asked;
use super::fault::Fault;
use super::origin::{Caller, Failure};

/// How many objects there are on a page, so that small clusters have lists of several pages.
const PAGE: &str = "limit=7";

/// A connection of a client.
struct Line {
    shared: Arc<Shared>,
    /// The client's socket, to reset it.
    socket: TcpStream,
    caller: Caller,
    /// The connection to the API server, once there is one.
    behind: Mutex<Option<SendRequest<Full<Bytes>>>>,
    /// Closes the connection when the answer that is being written is complete.
    hang_up: Arc<Notify>,
}

/// Serves a connection until it ends.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let socket = TcpStream::from_std(stream.try_clone()?)?;
    let stream = TcpStream::from_std(stream)?;
    // Clients that only look at the handshake, or reject it, are none of ours.
    let Ok(stream) = shared.origin.acceptor().accept(stream).await else { return Ok(()) };
    let caller = shared.origin.caller(stream.get_ref().1.peer_certificates())?;
    let hang_up = Arc::new(Notify::new());
    let line = Arc::new(Line { shared, socket, caller, behind: Mutex::default(), hang_up: hang_up.clone() });
    let service = service_fn(move |request| {
        let line = line.clone();
        async move { line.answer(request).await }
    });
    let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades());
    loop {
        tokio::select! {
            // How it ends is the client's affair, or ours.
            _ = &mut connection => return Ok(()),
            () = hang_up.notified() => connection.as_mut().graceful_shutdown(),
        }
    }
}

impl Line {
    /// The answer to a request, with or without a fault.
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Broken> {
        let asked = Asked::by(self.caller.name(), &request);
        let Some((fault, how)) = self.shared.course.befalls(&asked) else {
            return Ok(answer::passed(self.pass(request).await?));
        };
        let response = match fault {
            Fault::Delay => {
                tokio::time::sleep(Duration::from_millis(100 + how % 900)).await;
                answer::passed(self.pass(request).await?)
            }
            Fault::Reset => return Err(self.reset(fault)),
            Fault::ResetLate => {
                self.whole(request).await?;
                return Err(self.reset(fault));
            }
            Fault::Closed => {
                self.shared.count(fault);
                return Err(Broken);
            }
            Fault::ClosedAfter | Fault::HalfJson | Fault::Drip => {
                let whole = self.whole(request).await?;
                if whole.body.len() < 2 {
                    // Nothing can happen within a body that is not there.
                    return Ok(whole.truncated());
                }
                match fault {
                    Fault::ClosedAfter => whole.closing(self.hang_up.clone()),
                    Fault::HalfJson => whole.halved(),
                    _ => whole.dripping(),
                }
            }
            Fault::Truncated if asked.is_stream => answer::first_of(self.pass(request).await?, true),
            Fault::Truncated => self.whole(request).await?.truncated(),
            Fault::TooManyRequests => answer::too_many_requests(),
            Fault::InternalError | Fault::BadGateway | Fault::GatewayTimeout | Fault::Html => {
                // The answer to a write that was carried out may be lost.
                if asked.is_write && !asked.is_upgrade && how.is_multiple_of(2) {
                    self.whole(request).await?;
                }
                match fault {
                    Fault::InternalError => answer::failure(500, 500, "InternalError", "etcdserver: request timed out"),
                    Fault::BadGateway => answer::page(502, "502 Bad Gateway"),
                    Fault::GatewayTimeout => answer::page(504, "504 Gateway Time-out"),
                    _ => answer::page(200, "Log in"),
                }
            }
            Fault::Unavailable => answer::page(503, "503 Service Unavailable"),
            Fault::Large => answer::large(),
            Fault::Bomb => answer::bomb(),
            Fault::Expired => answer::failure(410, 410, "Expired", "The provided continue parameter is too old"),
            Fault::WatchEnded => answer::first_of(self.pass(request).await?, false),
            Fault::PageNotFound => answer::page_not_found(),
            Fault::FailureAsSuccess => answer::failure(200, 403, "Forbidden", "log in first"),
            Fault::WrongDate => answer::ahead(self.pass(request).await?),
            Fault::Dropped => unreachable!("it happens to connections"),
        };
        self.shared.count(fault);
        Ok(response)
    }

    /// Has the socket reset when it is closed.
    fn reset(&self, fault: Fault) -> Broken {
        match self.socket.set_zero_linger() {
            Ok(()) => self.shared.count(fault),
            Err(why) => self.shared.fail(why.into()),
        }
        Broken
    }

    async fn whole(&self, request: Request<Incoming>) -> Result<Whole, Broken> {
        Whole::of(self.pass(request).await?).await.map_err(|why| self.failed(why.into()))
    }

    /// Sends the request to the API server.
    async fn pass(&self, mut request: Request<Incoming>) -> Result<Response<Incoming>, Broken> {
        let theirs = request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
        let (mut parts, body) = request.into_parts();
        // A client that goes away within its own request has not asked for anything.
        let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
        if let Some(query) = parts.uri.query().filter(|query| query.contains("limit=500")) {
            let changed = format!("{}?{}", parts.uri.path(), query.replace("limit=500", PAGE));
            parts.uri = changed.parse().expect("a part of a URL in the place of another is one");
        }
        // Faults need bodies as they are.
        parts.headers.remove(ACCEPT_ENCODING);
        if let Caller::Other { user, groups } = &self.caller {
            let value = |text: &str| HeaderValue::from_str(text).map_err(|why| self.failed(why.into()));
            parts.headers.insert(HeaderName::from_static("impersonate-user"), value(user)?);
            for group in groups {
                parts.headers.append(HeaderName::from_static("impersonate-group"), value(group)?);
            }
        }
        let request = Request::from_parts(parts, Full::new(body));
        let mut response = self.send(request).await.map_err(|why| self.failed(why))?;
        if let Some(theirs) = theirs.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS) {
            let ours = hyper::upgrade::on(&mut response);
            tokio::spawn(async move {
                if let (Ok(theirs), Ok(ours)) = tokio::join!(theirs, ours) {
                    // Either side may end it.
                    drop(copy_bidirectional(&mut TokioIo::new(theirs), &mut TokioIo::new(ours)).await);
                }
            });
        }
        Ok(response)
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        let mut behind = self.behind.lock().await;
        if let Some(sender) = behind.as_mut()
            && sender.ready().await.is_ok()
        {
            return Ok(sender.send_request(request).await?);
        }
        let sender = behind.insert(self.shared.origin.connect(&self.caller).await?);
        Ok(sender.send_request(request).await?)
    }

    /// What failed without being meant to.
    fn failed(&self, why: Failure) -> Broken {
        self.shared.fail(why);
        Broken
    }
}
