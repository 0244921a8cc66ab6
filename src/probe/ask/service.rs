//! The Services in front of the probes.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::{OptionFuture, join_all};
use tokio::time::timeout;

use super::batch::Terms;
use super::peer;
use crate::live::RunId;
use crate::probe::PORT;
use crate::probe::answer::{Backends, Fault, Got, ServiceAnswer};
use crate::probe::question::ServiceQuestion;
use crate::probe::serve::Reply;

/// How often a Service is asked again before the nodes have its rules.
const PAUSE: Duration = Duration::from_millis(50);
/// How long one of these may take at the beginning.
const IMPATIENCE: Duration = Duration::from_millis(200);
/// How many requests per backend make it all but certain that a random choice meets every one of them.
const REQUESTS_PER_BACKEND: u32 = 8;
/// How many more per backend are sent after each pause, when some have not answered yet.
const MORE_REQUESTS_PER_BACKEND: u32 = 2;
/// The most requests to one Service at once.
const REQUESTS: u32 = 64;
/// How many requests show that a client stays with one backend.
const STICKY_REQUESTS: u32 = 8;
/// How many requests a Service gets that has too many backends to meet them all.
const SAMPLE: u32 = 16;

/// Asks every Service, each as often as it takes to meet every backend.
pub async fn ask(question: &ServiceQuestion, node: &[IpAddr], run: &RunId, terms: &Terms) -> ServiceAnswer {
    let spread = Spread { question, terms };
    let cluster = SocketAddr::new(question.cluster_ip, PORT);
    let affinity = SocketAddr::new(question.affinity_ip, PORT);
    let node_port = question.node_port.zip(node.first()).map(|(port, address)| SocketAddr::new(*address, port));
    let other_family = question.other_family_ip.map(|ip| SocketAddr::new(ip, PORT));
    let meet_at = async |at: Option<SocketAddr>| match at {
        Some(at) => Some(spread.meet(|| peer::by_tcp(at, run, terms.answer)).await),
        None => None,
    };
    let other_nodes = question.node_port.map(|port| {
        join_all(question.other_nodes.iter().map(move |ip| async move {
            let at = SocketAddr::new(*ip, port);
            let seen = spread.first(|| peer::by_tcp(at, run, terms.answer)).await;
            let answered = if seen.answered.is_empty() { Err(seen.fault.unwrap_or(Fault::TimedOut)) } else { Ok(()) };
            (*ip, answered)
        }))
    });
    let (tcp, udp, affinity, node_port, other_family, other_nodes) = tokio::join!(
        spread.meet(|| peer::by_tcp(cluster, run, terms.answer)),
        spread.meet(|| peer::by_udp(cluster, run, terms.answer)),
        spread.some(STICKY_REQUESTS, || peer::by_tcp(affinity, run, terms.answer)),
        meet_at(node_port),
        meet_at(other_family),
        OptionFuture::from(other_nodes),
    );
    let other_nodes = other_nodes.unwrap_or_default().into_iter().collect();
    ServiceAnswer { tcp, udp, affinity, node_port, other_family, other_nodes }
}

#[derive(Clone, Copy)]
struct Spread<'a> {
    question: &'a ServiceQuestion,
    terms: &'a Terms,
}

impl Spread<'_> {
    /// Asks until every backend has answered, or so often that one which has not is not behind the Service.
    async fn meet<F: Future<Output = Got<Reply>>>(&self, exchange: impl Fn() -> F) -> Backends {
        let expected = self.question.backends;
        if expected == 0 {
            return self.some(SAMPLE, exchange).await;
        }
        let mut backends = self.first(&exchange).await;
        let per_backend = |requests: u32| u32::try_from(expected).unwrap_or(u32::MAX).saturating_mul(requests);
        let mut limit = per_backend(REQUESTS_PER_BACKEND).min(REQUESTS);
        while backends.first_ms.is_some() && backends.answered.len() < expected {
            if backends.asked >= limit {
                if Instant::now() >= self.terms.settled {
                    break;
                }
                // Backends whose addresses are not known to this node yet will be.
                tokio::time::sleep(PAUSE).await;
                limit = backends.asked.saturating_add(per_backend(MORE_REQUESTS_PER_BACKEND).min(REQUESTS));
            }
            backends.asked += 1;
            backends.take(exchange().await);
        }
        backends
    }

    /// Asks a few times; who stays with one backend is seen from the answers.
    async fn some<F: Future<Output = Got<Reply>>>(&self, requests: u32, exchange: impl Fn() -> F) -> Backends {
        let mut backends = self.first(&exchange).await;
        while backends.first_ms.is_some() && backends.asked < requests {
            backends.asked += 1;
            backends.take(exchange().await);
        }
        backends
    }

    /// Asks until somebody answers or should have.
    async fn first<F: Future<Output = Got<Reply>>>(&self, exchange: impl Fn() -> F) -> Backends {
        let mut backends = Backends::default();
        let began = Instant::now();
        loop {
            // What is sent before a node has the rules is lost: to wait long for it would be to learn late of the rules.
            let patience = (began.elapsed() / 4).clamp(IMPATIENCE, self.terms.answer);
            let answer = timeout(patience, exchange()).await.unwrap_or(Err(Fault::TimedOut));
            match answer {
                Ok(reply) => {
                    // Only the exchanges since the Service works count.
                    backends = Backends { asked: 1, ..Backends::default() };
                    let since = self.terms.began.elapsed().as_millis();
                    backends.first_ms = u64::try_from(since).ok();
                    backends.take(Ok(reply));
                    return backends;
                }
                Err(fault) => {
                    backends.asked += 1;
                    backends.fault = Some(fault);
                    if Instant::now() + PAUSE >= self.terms.settled {
                        return backends;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

impl Backends {
    fn take(&mut self, answer: Got<Reply>) {
        match answer {
            Ok(reply) => *self.answered.entry(reply.pod).or_default() += 1,
            Err(fault) => self.fault = Some(fault),
        }
    }
}
