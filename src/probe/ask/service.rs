//! The Services in front of the probes.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{OptionFuture, join_all, ready};
use futures_util::stream;
use tokio::sync::SetOnce;
use tokio::time::Instant;

use super::peer::{tcp_exchange, udp_exchange};
use super::retried::retried;
use super::terms::Terms;
use crate::live::RunId;
use crate::milliseconds::milliseconds;
use crate::probe::PORT;
use crate::probe::answer::{Backends, ServiceAnswer};
use crate::probe::fault::{Fault, Got};
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
/// The most requests to one Service before a pause.
const REQUESTS: u32 = 64;
/// How many requests to one Service run at once: those that a silent backend swallows must not hold up the others.
const AT_ONCE: usize = 8;
/// How many requests without any answer show that a backend is silent, and not only unknown to the node so far.
const SILENT: u32 = 3;
/// How many requests show that a client stays with one backend.
const STICKY_REQUESTS: u32 = 8;
/// How many requests a Service gets that has too many backends to meet them all.
const SAMPLE: u32 = 16;

/// Asks every Service, each as often as it takes to meet every backend.
pub async fn ask(question: &ServiceQuestion, node: &[IpAddr], run: &RunId, terms: &Terms) -> ServiceAnswer {
    let spread = Spread { question, terms, works: SetOnce::new() };
    let spread = &spread;
    let cluster = SocketAddr::new(question.cluster_ip, PORT);
    let affinity = SocketAddr::new(question.affinity_ip, PORT);
    let node_port = question.node_port.zip(node.first()).map(|(port, address)| SocketAddr::new(*address, port));
    let other_family = question.other_family_ip.map(|ip| SocketAddr::new(ip, PORT));
    let meet_at = async |at: Option<SocketAddr>| match at {
        Some(at) => Some(spread.meet(|| tcp_exchange(at, run)).await),
        None => None,
    };
    let other_nodes = question.node_port.map(|port| {
        join_all(question.other_nodes.iter().map(move |ip| async move {
            let at = SocketAddr::new(*ip, port);
            let seen = spread.first(|| tcp_exchange(at, run)).await;
            let answered = if seen.answered.is_empty() { Err(seen.fault.unwrap_or(Fault::TimedOut)) } else { Ok(()) };
            (*ip, answered)
        }))
    });
    let (tcp, udp, affinity, node_port, other_family, other_nodes) = tokio::join!(
        spread.meet(|| tcp_exchange(cluster, run)),
        spread.meet(|| udp_exchange(cluster, run)),
        spread.some(STICKY_REQUESTS, || tcp_exchange(affinity, run)),
        meet_at(node_port),
        meet_at(other_family),
        OptionFuture::from(other_nodes),
    );
    let other_nodes = other_nodes.unwrap_or_default().into_iter().collect();
    ServiceAnswer { tcp, udp, affinity, node_port, other_family, other_nodes }
}

struct Spread<'a> {
    question: &'a ServiceQuestion,
    terms: &'a Terms,
    /// When the first of the Services answered. They were made together, and their rules come together.
    works: SetOnce<Instant>,
}

impl Spread<'_> {
    /// Asks until every backend has answered, or so often that one which has not is not an endpoint of the Service, or does
    /// not answer.
    async fn meet<F: Future<Output = Got<Reply>>>(&self, exchange: impl Fn() -> F) -> Backends {
        let expected = self.question.backends;
        if expected == 0 {
            return self.some(SAMPLE, exchange).await;
        }
        let mut backends = self.first(&exchange).await;
        let per_backend = |requests: u32| u32::try_from(expected).unwrap_or(u32::MAX).saturating_mul(requests);
        let mut more = per_backend(REQUESTS_PER_BACKEND).min(REQUESTS);
        let mut silent = 0;
        while backends.first_ms.is_some() && backends.answered.len() < expected && !self.terms.is_over() {
            let mut answers = stream::iter(0..more)
                .map(|_| self.terms.within(self.terms.answer / 2, exchange()))
                .buffer_unordered(AT_ONCE);
            while backends.answered.len() < expected
                && let Some(answer) = answers.next().await
            {
                silent += u32::from(answer == Err(Fault::TimedOut));
                backends.take(answer);
            }
            if silent >= SILENT || Instant::now() >= self.terms.settled() {
                break;
            }
            // Backends whose addresses are not known to this node yet will be.
            self.terms.pause(PAUSE).await;
            more = per_backend(MORE_REQUESTS_PER_BACKEND).min(REQUESTS);
        }
        backends
    }

    /// Asks a few times; a client that stays with one backend shows in the answers.
    async fn some<F: Future<Output = Got<Reply>>>(&self, requests: u32, exchange: impl Fn() -> F) -> Backends {
        let mut backends = self.first(&exchange).await;
        if backends.first_ms.is_some() {
            stream::iter(1..requests)
                .map(|_| self.terms.answered(retried(self.terms.answer, &exchange)))
                .buffer_unordered(AT_ONCE)
                .for_each(|answer| ready(backends.take(answer)))
                .await;
        }
        backends
    }

    /// Asks until the Service answers or should have.
    async fn first<F: Future<Output = Got<Reply>>>(&self, exchange: impl Fn() -> F) -> Backends {
        let mut backends = Backends::default();
        let began = Instant::now();
        loop {
            // What is sent before a node has the rules is lost: to wait long for it would be to learn late of the rules.
            let patience = (began.elapsed() / 4).clamp(IMPATIENCE.min(self.terms.answer), self.terms.answer);
            let answer = self.terms.within(patience, exchange()).await;
            if answer.is_ok() {
                // Only the exchanges since the Service works count.
                backends = Backends { first_ms: Some(milliseconds(self.terms.elapsed())), ..Backends::default() };
                // The first one counts.
                let _ = self.works.set(Instant::now());
            }
            let ends = answer.as_ref().err().map(|fault| self.waits_until(fault));
            backends.take(answer);
            match ends {
                Some(ends) if Instant::now() + PAUSE < ends => self.terms.pause(PAUSE).await,
                _ => return backends,
            }
        }
    }

    /// Until when a Service that fails like this may still come to work. One that refuses may for as long as anything may. One
    /// that is silent may not for longer than an answer takes once the others work; nor where the ClusterIP of the API,
    /// whose rules are old, is silent too.
    fn waits_until(&self, fault: &Fault) -> Instant {
        let settled = self.terms.settled();
        match (self.works.get(), self.terms.old_service_answers.get()) {
            (Some(works), _) if fault.is_silence() => settled.min(*works + self.terms.answer),
            (None, Some(false)) if fault.is_silence() => Instant::now(),
            _ => settled,
        }
    }
}

impl Backends {
    /// Takes an exchange. One that the deadline of the probe cut off was not made.
    fn take(&mut self, answer: Got<Reply>) {
        self.asked += u32::from(answer != Err(Fault::Unanswered));
        match answer {
            Ok(reply) => *self.answered.entry(reply.pod).or_default() += 1,
            // What was seen before says more.
            Err(Fault::Unanswered) => drop(self.fault.get_or_insert(Fault::Unanswered)),
            Err(fault) => self.fault = Some(fault),
        }
    }
}
