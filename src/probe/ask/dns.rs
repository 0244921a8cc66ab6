//! DNS servers, asked directly: nothing is cached, searched or retried unless said so here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::batch::Terms;
use super::peer;
use super::repeated::repeated;
use crate::ports;
use crate::probe::answer::{DnsAnswer, Fault, Got, Latency, Lookups, Records, Resolver};
use crate::probe::question::{DnsQuestion, RecordQuestion};

/// How often records are asked for again while they are not known yet.
const PAUSE: Duration = Duration::from_millis(100);
/// The most that an answer by UDP may hold, in bytes.
const DATAGRAM: usize = 4096;

/// Asks each server by both protocols, and whichever the pod itself is told to ask.
pub async fn ask(question: &DnsQuestion, resolver: &Resolver, terms: &Terms) -> BTreeMap<SocketAddr, DnsAnswer> {
    let own = resolver
        .nameservers
        .iter()
        .filter_map(|server| server.parse().ok())
        .map(|ip: IpAddr| SocketAddr::new(ip, ports::DNS));
    let servers: BTreeSet<SocketAddr> = question.servers.iter().copied().chain(own).collect();
    let kind = if question.ipv6 { RecordType::AAAA } else { RecordType::A };
    let servers = servers.iter().map(|server| async move {
        let (udp, tcp, records) = tokio::join!(
            lookups(question.udp, || by_udp(*server, &question.name, kind), terms.answer),
            lookups(question.tcp, || by_tcp(*server, &question.name, kind), terms.answer),
            join_all(question.records.iter().map(|record| records(*server, record, terms))),
        );
        (*server, DnsAnswer { udp, tcp, records: records.into_iter().collect() })
    });
    join_all(servers).await.into_iter().collect()
}

/// Asks for records until there are as many as there will be, or should be.
async fn records(server: SocketAddr, question: &RecordQuestion, terms: &Terms) -> (String, Got<Records>) {
    let asked = async || {
        let kind: RecordType = question.kind.parse().map_err(|_| Fault::Other(format!("no type {}", question.kind)))?;
        let response = match timeout(terms.answer, response_by_udp(server, &question.name, kind)).await {
            Ok(response) => response?,
            Err(_) => return Err(Fault::TimedOut),
        };
        Ok(Records { code: response.code, data: response.data, truncated: response.truncated })
    };
    let got = loop {
        let got = asked().await;
        let enough = got.as_ref().is_ok_and(|got| {
            got.data.len() >= question.count || (question.at_once && got.code != mnemonic(ResponseCode::NXDomain))
        });
        if enough || Instant::now() + PAUSE >= terms.settled {
            break got;
        }
        tokio::time::sleep(PAUSE).await;
    };
    (format!("{} {}", question.kind, question.name), got)
}

async fn lookups<F: Future<Output = Got<Vec<IpAddr>>>>(
    count: u32,
    lookup: impl Fn() -> F,
    patience: Duration,
) -> Lookups {
    let answers =
        repeated(count, patience, || async { timeout(patience, lookup()).await.unwrap_or(Err(Fault::TimedOut)) }).await;
    let mut done = Lookups { asked: u32::try_from(answers.len()).unwrap_or(u32::MAX), ..Lookups::default() };
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

/// The address of a name, from the first of the pod's own servers that has one.
pub async fn resolve(host: &str, resolver: &Resolver, patience: Duration) -> Got<IpAddr> {
    let mut last = Fault::Unresolved("the pod has no nameserver".into());
    for server in &resolver.nameservers {
        let Ok(server) = server.parse::<IpAddr>() else { continue };
        let server = SocketAddr::new(server, ports::DNS);
        for kind in [RecordType::A, RecordType::AAAA] {
            match timeout(patience, by_udp(server, host, kind)).await {
                Ok(Ok(addresses)) => return addresses.first().copied().ok_or(Fault::Unresolved("no address".into())),
                Ok(Err(fault)) => last = Fault::Unresolved(format!("{server}: {fault}")),
                Err(_) => {
                    last = Fault::Unresolved(format!("{server}: no answer"));
                    break;
                }
            }
        }
    }
    Err(last)
}

/// Whether a server answers at all, whatever it answers.
pub async fn any_answer(server: SocketAddr, name: &str, patience: Duration) -> Got<()> {
    peer::retried(patience, || async { response_by_udp(server, name, RecordType::A).await.map(drop) }).await
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
