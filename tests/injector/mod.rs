//! A proxy in front of an API server that injects faults.
//!
//! It terminates TLS with the API server's own certificate. It passes each request on with the client's identity: with the
//! administrator's certificate, with none, or impersonating the user. A seed decides which request meets which fault.

pub(crate) mod answer;
mod asked;
mod fault;
mod line;
mod origin;
mod weather;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::weather::Course;
pub(crate) use fault::Fault;
pub(crate) use origin::{Failure, Identity, Origin};
pub(crate) use weather::Weather;

/// How often each fault was injected.
pub(crate) type Counts = BTreeMap<Fault, usize>;

/// A proxy that serves until it is dropped.
pub(crate) struct Injector {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

/// What all connections share.
struct Shared {
    origin: Arc<Origin>,
    course: Course,
    counts: Mutex<Counts>,
    failures: Mutex<Vec<String>>,
}

impl Shared {
    fn count(&self, fault: Fault) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(fault).or_default() += 1;
    }

    fn fail(&self, why: Failure) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(why.to_string());
    }
}

impl Injector {
    /// Begins to serve on the loopback interface.
    pub(crate) async fn start(origin: Arc<Origin>, weather: Weather) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (counts, failures) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { origin, course: Course::new(weather), counts, failures });
        let serving = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self { address, shared, serving })
    }

    /// How often each fault was injected so far.
    pub(crate) fn counts(&self) -> Counts {
        self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the proxy itself could not do. A run with such a failure shows nothing.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.shared.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if shared.course.drops_connection() => {
                drop(stream);
                shared.count(Fault::Dropped);
            }
            Ok((stream, _)) => {
                let shared = shared.clone();
                tokio::spawn(async move {
                    if let Err(why) = line::serve(shared.clone(), stream).await {
                        shared.fail(why);
                    }
                });
            }
            Err(why) => shared.fail(why.into()),
        }
    }
}
