//! DNS servers, asked directly: nothing is cached, searched or retried unless it is mentioned here.

pub mod client;
pub mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use hickory_proto::rr::RecordType;
use serde::{Deserialize, Serialize};
use tokio::sync::SetOnce;
use tokio::time::Instant;

use self::client::{Response, by_tcp, by_udp, response_by_udp};
use self::record::{Purpose, Record, RecordAnswer, RecordQuestion, Records};
use super::asker::Asker;
use super::repeated::{Latency, repeated};
use super::resolver;
use super::retried::retried;
use super::terms::Terms;
use super::{Ask, whole};
use crate::probe::fault::{Fault, Got};
use crate::seen::{Seen, Unobserved};

/// How often records are asked for again while they are not known yet.
const PAUSE: Duration = Duration::from_millis(100);

/// What answers add to a message, in bytes.
mod size {
    /// A server.
    pub(super) const SERVER: usize = 80;
    /// Other records, which all servers answer alike: at the first, and at each.
    pub(super) const RECORDS: (usize, usize) = (900, 80);
}

/// DNS servers.
pub struct Dns;

/// What is asked of DNS servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsQuestion {
    /// The servers: the Service's address first, then each of its pods. Those that the pod itself is configured to ask are
    /// asked as well.
    pub servers: Vec<SocketAddr>,
    /// The name to ask for, fully qualified.
    pub name: String,
    /// Whether to ask for its IPv6 address, and not for its IPv4 address.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ipv6: bool,
    /// How often to ask each server by UDP.
    pub udp: u32,
    /// How often to ask each server by TCP.
    pub tcp: u32,
    /// What else to ask each server, once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<RecordQuestion>,
}

/// What one DNS server answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DnsAnswer {
    /// By UDP.
    pub udp: Lookups,
    /// By TCP.
    pub tcp: Lookups,
    /// Other records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<RecordAnswer>,
}

/// Lookups of one name at one server by one protocol.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lookups {
    /// How many were sent.
    pub asked: u32,
    /// How many were answered with an address.
    pub answered: u32,
    /// The addresses that were answered.
    pub addresses: Vec<IpAddr>,
    /// The first failure.
    pub fault: Option<Fault>,
    /// How long answers took.
    pub latency: Option<Latency>,
}

impl Lookups {
    /// Itself, if the probe had the time to ask.
    pub fn seen(&self) -> Seen<&Self> {
        match &self.fault {
            Some(fault @ Fault::Unanswered) if self.asked == 0 => Err(Unobserved::unreachable("the DNS server", fault)),
            _ => Ok(self),
        }
    }
}

impl DnsAnswer {
    /// The answer to the question of this purpose.
    pub fn record(&self, purpose: Purpose) -> Option<&RecordAnswer> {
        self.records.iter().find(|answer| answer.asked.purpose == purpose)
    }
}

impl Ask for Dns {
    type Question = Option<DnsQuestion>;
    type Answer = BTreeMap<SocketAddr, DnsAnswer>;

    fn parts(question: &Self::Question) -> Vec<(usize, Self::Question)> {
        let size = question.as_ref().map_or(0, |question| {
            let (first, each) = if question.records.is_empty() { (0, 0) } else { size::RECORDS };
            first + question.servers.len() * (size::SERVER + each)
        });
        whole(question, size)
    }

    async fn ask(question: &Self::Question, asker: &Asker) -> Self::Answer {
        let Some(question) = question else { return BTreeMap::new() };
        let resolver = resolver::read().await;
        let servers: BTreeSet<SocketAddr> = question.servers.iter().copied().chain(resolver.servers()).collect();
        let answers =
            servers.iter().map(async |server| (*server, server_answers(*server, question, &asker.terms).await));
        join_all(answers).await.into_iter().collect()
    }
}

async fn server_answers(server: SocketAddr, question: &DnsQuestion, terms: &Terms) -> DnsAnswer {
    let kind = if question.ipv6 { RecordType::AAAA } else { RecordType::A };
    let answers = SetOnce::new();
    let udp = async {
        let lookup = async || {
            let got = terms.answered(by_udp(server, &question.name, kind)).await;
            if !got.as_ref().is_err_and(Fault::is_silence) {
                let _ = answers.set(true);
            }
            got
        };
        let done = lookups(question.udp, lookup, terms).await;
        // After an answer this changes nothing.
        let _ = answers.set(false);
        done
    };
    let records = async {
        // A path that drops the first packets is not asked more.
        let answers = *answers.wait().await;
        let records = question.records.iter().map(async |question| {
            let got = if answers { records(server, question, terms).await } else { Err(Fault::Unanswered) };
            RecordAnswer { asked: question.record.clone(), got }
        });
        join_all(records).await
    };
    let tcp = lookups(question.tcp, || terms.answered(by_tcp(server, &question.name, kind)), terms);
    let (udp, tcp, records) = tokio::join!(udp, tcp, records);
    DnsAnswer { udp, tcp, records }
}

/// Asks for records until there are as many as there will be, or should be. Silence ends it.
async fn records(server: SocketAddr, question: &RecordQuestion, terms: &Terms) -> Got<Records> {
    let Record { kind, name, .. } = &question.record;
    loop {
        let asked = retried(terms.answer, || response_by_udp(server, name, (*kind).into()));
        let Response { code, data, truncated, .. } = terms.answered(asked).await?;
        let records = Records { code, data, truncated };
        if question.is_complete(&records) || Instant::now() + PAUSE >= terms.settled() {
            return Ok(records);
        }
        terms.pause(PAUSE).await;
    }
}

async fn lookups<F: Future<Output = Got<Vec<IpAddr>>>>(count: u32, lookup: impl Fn() -> F, terms: &Terms) -> Lookups {
    let answers = repeated(count, terms, lookup).await;
    let mut done = Lookups { asked: u32::try_from(answers.len()).unwrap_or(u32::MAX), ..Lookups::default() };
    if count > 0 && answers.is_empty() {
        done.fault = Some(Fault::Unanswered);
    }
    let mut took = Vec::new();
    for (answer, micros) in answers {
        match answer {
            Ok(addresses) => {
                done.answered += 1;
                done.addresses.extend(addresses);
                took.push(micros);
            }
            Err(fault) => done.fault = done.fault.or(Some(fault)),
        }
    }
    done.addresses.sort_unstable();
    done.addresses.dedup();
    done.latency = Latency::of(took);
    done
}
