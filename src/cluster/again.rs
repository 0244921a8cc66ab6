//! Requests that met a transient fault are sent again, as client-go does: a load balancer that closes a connection, or an
//! API server that is busy for a moment, shows nothing about the cluster.
//!
//! Nothing is sent again silently: a run counts the causes and shows them.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Call;
use super::reply::is_about_kubelet;
use super::{Cluster, Reply};
use crate::handshake::Unreachable;
use crate::seen::{Seen, Unobserved};

/// How often a request is sent again at most.
const MOST: u32 = 2;
/// How long the first pause is, where the server asks for none. The second is four times as long.
const PAUSE: Duration = Duration::from_millis(100);

/// Why requests of a run were sent again, and how often.
#[derive(Default)]
pub(super) struct Retries(Mutex<BTreeMap<String, usize>>);

impl Retries {
    fn count(&self, cause: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(cause).or_default() += 1;
    }

    /// How many requests were sent again, by cause.
    pub(super) fn by_cause(&self) -> BTreeMap<String, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A fault that may be over in a moment.
#[derive(Debug)]
pub(super) struct Transient {
    cause: String,
    /// The pause that the server asks for.
    pause: Option<Duration>,
}

impl Transient {
    /// A connection that broke.
    pub(super) fn broken(cause: &'static str) -> Self {
        Self { cause: cause.into(), pause: None }
    }

    /// An answer with such a status, unless it is what was asked for: what an API server reports about a kubelet, or about its
    /// own health.
    pub(super) fn answer(reply: &Reply, pause: Option<Duration>) -> Option<Self> {
        let transient = match reply.status {
            500 => !is_about_kubelet(&reply.message()) && !reply.text().contains("check failed"),
            status => Self::is_transient(status),
        };
        transient.then(|| Self { cause: format!("HTTP {}", reply.status), pause })
    }

    /// The same for an answer that is not read yet.
    pub(super) fn head<B>(response: &http::Response<B>) -> Option<Self> {
        let status = response.status().as_u16();
        Self::is_transient(status)
            .then(|| Self { cause: format!("HTTP {status}"), pause: retry_after(response.headers()) })
    }

    fn is_transient(status: u16) -> bool {
        matches!(status, 429 | 502..=504)
    }
}

/// The pause that a server asks for.
pub(super) fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let seconds = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Why one attempt failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) why: Unobserved,
    pub(super) transient: Option<Transient>,
}

impl From<Unobserved> for Failed {
    fn from(why: Unobserved) -> Self {
        Self { why, transient: None }
    }
}

impl Cluster {
    /// Sends a request, and sends it again after a transient fault, as long as `deadline` is not over after the pause.
    /// `fault` shows whether an answer is one.
    pub(super) async fn again<T, F: Future<Output = Result<T, Failed>>>(
        &self,
        call: &Call,
        deadline: Duration,
        attempt: impl Fn() -> F,
        fault: impl Fn(&T) -> Option<Transient>,
    ) -> Seen<T> {
        let began = Instant::now();
        for sent in 0.. {
            let outcome = attempt().await;
            let transient = match &outcome {
                Ok(answer) => fault(answer),
                Err(failed) => {
                    failed.transient.as_ref().map(|known| Transient { cause: known.cause.clone(), pause: known.pause })
                }
            };
            // A server that asks for a pause has not begun with the request.
            let again = transient.filter(|fault| sent < MOST && (call.is_repeatable() || fault.is_refused_for_now()));
            let Some(Transient { cause, pause }) = again else { return outcome.map_err(|failed| failed.why) };
            let pause = pause.unwrap_or_else(|| jittered(PAUSE * 4_u32.pow(sent)));
            if began.elapsed() + pause >= deadline {
                return outcome.map_err(|failed| failed.why);
            }
            self.retries.count(cause);
            tokio::time::sleep(pause).await;
            self.pace.wait().await;
        }
        unreachable!("the loop ends by returning")
    }

    /// Dials a server, and dials it again if the connection breaks: a load balancer does that to one of many.
    pub(super) async fn dial_again<T, F: Future<Output = Result<T, Unreachable>>>(
        &self,
        dial: impl Fn() -> F,
    ) -> Result<T, Unreachable> {
        for dialled in 0.. {
            let outcome = dial().await;
            let cause = match &outcome {
                Err(Unreachable::Reset) => "the connection was reset",
                Err(Unreachable::Closed) => "the connection was closed",
                _ => return outcome,
            };
            if dialled == MOST {
                return outcome;
            }
            self.retries.count(cause.into());
            tokio::time::sleep(jittered(PAUSE * 4_u32.pow(dialled))).await;
        }
        unreachable!("the loop ends by returning")
    }
}

impl Transient {
    fn is_refused_for_now(&self) -> bool {
        self.cause == "HTTP 429" && self.pause.is_some()
    }
}

/// Between half and one and a half of this, so that clients do not come back together.
fn jittered(pause: Duration) -> Duration {
    let mut random = [128];
    // Without random numbers the pause is as it is.
    _ = aws_lc_rs::rand::fill(&mut random);
    pause * (128 + u32::from(random[0])) / 256
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ConfigMap, Pod};
    use serde_json::json;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::cluster::testing::{answer, answering, cluster, request};

    const MAP: &str = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{}}"#;

    fn map() -> Call {
        Call::get_in::<ConfigMap>("kube-system", "coredns")
    }

    #[tokio::test]
    async fn a_transient_fault_is_asked_again_and_counted() {
        for (fault, cause) in [
            (answer("503 Service Unavailable", "", "busy"), "HTTP 503"),
            (answer("500 Internal Server Error", "", "etcdserver: request timed out"), "HTTP 500"),
            (answer("429 Too Many Requests", "retry-after: 0\r\n", "slow down"), "HTTP 429"),
            // Closed before the answer, and within it.
            (String::new(), "the connection was closed"),
            ("HTTP/1.1 500 Internal".to_owned(), "the connection was closed"),
        ] {
            let (url, requests) = answering(vec![fault, answer("200 OK", "", MAP)]).await;
            let cluster = cluster(&url, 4, Duration::from_secs(20));
            cluster.fetch::<ConfigMap>(&map()).await.unwrap();
            assert_eq!(requests.lock().unwrap().len(), 2, "{cause}");
            assert_eq!(cluster.retries(), [(cause.to_owned(), 1)].into());
        }
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_after_an_answer_is_not_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cluster = cluster(&format!("http://{}", listener.local_addr().unwrap()), 1, Duration::from_secs(20));
        let ask = tokio::spawn(async move {
            for _ in 0..4 {
                cluster.fetch::<ConfigMap>(&map()).await.unwrap();
            }
        });
        // A right answer that keeps the connection alive; then it is closed.
        while !ask.is_finished() {
            let Ok(accepted) = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await else {
                continue;
            };
            let (mut stream, _) = accepted.unwrap();
            if request(&mut stream).await.is_some() {
                stream.write_all(answer("200 OK", "", MAP).as_bytes()).await.unwrap();
                // The next request is on its way.
                request(&mut stream).await;
            }
        }
        ask.await.unwrap();
    }

    #[tokio::test]
    async fn it_is_asked_at_most_three_times_and_never_beyond_the_deadline() {
        let (url, requests) = answering(vec![answer("503 Service Unavailable", "", "busy")]).await;
        let patient = cluster(&url, 4, Duration::from_secs(20));
        let why = patient.fetch::<ConfigMap>(&map()).await.unwrap_err();
        assert!(why.to_string().ends_with("HTTP 503: busy"), "{why}");
        assert_eq!(requests.lock().unwrap().len(), 3);
        let (url, requests) =
            answering(vec![answer("429 Too Many Requests", "retry-after: 60\r\n", "slow down")]).await;
        let hasty = cluster(&url, 4, Duration::from_secs(20));
        let why = hasty.fetch::<ConfigMap>(&map()).await.unwrap_err();
        assert!(why.to_string().ends_with("HTTP 429: slow down"), "{why}");
        assert_eq!((requests.lock().unwrap().len(), hasty.retries().len()), (1, 0));
    }

    #[tokio::test]
    async fn what_may_have_had_an_effect_and_what_is_observed_once_is_not_asked_again() {
        let (url, requests) = answering(vec![answer("503 Service Unavailable", "", "busy")]).await;
        let cluster = cluster(&url, 4, Duration::from_secs(20));
        cluster.send(&Call::create::<Pod>(json!({}))).await.unwrap();
        cluster.send(&Call::url("/readyz").on_new_connection()).await.unwrap();
        assert_eq!(requests.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn one_broken_connection_is_not_a_server_out_of_reach() {
        let cluster = cluster("http://127.0.0.1:1", 4, Duration::from_secs(20));
        let dials = std::cell::Cell::new(0);
        let dial = |breaks: usize| {
            dials.set(0);
            let dials = &dials;
            cluster.dial_again(move || {
                dials.set(dials.get() + 1);
                std::future::ready(if dials.get() > breaks { Ok(()) } else { Err(Unreachable::Closed) })
            })
        };
        assert_eq!(dial(2).await, Ok(()));
        assert_eq!(dial(9).await, Err(Unreachable::Closed));
        assert_eq!((dials.get(), cluster.retries()), (3, [("the connection was closed".to_owned(), 4)].into()));
        let refused = cluster.dial_again(|| std::future::ready(Err::<(), _>(Unreachable::Refused))).await;
        assert_eq!((refused, cluster.retries().values().sum::<usize>()), (Err(Unreachable::Refused), 4));
    }

    #[test]
    fn what_was_asked_for_is_not_transient() {
        let reply = |message: &str| Reply {
            status: 500,
            body: bytes::Bytes::from(json!({ "message": message }).to_string()),
            ..Reply::default()
        };
        let of_kubelet = "Get \"https://10.0.0.2:10250/containerLogs/kube-system/x/y\": dial tcp 10.0.0.2:10250: connect: connection refused";
        assert!(Transient::answer(&reply(of_kubelet), None).is_none());
        assert!(Transient::answer(&reply("[-]etcd failed: reason withheld\nreadyz check failed\n"), None).is_none());
        assert!(Transient::answer(&reply("etcdserver: request timed out"), None).is_some());
    }
}
