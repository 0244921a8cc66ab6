//! DNS servers, asked directly: nothing is cached, searched or retried unless said so here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::SetOnce;
use tokio::time::Instant;

use super::repeated::repeated;
use super::resolver::short_name;
use super::retried::retried;
use super::terms::Terms;
use crate::ports;
use crate::probe::answer::{DnsAnswer, Latency, Lookups, Records, Resolver};
use crate::probe::fault::{Fault, Got};
use crate::probe::question::{DnsQuestion, RecordQuestion};

/// How often records are asked for again while they are not known yet.
const PAUSE: Duration = Duration::from_millis(100);
/// The most that an answer by UDP may hold, in bytes.
const DATAGRAM: usize = 4096;

/// Asks each server by both protocols, and those that the pod itself is configured to ask; and the C library for a short name.
pub async fn ask(
    question: &DnsQuestion,
    resolver: &Resolver,
    terms: &Terms,
) -> (BTreeMap<SocketAddr, DnsAnswer>, Got<BTreeSet<IpAddr>>) {
    let own: BTreeSet<SocketAddr> = servers_of(resolver).collect();
    let servers: BTreeSet<SocketAddr> = question.servers.iter().copied().chain(own.iter().copied()).collect();
    let all_own_are_silent = SetOnce::new();
    let servers = async {
        let asked = servers.iter().map(async |server| (*server, one_server(*server, question, terms).await));
        let answers: BTreeMap<SocketAddr, DnsAnswer> = join_all(asked).await.into_iter().collect();
        if !own.is_empty() && own.iter().all(|server| answers.get(server).is_none_or(|answer| answer.udp.is_silent())) {
            let _ = all_own_are_silent.set(());
        }
        answers
    };
    let short_name = async {
        tokio::select! {
            found = short_name(terms) => found,
            // What programs ask is what was asked: the C library would only wait for longer.
            _ = all_own_are_silent.wait() => Err(Fault::TimedOut),
        }
    };
    tokio::join!(servers, short_name)
}

async fn one_server(server: SocketAddr, question: &DnsQuestion, terms: &Terms) -> DnsAnswer {
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
        let records = question.records.iter().map(async |record| {
            let got = if answers { records(server, record, terms).await } else { Err(Fault::Unanswered) };
            (format!("{} {}", record.kind, record.name), got)
        });
        join_all(records).await
    };
    let tcp = lookups(question.tcp, || terms.answered(by_tcp(server, &question.name, kind)), terms);
    let (udp, tcp, records) = tokio::join!(udp, tcp, records);
    DnsAnswer { udp, tcp, records: records.into_iter().collect() }
}

/// Asks for records until there are as many as there will be, or should be. Silence ends it.
async fn records(server: SocketAddr, question: &RecordQuestion, terms: &Terms) -> Got<Records> {
    let kind: RecordType = question.kind.parse().map_err(|_| Fault::Other(format!("no type {}", question.kind)))?;
    loop {
        let asked = retried(terms.answer, || response_by_udp(server, &question.name, kind));
        let Response { code, data, truncated, .. } = terms.answered(asked).await?;
        let enough = data.len() >= question.count || (question.at_once && code != mnemonic(ResponseCode::NXDomain));
        if enough || Instant::now() + PAUSE >= terms.settled() {
            return Ok(Records { code, data, truncated });
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

/// The servers that the pod itself is configured to ask.
fn servers_of(resolver: &Resolver) -> impl Iterator<Item = SocketAddr> {
    resolver.nameservers.iter().filter_map(|server| Some(SocketAddr::new(server.parse().ok()?, ports::DNS)))
}

/// The address of a name, from the first of the pod's own servers that has one. When the last of them is silent, that is
/// the fault.
pub async fn resolve(host: &str, resolver: &Resolver, terms: &Terms) -> Got<IpAddr> {
    let mut last = Fault::Unresolved("the pod has no nameserver".into());
    for server in servers_of(resolver) {
        for kind in [RecordType::A, RecordType::AAAA] {
            let asked = retried(terms.answer, || response_by_udp(server, host, kind));
            last = match terms.answered(asked).await {
                Ok(response) => match response.addresses {
                    Ok(addresses) => return addresses.first().copied().ok_or(Fault::Unresolved("no address".into())),
                    Err(fault) => Fault::Unresolved(format!("{server}: {fault}")),
                },
                Err(fault) => {
                    last = if fault.is_silence() { fault } else { Fault::Unresolved(format!("{server}: {fault}")) };
                    break;
                }
            };
        }
    }
    Err(last)
}

/// Whether a server answers at all, whatever it answers.
pub async fn any_answer(server: SocketAddr, name: &str, patience: Duration) -> Got<()> {
    retried(patience, || async { response_by_udp(server, name, RecordType::A).await.map(drop) }).await
}

async fn by_udp(server: SocketAddr, name: &str, kind: RecordType) -> Got<Vec<IpAddr>> {
    response_by_udp(server, name, kind).await?.addresses
}

async fn by_tcp(server: SocketAddr, name: &str, kind: RecordType) -> Got<Vec<IpAddr>> {
    response_by_tcp(server, name, kind).await?.addresses
}

/// Asks by UDP, and again by TCP when the answer was cut.
async fn response_by_udp(server: SocketAddr, name: &str, kind: RecordType) -> Got<Response> {
    let (query, id) = query(name, kind)?;
    let local = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(server).await?;
    socket.send(&query).await?;
    let mut datagram = vec![0; DATAGRAM];
    loop {
        let length = socket.recv(&mut datagram).await?;
        match read(&datagram[..length], id)? {
            Some(response) if response.truncated => {
                let whole = response_by_tcp(server, name, kind).await?;
                return Ok(Response { truncated: true, ..whole });
            }
            Some(response) => return Ok(response),
            // A stray answer to another question.
            None => {}
        }
    }
}

async fn response_by_tcp(server: SocketAddr, name: &str, kind: RecordType) -> Got<Response> {
    let (query, id) = query(name, kind)?;
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.len()).map_err(|e| Fault::Other(e.to_string()))?;
    stream.write_all(&[&length.to_be_bytes()[..], &query].concat()).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    read(&answer, id)?.ok_or_else(|| Fault::Other("an answer to another question".into()))
}

fn query(name: &str, kind: RecordType) -> Got<(Vec<u8>, u16)> {
    let other = |e: &dyn std::fmt::Display| Fault::Other(e.to_string());
    let mut id = [0; 2];
    aws_lc_rs::rand::fill(&mut id).map_err(|e| other(&e))?;
    let id = u16::from_be_bytes(id);
    let mut name = Name::from_ascii(name).map_err(|e| other(&e))?;
    name.set_fqdn(true);
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, kind));
    Ok((message.to_vec().map_err(|e| other(&e))?, id))
}

struct Response {
    /// Whether it was longer than a datagram holds.
    truncated: bool,
    code: String,
    /// The records of the answer, with their types in front.
    data: Vec<String>,
    addresses: Got<Vec<IpAddr>>,
}

/// Reads an answer; none when it is to another question.
fn read(bytes: &[u8], id: u16) -> Got<Option<Response>> {
    let message = Message::from_vec(bytes).map_err(|e| Fault::Other(format!("not a DNS message: {e}")))?;
    if message.metadata.id != id || message.metadata.message_type != MessageType::Response {
        return Ok(None);
    }
    let addresses: Vec<IpAddr> = message
        .answers
        .iter()
        .filter_map(|record| match record.data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        })
        .collect();
    let addresses = match message.metadata.response_code {
        ResponseCode::NoError if addresses.is_empty() => Err(Fault::Unresolved("no record".into())),
        ResponseCode::NoError => Ok(addresses),
        code => Err(Fault::Unresolved(format!("{code}"))),
    };
    let mut data: Vec<String> = message
        .answers
        .iter()
        .map(|record| format!("{} {}", record.record_type(), record.data).to_ascii_lowercase())
        .collect();
    data.sort_unstable();
    let code = mnemonic(message.metadata.response_code);
    Ok(Some(Response { truncated: message.metadata.truncation, code, data, addresses }))
}

/// A response code as RFC 1035 and its successors write it.
fn mnemonic(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR".into(),
        ResponseCode::FormErr => "FORMERR".into(),
        ResponseCode::ServFail => "SERVFAIL".into(),
        ResponseCode::NXDomain => "NXDOMAIN".into(),
        ResponseCode::NotImp => "NOTIMP".into(),
        ResponseCode::Refused => "REFUSED".into(),
        other => format!("RCODE {}", u16::from(other)),
    }
}
