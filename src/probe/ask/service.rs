//! The Services in front of the probes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{OptionFuture, join_all, ready};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::SetOnce;
use tokio::time::Instant;

use super::asker::Asker;
use super::greet::{tcp_exchange, udp_exchange};
use super::retried::retried;
use super::terms::Terms;
use super::{Ask, whole};
use crate::milliseconds::milliseconds;
use crate::probe::PORT;
use crate::probe::fault::{Fault, Got};
use crate::probe::serve::Reply;
use crate::seen::{Seen, Unobserved};

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
/// In how many rounds requests must be lost to show that a backend is silent. In one alone, packets may be lost because its
/// node or this one only learns of it.
const SILENT_ROUNDS: u32 = 2;
/// How many requests show that a client stays with one backend.
const STICKY_REQUESTS: u32 = 8;
/// How many requests a Service gets that has too many backends to meet them all.
const SAMPLE: u32 = 16;

/// What the answer adds to a message, in bytes.
const SIZE: usize = 300;

/// The Services in front of the probes.
pub struct Services;

/// The Services in front of the probes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceQuestion {
    /// The ClusterIP that spreads over all probes.
    pub cluster_ip: IpAddr,
    /// Its node port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_port: Option<u16>,
    /// A Service that has existed for long, the API's. Where its ClusterIP is silent, newer ones are not waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<SocketAddr>,
    /// The ClusterIP that keeps a client with one probe.
    pub affinity_ip: IpAddr,
    /// The ClusterIP of the other family that spreads over all probes, in a cluster of two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_family_ip: Option<IpAddr>,
    /// How many probes to meet at it; none in a cluster too large to meet them all.
    pub backends: usize,
    /// The addresses of other nodes whose node port is tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_nodes: Vec<IpAddr>,
}

/// The Services in front of the probes: which backends answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAnswer {
    /// By TCP at the ClusterIP.
    pub tcp: Backends,
    /// By UDP at the ClusterIP.
    pub udp: Backends,
    /// By TCP at the ClusterIP that keeps a client with one backend.
    pub affinity: Backends,
    /// By TCP at the node port of the probe's own node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_port: Option<Backends>,
    /// By TCP at the ClusterIP of the other family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_family: Option<Backends>,
    /// By TCP at the node port of other nodes, by address: whether a probe answers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other_nodes: BTreeMap<IpAddr, Got<()>>,
}

/// Which backends answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backends {
    /// How many requests were sent.
    pub asked: u32,
    /// How often each backend answered.
    pub answered: BTreeMap<String, u32>,
    /// The last failure after the first success, or the last one of all when nothing ever answered.
    pub fault: Option<Fault>,
    /// How long after the probe began the first answer came, in milliseconds.
    pub first_ms: Option<u64>,
}

impl Ask for Services {
    type Question = Option<ServiceQuestion>;
    type Answer = Option<ServiceAnswer>;

    fn parts(question: &Self::Question) -> Vec<(usize, Self::Question)> {
        whole(question, SIZE)
    }

    async fn ask(question: &Self::Question, asker: &Asker) -> Self::Answer {
        match question {
            Some(question) => Some(answer(question, asker).await),
            None => None,
        }
    }
}

/// Asks every Service, each as often as it takes to meet every backend.
async fn answer(question: &ServiceQuestion, asker: &Asker) -> ServiceAnswer {
    let Asker { terms, run, .. } = asker;
    let spread = Spread { question, terms, works: SetOnce::new(), old_is_silent: SetOnce::new() };
    let spread = &spread;
    let cluster = SocketAddr::new(question.cluster_ip, PORT);
    let affinity = SocketAddr::new(question.affinity_ip, PORT);
    let node = asker.node_addresses.first();
    let node_port = question.node_port.zip(node).map(|(port, address)| SocketAddr::new(*address, port));
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
    let (tcp, udp, affinity, node_port, other_family, other_nodes, ()) = tokio::join!(
        spread.meet(|| tcp_exchange(cluster, run)),
        spread.meet(|| udp_exchange(cluster, run)),
        spread.some(STICKY_REQUESTS, || tcp_exchange(affinity, run)),
        meet_at(node_port),
        meet_at(other_family),
        OptionFuture::from(other_nodes),
        spread.try_old(),
    );
    let other_nodes = other_nodes.unwrap_or_default().into_iter().collect();
    ServiceAnswer { tcp, udp, affinity, node_port, other_family, other_nodes }
}

struct Spread<'a> {
    question: &'a ServiceQuestion,
    terms: &'a Terms,
    /// When the first of the Services answered. They were made together, and their rules come together.
    works: SetOnce<Instant>,
    /// Set when the old Service was found to be silent.
    old_is_silent: SetOnce<()>,
}

impl Spread<'_> {
    /// Finds out whether the Service that has existed for long is silent.
    async fn try_old(&self) {
        let Some(at) = self.question.old else { return };
        let connected =
            retried(self.terms.answer, async || TcpStream::connect(at).await.map(drop).map_err(Fault::from));
        if self.terms.answered(connected).await.is_err_and(|fault| fault.is_silence()) {
            // It is set nowhere else.
            let _ = self.old_is_silent.set(());
        }
    }

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
        let mut silent_rounds = 0;
        while backends.first_ms.is_some() && backends.answered.len() < expected && !self.terms.is_over() {
            let mut answers = stream::iter(0..more)
                .map(|_| self.terms.within(self.terms.answer / 2, exchange()))
                .buffer_unordered(AT_ONCE);
            let mut lost = false;
            while backends.answered.len() < expected
                && let Some(answer) = answers.next().await
            {
                lost |= answer == Err(Fault::TimedOut);
                backends.take(answer);
            }
            silent_rounds += u32::from(lost);
            if silent_rounds >= SILENT_ROUNDS || Instant::now() >= self.terms.settled() {
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
                .for_each(|answer| {
                    backends.take(answer);
                    ready(())
                })
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

    /// Until when a Service that fails like this may still begin to work. One that refuses connections may for as long as
    /// anything may. One that is silent, or to which nothing can be sent, may not for much longer than an answer takes once the
    /// others work; nor where an old Service is silent, whose rules are old too.
    fn waits_until(&self, fault: &Fault) -> Instant {
        let settled = self.terms.settled();
        let is_lost = fault.is_silence() || matches!(fault, Fault::Other(_));
        match (self.works.get(), self.old_is_silent.get()) {
            (Some(works), _) if is_lost => settled.min(*works + self.terms.answer * 3 / 2),
            (None, Some(())) if is_lost => Instant::now(),
            _ => settled,
        }
    }
}

impl Backends {
    /// Itself, if the probe had the time to ask.
    pub fn seen(&self) -> Seen<&Self> {
        match &self.fault {
            Some(fault @ Fault::Unanswered) if self.answered.is_empty() => {
                Err(Unobserved::unreachable("the Service", fault))
            }
            _ => Ok(self),
        }
    }

    /// Takes an exchange. One that the deadline of the probe cut off was not made.
    fn take(&mut self, answer: Got<Reply>) {
        self.asked += u32::from(answer != Err(Fault::Unanswered));
        match answer {
            Ok(reply) => *self.answered.entry(reply.pod).or_default() += 1,
            // An earlier fault was seen.
            Err(Fault::Unanswered) => drop(self.fault.get_or_insert(Fault::Unanswered)),
            Err(fault) => self.fault = Some(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const ANSWER: Duration = Duration::from_millis(400);

    fn question(backends: usize) -> ServiceQuestion {
        let ip = IpAddr::from([127, 0, 0, 1]);
        ServiceQuestion {
            cluster_ip: ip,
            node_port: None,
            old: None,
            affinity_ip: ip,
            other_family_ip: None,
            backends,
            other_nodes: Vec::new(),
        }
    }

    fn spread<'a>(question: &'a ServiceQuestion, terms: &'a Terms) -> Spread<'a> {
        Spread { question, terms, works: SetOnce::new(), old_is_silent: SetOnce::new() }
    }

    fn reply(pod: usize) -> Reply {
        Reply { run: "x7f4k".into(), nonce: 1, pod: format!("p{pod}"), from: [127, 0, 0, 1].into() }
    }

    #[tokio::test]
    async fn a_silent_backend_does_not_hold_up_the_others_nor_is_it_waited_for() {
        let (question, terms) = (question(3), Terms::new(LONG, ANSWER, LONG));
        let turn = Cell::new(0);
        let exchange = || {
            let backend = turn.replace(turn.get() + 1) % 3;
            async move { if backend == 2 { pending().await } else { Ok(reply(backend)) } }
        };
        let seen = spread(&question, &terms).meet(exchange).await;
        assert_eq!(seen.answered.keys().collect::<Vec<_>>(), ["p0", "p1"]);
        assert_eq!((seen.asked, seen.fault), (31, Some(Fault::TimedOut)));
        assert!(terms.elapsed() < 10 * ANSWER, "{:?}", terms.elapsed());
    }

    #[tokio::test]
    async fn a_backend_whose_first_packets_are_lost_is_met_in_the_next_round() {
        let (question, terms) = (question(2), Terms::new(LONG, ANSWER, LONG));
        let turn = Cell::new(0);
        let first_round = 1 + 2 * REQUESTS_PER_BACKEND;
        let exchange = || {
            let asked = turn.replace(turn.get() + 1);
            async move {
                if asked < first_round && asked % 2 == 1 { pending().await } else { Ok(reply((asked % 2) as usize)) }
            }
        };
        let seen = spread(&question, &terms).meet(exchange).await;
        assert_eq!(seen.answered.keys().collect::<Vec<_>>(), ["p0", "p1"]);
    }

    #[tokio::test]
    async fn a_backend_that_becomes_known_late_is_waited_for_until_names_and_addresses_are_settled() {
        let (question, terms) = (question(2), Terms::new(LONG, ANSWER, LONG));
        let turn = Cell::new(0);
        let exchange = || {
            let backend = turn.replace(turn.get() + 1) % 2;
            let is_known = terms.elapsed() > ANSWER;
            async move { Ok(reply(if is_known { backend } else { 0 })) }
        };
        let seen = spread(&question, &terms).meet(exchange).await;
        assert_eq!((seen.answered.len(), seen.fault), (2, None));
        let terms = Terms::new(ANSWER, ANSWER, LONG);
        let seen = spread(&question, &terms).meet(async || Ok(reply(0))).await;
        assert_eq!((seen.answered.len(), seen.fault), (1, None));
    }

    #[tokio::test]
    async fn a_service_that_refuses_may_begin_to_work_and_counts_from_then_on() {
        let (question, terms) = (question(1), Terms::new(LONG, ANSWER, LONG));
        let exchange = || {
            let works = terms.elapsed() > ANSWER;
            async move { if works { Ok(reply(0)) } else { Err(Fault::Refused) } }
        };
        let seen = spread(&question, &terms).some(8, exchange).await;
        assert_eq!((seen.asked, seen.answered["p0"], seen.fault), (8, 8, None));
        assert!(seen.first_ms.is_some_and(|first| first >= milliseconds(ANSWER)));
    }

    #[tokio::test]
    async fn a_silent_service_is_not_waited_for_where_others_work_or_an_old_one_is_silent() {
        let question = question(1);
        for old_is_silent in [false, true] {
            let terms = Terms::new(LONG, ANSWER, LONG);
            let spread = spread(&question, &terms);
            if old_is_silent {
                spread.old_is_silent.set(()).unwrap();
            } else {
                spread.works.set(Instant::now()).unwrap();
            }
            let seen = spread.first(pending).await;
            assert_eq!((seen.answered.len(), seen.first_ms, seen.fault), (0, None, Some(Fault::TimedOut)));
            assert!(terms.elapsed() < 10 * ANSWER, "{:?}", terms.elapsed());
        }
        let terms = Terms::new(2 * ANSWER, ANSWER, LONG);
        assert_eq!(spread(&question, &terms).first(pending).await.fault, Some(Fault::TimedOut));
        assert!(terms.elapsed() + 2 * PAUSE >= 2 * ANSWER, "its rules may come until all is settled");
    }
}
