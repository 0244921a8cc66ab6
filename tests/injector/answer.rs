//! Answers with faults.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use flate2::{Compress, Compression, Crc, FlushCompress};
use futures_util::stream::{self, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::Response;
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, DATE, HeaderValue, TRANSFER_ENCODING};
use hyper::http::response::Parts;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// What breaks a connection.
#[derive(Debug, thiserror::Error)]
#[error("the proxy breaks the connection")]
pub(super) struct Broken;

/// A body, with or without faults.
pub(super) type Body = UnsyncBoxBody<Bytes, Broken>;

/// How many bytes a large body has, compressed or not.
const LARGE: usize = 200 << 20;
/// The pieces that it is made of.
const PIECE: usize = 1 << 20;
/// How long the bytes before a break have to leave.
const LEAVE: Duration = Duration::from_millis(20);
/// The pause between two bytes that drip.
const DRIP: Duration = Duration::from_millis(50);
/// How long a watch may be without an event until it is ended.
const QUIET: Duration = Duration::from_millis(300);
/// What a clock shows that is years ahead.
const AHEAD: &str = "Tue, 01 Jan 2036 00:00:00 GMT";
/// How lists and objects of Kubernetes begin.
const BEGINNING: &[u8] = br#"{"kind":"List","apiVersion":"v1","metadata":{},"items":["#;

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body of these frames.
fn frames(frames: impl stream::Stream<Item = Result<Bytes, Broken>> + Send + 'static) -> Body {
    StreamBody::new(frames.map(|frame| frame.map(Frame::data))).boxed_unsync()
}

fn reply(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status.try_into().expect("the statuses here are valid");
    response.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
    response
}

/// A failure in the words of the API server.
pub(super) fn failure(sent_as: u16, code: u16, reason: &str, message: &str) -> Response<Body> {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason,
        "message": message, "code": code });
    reply(sent_as, "application/json", status.to_string())
}

/// 429, and when to come back.
pub(super) fn too_many_requests() -> Response<Body> {
    let mut response = reply(429, "text/plain; charset=utf-8", "Too many requests, please try again later.\n");
    response.headers_mut().insert("retry-after", HeaderValue::from_static("1"));
    response
}

/// The page of a proxy.
pub(super) fn page(status: u16, title: &str) -> Response<Body> {
    let page = format!("<html>\n<head><title>{title}</title></head>\n<body><h1>{title}</h1></body>\n</html>\n");
    reply(status, "text/html", page)
}

/// The text of a server that does not have this path.
pub(super) fn page_not_found() -> Response<Body> {
    reply(404, "text/plain; charset=utf-8", "404 page not found\n")
}

/// JSON of 200 MB.
pub(super) fn large() -> Response<Body> {
    static FILLER: LazyLock<Bytes> = LazyLock::new(|| vec![b' '; PIECE].into());
    let pieces =
        std::iter::once(Bytes::from_static(BEGINNING)).chain(std::iter::repeat_n(FILLER.clone(), LARGE / PIECE));
    let mut response = reply(200, "application/json", "");
    response.headers_mut().insert(CONTENT_LENGTH, (BEGINNING.len() + LARGE).into());
    *response.body_mut() = frames(stream::iter(pieces.map(Ok)));
    response
}

/// The same, compressed.
pub(super) fn bomb() -> Response<Body> {
    static BOMB: LazyLock<Bytes> = LazyLock::new(|| bomb_of(BEGINNING, LARGE / PIECE).into());
    let mut response = reply(200, "application/json", BOMB.clone());
    response.headers_mut().insert("content-encoding", HeaderValue::from_static("gzip"));
    response
}

/// This, and that many pieces of nothing, as gzip. All pieces are the same, so that only one is compressed.
pub(crate) fn bomb_of(beginning: &[u8], pieces: usize) -> Vec<u8> {
    let deflated = |bytes: &[u8], flush| {
        let mut out = Vec::with_capacity(bytes.len() + 1024);
        Compress::new(Compression::best(), false)
            .compress_vec(bytes, &mut out, flush)
            .expect("there is room for what is compressed");
        out
    };
    let piece = vec![b' '; PIECE];
    let (mut sum, mut of_piece) = (Crc::new(), Crc::new());
    sum.update(beginning);
    of_piece.update(&piece);
    let mut bomb = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    bomb.extend(deflated(beginning, FlushCompress::Full));
    let piece = deflated(&piece, FlushCompress::Full);
    for _ in 0..pieces {
        bomb.extend(&piece);
        sum.combine(&of_piece);
    }
    bomb.extend(deflated(&[], FlushCompress::Finish));
    bomb.extend(sum.sum().to_le_bytes());
    bomb.extend(sum.amount().to_le_bytes());
    bomb
}

/// An answer that was read to its end.
pub(super) struct Whole {
    parts: Parts,
    pub(super) body: Bytes,
}

impl Whole {
    /// Reads an answer to its end.
    pub(super) async fn of(response: Response<Incoming>) -> Result<Self, hyper::Error> {
        let (mut parts, body) = response.into_parts();
        parts.headers.remove(TRANSFER_ENCODING);
        parts.headers.remove(CONTENT_LENGTH);
        Ok(Self { parts, body: body.collect().await?.to_bytes() })
    }

    /// With another body, which is announced to have this length.
    fn with(mut self, length: usize, body: Body) -> Response<Body> {
        self.parts.headers.insert(CONTENT_LENGTH, length.into());
        Response::from_parts(self.parts, body)
    }

    /// The whole answer; then its connection is closed.
    pub(super) fn closing(self, hang_up: Arc<Notify>) -> Response<Body> {
        let body = self.body.clone();
        // The head is written already when the body is asked for.
        let frame = async move {
            hang_up.notify_one();
            Ok(body)
        };
        self.with_length(frames(stream::once(frame)))
    }

    fn with_length(self, body: Body) -> Response<Body> {
        let length = self.body.len();
        self.with(length, body)
    }

    /// The first half, announced as all.
    pub(super) fn halved(self) -> Response<Body> {
        let half = self.body.slice(..self.body.len() / 2);
        self.with(half.len(), full(half))
    }

    /// The first half of what was announced, then nothing.
    pub(super) fn truncated(self) -> Response<Body> {
        let half = self.body.slice(..self.body.len() / 2);
        self.with_length(frames(stream::iter([Ok(half)]).chain(stream::once(broken()))))
    }

    /// Byte by byte.
    pub(super) fn dripping(self) -> Response<Body> {
        let body = self.body.clone();
        let drops = stream::iter(0..body.len()).then(move |at| {
            let drop = body.slice(at..=at);
            async move {
                sleep(DRIP).await;
                Ok(drop)
            }
        });
        self.with_length(frames(drops))
    }
}

async fn broken() -> Result<Bytes, Broken> {
    sleep(LEAVE).await;
    Err(Broken)
}

/// An answer as it comes.
pub(super) fn passed(response: Response<Incoming>) -> Response<Body> {
    response.map(|body| body.map_err(|_| Broken).boxed_unsync())
}

/// An answer as it comes, from a server whose clock is years ahead.
pub(super) fn ahead(response: Response<Incoming>) -> Response<Body> {
    let mut response = passed(response);
    response.headers_mut().insert(DATE, HeaderValue::from_static(AHEAD));
    response
}

/// The first piece of a stream; then it ends, or breaks.
pub(super) fn first_of(mut response: Response<Incoming>, breaks: bool) -> Response<Body> {
    response.headers_mut().remove(CONTENT_LENGTH);
    response.map(|mut body| {
        let first = async move { timeout(QUIET, body.frame()).await.ok().flatten() };
        let first = stream::once(first).filter_map(async |frame| Some(frame?.map_err(|_| Broken)));
        let end = stream::iter(breaks.then_some(())).then(async |()| broken().await.map(Frame::data));
        StreamBody::new(first.chain(end)).boxed_unsync()
    })
}
