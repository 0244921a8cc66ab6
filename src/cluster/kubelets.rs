//! What is known of kubelets, and their turns.
//!
//! Where packets to kubelets are dropped, as by a firewall before their port, each request takes its whole deadline. They take
//! turns among themselves, so that requests to the API server do not wait for them, and a kubelet that did not answer once is
//! not asked again.
//!
//! A turn is that of a kubelet, not of a request: all that observations ask of one kubelet at about the same time happens in one
//! visit, with one client for each credential, so that thousands of kubelets are not greeted several times each.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{self, OnceCell, OwnedSemaphorePermit, Semaphore};

use super::kubelet::KubeletClient;
use super::turn::Turn;
use super::{Cluster, open_files};
use crate::seen::{Seen, Unobserved};

/// How many kubelets are asked at once, for each request to the API server that may be in flight. Most of them are waited for,
/// and each takes at most a few file descriptors.
const FOR_EACH_JOB: usize = 8;
/// How many open files there must be room for, for each kubelet that is visited: five connections at most, and some for all
/// else.
const FILES_OF_A_VISIT: usize = 8;
/// After how many silent kubelets, of which none answered, the others are not dialled any more.
const ENOUGH: usize = 48;

/// The kubelets of a cluster, as far as they were dialled.
pub(super) struct Kubelets {
    visits: Arc<Semaphore>,
    known: Mutex<BTreeMap<SocketAddr, Arc<Known>>>,
    answered: AtomicUsize,
    silent: AtomicUsize,
    asked: AtomicUsize,
}

/// What is known of a kubelet.
#[derive(Default)]
struct Known {
    /// The outcome of the first connection.
    dialled: OnceCell<Seen<()>>,
    /// Why it did not answer a request later.
    silent: OnceLock<Unobserved>,
    /// The visit that goes on, if one does.
    visit: sync::Mutex<Weak<Visit>>,
}

/// A visit of one kubelet. It ends, and its connections are closed, when nothing more is asked in it.
pub(super) struct Visit {
    _permit: OwnedSemaphorePermit,
    /// The client with our own credential. It is locked while it is used, so that one connection is enough.
    pub(super) own: sync::Mutex<Option<KubeletClient>>,
    /// The same without a credential.
    pub(super) stranger: sync::Mutex<Option<reqwest::Client>>,
}

/// How many kubelets are visited at once.
fn visits(jobs: usize, open_files: usize) -> usize {
    jobs.saturating_mul(FOR_EACH_JOB).min(open_files / FILES_OF_A_VISIT).max(1)
}

impl Kubelets {
    pub(super) fn new(jobs: usize, clusters: NonZeroUsize) -> Self {
        Self {
            visits: Arc::new(Semaphore::new(visits(jobs, open_files::limit() / clusters))),
            known: Mutex::default(),
            answered: AtomicUsize::new(0),
            silent: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
        }
    }

    /// How many exchanges with kubelets there were.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn known(&self, kubelet: SocketAddr) -> Arc<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).entry(kubelet).or_default().clone()
    }
}

impl Cluster {
    /// Waits for the turn of an exchange with a kubelet, which is dialled first unless it is known.
    pub(super) async fn turn_of_kubelet(&self, kubelet: SocketAddr) -> Seen<Turn<'_, Arc<Visit>>> {
        // One that was not reached is not visited again.
        if let Some(dialled) = self.kubelets.known(kubelet).dialled.get() {
            dialled.clone()?;
        }
        let visit = self.visit(kubelet).await?;
        self.dialled_in(&visit, kubelet).await?;
        self.still_answers(kubelet)?;
        self.kubelets.asked.fetch_add(1, Ordering::Relaxed);
        self.begin_turn(visit)
    }

    /// An error if a kubelet has been silent meanwhile.
    pub(super) fn still_answers(&self, kubelet: SocketAddr) -> Seen<()> {
        self.kubelets.known(kubelet).silent.get().map_or(Ok(()), |why| Err(why.clone()))
    }

    /// Whether a kubelet accepts connections. It is dialled once in a run.
    pub async fn reach_kubelet(&self, kubelet: SocketAddr) -> Seen<()> {
        if let Some(dialled) = self.kubelets.known(kubelet).dialled.get() {
            return dialled.clone();
        }
        let visit = self.visit(kubelet).await?;
        self.dialled_in(&visit, kubelet).await
    }

    /// Joins the visit of a kubelet, or waits for the turn of one.
    async fn visit(&self, kubelet: SocketAddr) -> Seen<Arc<Visit>> {
        let known = self.kubelets.known(kubelet);
        let mut current = known.visit.lock().await;
        if let Some(visit) = current.upgrade() {
            return Ok(visit);
        }
        let permit = self.kubelets.visits.clone().acquire_owned().await;
        let permit = permit.map_err(|e| Unobserved::unreachable(kubelet.to_string(), e))?;
        let visit = Arc::new(Visit { _permit: permit, own: sync::Mutex::default(), stranger: sync::Mutex::default() });
        *current = Arc::downgrade(&visit);
        Ok(visit)
    }

    /// The outcome of dialling a kubelet, which happens in the first visit.
    async fn dialled_in(&self, _: &Visit, kubelet: SocketAddr) -> Seen<()> {
        self.kubelets.known(kubelet).dialled.get_or_init(|| self.dial_kubelet(kubelet)).await.clone()
    }

    /// Dials other ports of a kubelet's node, each within the deadline, in the turn of the kubelet.
    pub async fn beside_kubelet<F: Future>(
        &self,
        kubelet: SocketAddr,
        dial: impl FnOnce(Duration) -> F,
    ) -> Seen<F::Output> {
        let turn = self.turn_of_kubelet(kubelet).await?;
        Ok(dial(turn.deadline).await)
    }

    async fn dial_kubelet(&self, kubelet: SocketAddr) -> Seen<()> {
        let Kubelets { answered, silent, .. } = self.kubelets.as_ref();
        if let Some(why) = self.out_of_time() {
            return Err(why);
        }
        if answered.load(Ordering::Relaxed) == 0 && silent.load(Ordering::Relaxed) >= ENOUGH {
            let cause = format!("it was not dialled, since {ENOUGH} kubelets did not answer, and none did");
            return Err(Unobserved::unreachable(kubelet.to_string(), cause));
        }
        let deadline = self.deadline(self.settings().request_timeout);
        if let Ok(dialled) = tokio::time::timeout(deadline, TcpStream::connect(kubelet)).await {
            answered.fetch_add(1, Ordering::Relaxed);
            dialled.map(drop).map_err(|e| match e.kind() {
                std::io::ErrorKind::ConnectionRefused => {
                    Unobserved::unreachable(kubelet.to_string(), "connection refused")
                }
                _ => Unobserved::unreachable(kubelet.to_string(), e),
            })
        } else {
            silent.fetch_add(1, Ordering::Relaxed);
            Err(Unobserved::timed_out(kubelet.to_string(), deadline))
        }
    }

    /// Remembers that a kubelet did not answer, if that is why something was not seen.
    pub(super) fn remember_kubelet<T>(&self, kubelet: SocketAddr, seen: &Seen<T>) {
        if let Err(why @ Unobserved::TimedOut { .. }) = seen {
            // The first reason stays.
            _ = self.kubelets.known(kubelet).silent.set(why.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Instant;

    use futures_util::future::join_all;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;
    use crate::cluster::Call;
    use crate::cluster::testing::cluster;

    const DEADLINE: Duration = Duration::from_millis(700);

    /// A port that answers no SYN any more, on every loopback address, for as long as the sockets are kept.
    async fn silent() -> (u16, TcpListener, Vec<tokio::task::JoinHandle<()>>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let port = listener.local_addr().unwrap().port();
        let fill = |_| {
            tokio::spawn(async move {
                let Ok(_kept) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                std::future::pending::<()>().await;
            })
        };
        let filling = (0..4).map(fill).collect();
        for _ in 0..50 {
            let dialled = tokio::time::timeout(DEADLINE / 2, TcpStream::connect(("127.0.0.1", port))).await;
            if dialled.is_err() {
                return (port, listener, filling);
            }
        }
        panic!("the port accepts connections without end");
    }

    /// The n-th loopback address.
    fn at(n: u8, port: u16) -> SocketAddr {
        (IpAddr::V4(Ipv4Addr::new(127, 0, 1, n)), port).into()
    }

    #[test]
    fn visits_leave_room_for_other_files() {
        assert_eq!([visits(16, 1024), visits(16, 256), visits(64, 1024), visits(1, 3)], [128, 32, 128, 1]);
    }

    #[tokio::test]
    async fn requests_do_not_wait_for_kubelets_that_are_silent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1024];
                _ = stream.read(&mut request).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            }
        });
        let (port, _listener, _filling) = silent().await;
        let cluster = cluster(&url, 1, DEADLINE);
        let kubelets = join_all((1..=40).map(|n| cluster.reach_kubelet(at(n, port))));
        let call = Call::url("/livez");
        let began = Instant::now();
        let request = async {
            tokio::task::yield_now().await;
            let reply = cluster.send(&call).await.unwrap();
            (reply.status, began.elapsed())
        };
        let (kubelets, (status, took)) = tokio::join!(kubelets, request);
        assert!(kubelets.iter().all(|seen| matches!(seen, Err(Unobserved::TimedOut { .. }))), "{kubelets:?}");
        assert_eq!(status, 200);
        assert!(took < DEADLINE, "{took:?}");
    }

    #[tokio::test]
    async fn a_silent_kubelet_is_dialled_once_and_many_end_the_dialling() {
        let (port, _listener, _filling) = silent().await;
        let cluster = cluster("http://127.0.0.1:1", 1, DEADLINE);
        let began = Instant::now();
        let first = join_all((1..=200).map(|n| cluster.reach_kubelet(at(n, port)))).await;
        // Eight at once, until enough were silent.
        let rounds = u32::try_from(ENOUGH / FOR_EACH_JOB + 2).unwrap();
        assert!(began.elapsed() < DEADLINE * rounds, "{:?}", began.elapsed());
        let dialled = first.iter().filter(|seen| matches!(seen, Err(Unobserved::TimedOut { .. }))).count();
        assert!((ENOUGH..ENOUGH + FOR_EACH_JOB).contains(&dialled), "{dialled}");
        assert!(first[199].as_ref().unwrap_err().to_string().contains("it was not dialled, since"));
        let began = Instant::now();
        let again = join_all((1..=200).map(|n| cluster.turn_of_kubelet(at(n, port)))).await;
        assert!(again.iter().all(Result::is_err) && began.elapsed() < DEADLINE, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_kubelet_that_was_silent_to_one_request_is_not_sent_another() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let kubelet = listener.local_addr().unwrap();
        let cluster = cluster("http://127.0.0.1:1", 1, DEADLINE);
        let seen = cluster.ask_kubelet(kubelet, "/configz", "x").await;
        assert!(matches!(seen, Err(Unobserved::TimedOut { .. })), "{seen:?}");
        let began = Instant::now();
        cluster.ask_kubelet(kubelet, "/metrics", "x").await.unwrap_err();
        assert!(began.elapsed() < DEADLINE / 2, "{:?}", began.elapsed());
    }
}
