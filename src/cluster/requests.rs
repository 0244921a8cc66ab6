//! Requests to the API server.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::future::join;
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde::de::DeserializeOwned;
use tokio::io::AsyncBufRead;

use super::again::{Failed, Transient, retry_after};
use super::call::Verb;
use super::causes::{broken_connection, causes, failure, is_name_mismatch};
use super::clients::NoClient;
use super::connection::LOGIN;
use super::decode::Page;
use super::progress::Progress;
use super::{Call, Cluster, Identity, Reply};
use crate::seen::{Seen, Unobserved};

/// How many objects there are on a page.
const PAGE: &str = "500";

/// The header by which an API server names a request in its audit log.
const AUDIT_ID: &str = "audit-id";

/// An answer that is read while it arrives.
type Coming = Pin<Box<dyn AsyncBufRead + Send>>;
/// How the connection broke over which an answer arrived, if it did.
type Broke = Arc<OnceLock<&'static str>>;

/// How often a list is begun again when the server does not have the rest of it any more.
const RESTARTS: usize = 2;

impl Cluster {
    /// Sends a request, and again after a transient fault. An answer with any status is a reply, except for a 404 that the requested API did not send.
    pub async fn send(&self, call: &Call) -> Seen<Reply> {
        self.log_in(call).await?;
        let turn = self.turn_of_request(call).await?;
        let attempt = || async { self.whole(call, self.respond(call).await?).await };
        let fault = |(reply, pause): &(Reply, _)| Transient::answer(reply, *pause);
        let exchange = Box::pin(self.again(call, turn.deadline, attempt, fault));
        let (reply, _) = turn.take(call, exchange).await?;
        self.understood(call, reply).await
    }

    /// Opens a stream through the API server and runs an exchange over it, all within the deadline of one request.
    pub(super) async fn open<T>(&self, call: &Call, open: impl AsyncFnOnce(Client) -> T) -> Seen<T> {
        self.log_in(call).await?;
        let exchange = Box::pin(async { Ok(open(self.client(call).await?).await) });
        self.turn_of_request(call).await?.take(call, exchange).await
    }

    /// Sends a request and decodes the object in the answer.
    pub async fn fetch<T: DeserializeOwned>(&self, call: &Call) -> Seen<T> {
        self.send(call).await?.decode(call)
    }

    /// Lists all objects, page by page, and keeps only what `trim` takes from each. A page is decoded while the next one is
    /// fetched. The list is complete or an error: if the server has lost the rest of it, it is begun again.
    pub async fn list<K, T>(&self, call: Call, mut trim: impl FnMut(K) -> T) -> Seen<Vec<T>>
    where
        K: DeserializeOwned + Send + 'static,
    {
        self.list_into(call, |kept: &mut Vec<T>, item| kept.push(trim(item))).await
    }

    /// The same for another collection than a `Vec`.
    pub async fn list_into<K, C>(&self, call: Call, mut keep: impl FnMut(&mut C, K)) -> Seen<C>
    where
        K: DeserializeOwned + Send + 'static,
        C: Default,
    {
        'begin: for _ in 0..=RESTARTS {
            let mut kept = C::default();
            let Some(mut page) = self.page(&call, None).await? else { continue };
            loop {
                let next = page.next.clone();
                let decoding = decoded(&call, page);
                let Some(token) = next else {
                    decoding.await?.into_iter().for_each(|item| keep(&mut kept, item));
                    return Ok(kept);
                };
                let (items, following) = join(decoding, self.page(&call, Some(&token))).await;
                items?.into_iter().for_each(|item| keep(&mut kept, item));
                let Some(following) = following? else { continue 'begin };
                if following.next.as_ref() == Some(&token) {
                    return Err(Unobserved::invalid(
                        call.to_string(),
                        "the list does not end: a page is its own next page",
                    ));
                }
                page = following;
            }
        }
        let expired = format!("the list expired {} times before its last page was read", RESTARTS + 1);
        Err(Unobserved::invalid(call.to_string(), expired))
    }

    /// A page of a list, or nothing if the server does not have it any more.
    async fn page(&self, call: &Call, token: Option<&str>) -> Seen<Option<Page>> {
        let page = call.clone().with("limit", PAGE);
        let page = match token {
            Some(token) => page.with("continue", token),
            None => page,
        };
        let reply = self.send(&page).await?;
        Progress::made();
        if reply.status == 410 {
            return Ok(None);
        }
        reply.accepted(&page)?;
        Page::read(&page, &reply.body).map(Some)
    }

    /// Opens an answer that is read while it arrives: a watch, or one that is too long to keep. It waits for its turn to be
    /// opened, and gives the turn back while it is read, or if it does not begin in time. The caller sets the deadline,
    /// because a log does not begin before its first line.
    pub async fn stream(&self, call: &Call) -> Seen<impl AsyncBufRead + use<>> {
        self.log_in(call).await?;
        let turn = self.turn_of_request(call).await?;
        let mut beginning = Box::pin(self.begin(call, turn.deadline));
        if let Ok(begun) = tokio::time::timeout(turn.deadline, &mut beginning).await {
            return begun;
        }
        // A log that is still empty does not block other requests.
        drop(turn);
        beginning.await
    }

    /// Reads an answer that is too long to keep while it arrives, all within the deadline of one request. It is read from its
    /// beginning again if the connection breaks.
    pub async fn read<T, F>(&self, call: &Call, read: impl Fn(Coming) -> F) -> Seen<T>
    where
        F: Future<Output = Seen<T>>,
    {
        self.log_in(call).await?;
        let turn = self.turn_of_request(call).await?;
        let deadline = turn.deadline;
        let attempt = || async {
            let broke = Broke::default();
            let response = self.respond(call).await?;
            let transient = Transient::head(&response);
            let coming = self.coming(call, response, &broke).await.map_err(|why| Failed { why, transient })?;
            let broken = |why| Failed { why, transient: broke.get().copied().map(Transient::broken) };
            read(Box::pin(coming)).await.map_err(broken)
        };
        let reading = Box::pin(self.again(call, deadline, attempt, |_| None));
        turn.take(call, reading).await
    }

    async fn begin(&self, call: &Call, deadline: Duration) -> Seen<impl AsyncBufRead + use<>> {
        let response = self.again(call, deadline, || self.respond(call), Transient::head).await?;
        self.coming(call, response, &Broke::default()).await
    }

    /// The body of a success, as it arrives.
    async fn coming(
        &self,
        call: &Call,
        response: http::Response<Body>,
        broke: &Broke,
    ) -> Seen<impl AsyncBufRead + use<>> {
        let status = response.status();
        let body = response.into_body();
        if !status.is_success() {
            let refusal = Reply {
                status: status.as_u16(),
                body: self.collect(call, body).await.map_err(|failed| failed.why)?,
                ..Reply::default()
            };
            return Err(refusal.accepted(call).err().unwrap_or_else(|| Unobserved::invalid(call.to_string(), status)));
        }
        let received = self.received.clone();
        let broke = broke.clone();
        let stream = body.into_data_stream().map_err(move |error| {
            if let Some(cause) = broken_connection(&error) {
                // A stream breaks once.
                let _ = broke.set(cause);
            }
            std::io::Error::other(error)
        });
        let stream = stream.inspect_ok(move |bytes| {
            received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        });
        Ok(tokio_util::io::StreamReader::new(stream))
    }

    /// Sends a request.
    ///
    /// Behind a load balancer, the certificate of one instance may lack the endpoint's name. Such an instance got no request:
    /// from then on certificates are verified by a name that all of them have, and the request is sent again. Checks look at
    /// each instance and report the one whose certificate lacks the name.
    async fn respond(&self, call: &Call) -> Result<http::Response<Body>, Failed> {
        // Each of many concurrent requests may meet such an instance, so that the state before this one counts.
        let by_endpoint_name = call.instance.is_none() && self.clients.verify_by_endpoint_name();
        match self.client(call).await?.send(Self::request(call)?).await {
            Err(e) if by_endpoint_name && is_name_mismatch(&e) => {
                self.clients.verify_by_in_cluster_name();
                self.client(call).await?.send(Self::request(call)?).await.map_err(|e| failed(call, &e))
            }
            sent => sent.map_err(|e| failed(call, &e)),
        }
    }

    pub(super) fn request(call: &Call) -> Seen<http::Request<Body>> {
        let mut request = http::Request::builder().method(call.verb.method()).uri(call.path_and_query());
        request = request.header(http::header::ACCEPT, call.accept);
        if let Identity::Impersonated { user, groups } = &call.identity {
            request = request.header("Impersonate-User", user);
            for group in groups {
                request = request.header("Impersonate-Group", group);
            }
        }
        let body = match &call.body {
            None => Vec::new(),
            Some(body) => {
                let content_type = match call.verb {
                    Verb::Patch => "application/strategic-merge-patch+json",
                    // YAML contains JSON.
                    Verb::Apply => "application/apply-patch+yaml",
                    _ => "application/json",
                };
                request = request.header(http::header::CONTENT_TYPE, content_type);
                serde_json::to_vec(body).map_err(|e| Unobserved::invalid(call.to_string(), e))?
            }
        };
        request.body(Body::from(body)).map_err(|e| Unobserved::invalid(call.to_string(), e))
    }

    /// The whole answer, and the pause that the server asks for.
    pub(super) async fn whole(
        &self,
        call: &Call,
        response: http::Response<Body>,
    ) -> Result<(Reply, Option<Duration>), Failed> {
        let (parts, body) = response.into_parts();
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let reply = Reply {
            status: parts.status.as_u16(),
            date: header(http::header::DATE)
                .and_then(|date| jiff::fmt::rfc2822::parse(date).ok())
                .map(|date| date.timestamp()),
            content_type: header(http::header::CONTENT_TYPE).unwrap_or_default().to_owned(),
            has_audit_id: parts.headers.contains_key(AUDIT_ID),
            body: self.collect(call, body).await?,
        };
        Ok((reply, retry_after(&parts.headers)))
    }

    async fn collect(&self, call: &Call, body: Body) -> Result<Bytes, Failed> {
        let body = self.room.read(body).await.map_err(|e| Failed {
            transient: broken_connection(&e).map(Transient::broken),
            why: Unobserved::invalid(call.to_string(), causes(&e)),
        })?;
        self.received.fetch_add(body.len() as u64, Ordering::Relaxed);
        Ok(body)
    }

    /// Makes the client for a request before its turn, because a credential plugin may have to run first and its time must
    /// not count against the server. A request on a new connection gets a client of its own later.
    async fn log_in(&self, call: &Call) -> Seen<()> {
        if call.new_connection {
            return Ok(());
        }
        let limit = self.deadline(LOGIN);
        let made = tokio::time::timeout(limit, self.client(call)).await;
        made.unwrap_or_else(|_| Err(Unobserved::timed_out("the credential plugin".to_owned(), limit))).map(drop)
    }

    /// The client for a request.
    async fn client(&self, call: &Call) -> Seen<Client> {
        // The future holds a large configuration and is part of every request.
        Box::pin(self.clients.of(self.kubeconfig(), call)).await.map_err(|why| match why {
            NoClient::Unfit(why) => why,
            NoClient::Failed(error) => failure(call, error.as_ref()),
            NoClient::NoCredential(error) => failure(call, &error),
            NoClient::Abandoned => Unobserved::Interrupted,
        })
    }
}

/// Why a request was not answered, and whether it may be if it is sent again.
pub(super) fn failed(call: &Call, error: &(dyn std::error::Error + 'static)) -> Failed {
    Failed { why: failure(call, error), transient: broken_connection(error).map(Transient::broken) }
}

/// The items of a page, decoded on a thread of their own.
async fn decoded<K: DeserializeOwned + Send + 'static>(call: &Call, page: Page) -> Seen<Vec<K>> {
    let of = call.clone();
    match tokio::task::spawn_blocking(move || page.items(&of)).await {
        Ok(items) => items,
        Err(why) if why.is_panic() => Err(Unobserved::invalid(call.to_string(), why)),
        Err(_) => Err(Unobserved::Interrupted),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use k8s_openapi::api::core::v1::Node;
    use serde::{Deserialize, Deserializer};
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::cluster::testing::{answer, answering, cluster, request};

    fn page(names: &[&str], next: &str) -> String {
        let items: Vec<_> = names.iter().map(|name| json!({ "metadata": { "name": name } })).collect();
        let list = json!({ "kind": "NodeList", "apiVersion": "v1", "metadata": { "continue": next }, "items": items });
        answer("200 OK", "", &list.to_string())
    }

    fn expired() -> String {
        answer("410 Gone", "", r#"{"kind":"Status","apiVersion":"v1","reason":"Expired","message":"too old"}"#)
    }

    async fn listed(answers: Vec<String>) -> (Seen<Vec<String>>, Vec<String>) {
        let (url, requests) = answering(answers).await;
        let cluster = cluster(&url, 4, Duration::from_secs(20));
        let names = cluster.list(Call::list::<Node>(), |node: Node| node.metadata.name.unwrap_or_default()).await;
        let requests = requests.lock().unwrap().clone();
        (names, requests)
    }

    #[test]
    fn a_patch_states_its_kind() {
        let stated = |call: Call| {
            let request = Cluster::request(&call).unwrap();
            request.headers()[http::header::CONTENT_TYPE].to_str().unwrap().to_owned()
        };
        assert_eq!(stated(Call::apply::<Node>("n1", json!({}), "seaworthy")), "application/apply-patch+yaml");
        assert_eq!(stated(Call::patch::<Node>("n1", json!({}))), "application/strategic-merge-patch+json");
        assert_eq!(stated(Call::create::<Node>(json!({}))), "application/json");
    }

    #[tokio::test]
    async fn a_list_has_all_its_pages() {
        let (names, requests) = listed(vec![page(&["a", "b"], "x y"), page(&["c"], "z"), page(&["d"], "")]).await;
        assert_eq!(names.unwrap(), ["a", "b", "c", "d"]);
        assert_eq!(requests[1], "GET /api/v1/nodes?limit=500&continue=x%20y HTTP/1.1");
    }

    #[tokio::test]
    async fn a_list_that_expires_is_begun_again_and_never_cut() {
        let answers = vec![page(&["a"], "x"), page(&["old"], "y"), expired(), page(&["b"], "x"), page(&["c"], "")];
        assert_eq!(listed(answers).await.0.unwrap(), ["b", "c"]);
        let again = [page(&["a"], "x"), expired()];
        let (names, requests) = listed(again.iter().cycle().take(20).cloned().collect()).await;
        assert!(names.unwrap_err().to_string().ends_with("the list expired 3 times before its last page was read"));
        assert_eq!(requests.len(), 6);
    }

    #[tokio::test]
    async fn a_page_that_fails_or_repeats_itself_is_an_error() {
        let broken =
            answer("403 Forbidden", "", r#"{"kind":"Status","apiVersion":"v1","reason":"Forbidden","message":"no"}"#);
        assert!(listed(vec![page(&["a"], "x"), broken]).await.0.is_err());
        let why = listed(vec![page(&["a"], "x")]).await.0.unwrap_err();
        assert!(why.to_string().contains("the list does not end"), "{why}");
    }

    #[tokio::test]
    async fn an_answer_that_breaks_while_it_is_read_is_read_again() {
        let cut = "HTTP/1.1 206 Partial Content\r\nContent-Length: 100\r\n\r\nhalf".to_owned();
        let busy = answer("503 Service Unavailable", "", "busy");
        let (url, requests) = answering(vec![cut.clone(), busy, answer("200 OK", "", "whole")]).await;
        let patient = cluster(&url, 4, Duration::from_secs(20));
        let call = Call::url("/metrics");
        let read = async |mut coming: Coming| {
            let mut text = String::new();
            coming.read_to_string(&mut text).await.map_err(|e| Unobserved::invalid("GET /metrics", e))?;
            Ok(text)
        };
        assert_eq!(patient.read(&call, read).await.unwrap(), "whole");
        assert_eq!((requests.lock().unwrap().len(), patient.retries().values().sum::<usize>()), (3, 2));
        let (url, requests) = answering(vec![cut]).await;
        assert!(cluster(&url, 4, Duration::from_secs(20)).read(&call, read).await.is_err());
        assert_eq!(requests.lock().unwrap().len(), 3, "at most twice again");
    }

    /// How many requests a server has received.
    static RECEIVED: AtomicUsize = AtomicUsize::new(0);

    /// An object that can be decoded only when the request for the second page has arrived.
    struct Patient;

    impl<'de> Deserialize<'de> for Patient {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            serde::de::IgnoredAny::deserialize(deserializer)?;
            let began = std::time::Instant::now();
            while RECEIVED.load(Ordering::SeqCst) < 2 {
                if began.elapsed() > Duration::from_secs(10) {
                    return Err(serde::de::Error::custom("the next page was not requested while this one was decoded"));
                }
                std::thread::yield_now();
            }
            Ok(Self)
        }
    }

    #[tokio::test]
    async fn a_page_is_decoded_while_the_next_is_fetched() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for answer in [page(&["a"], "x"), page(&["b"], "")] {
                request(&mut stream).await.unwrap();
                RECEIVED.fetch_add(1, Ordering::SeqCst);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            request(&mut stream).await;
        });
        let cluster = cluster(&url, 4, Duration::from_secs(20));
        assert_eq!(cluster.list(Call::list::<Node>(), |_: Patient| ()).await.unwrap().len(), 2);
    }
}
