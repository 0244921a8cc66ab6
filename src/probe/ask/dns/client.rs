//! The wire of DNS.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::probe::ask::resolver::Resolver;
use crate::probe::ask::retried::retried;
use crate::probe::ask::terms::Terms;
use crate::probe::fault::{Fault, Got};

/// The most that an answer by UDP may hold, in bytes.
const DATAGRAM: usize = 4096;

/// The address of a name, from the first of the pod's own servers that has one. It is [`Unresolved`](Fault::Unresolved) where
/// the last of them answered that it has none, and any other fault where that one did not answer.
pub async fn resolve(host: &str, resolver: &Resolver, terms: &Terms) -> Got<IpAddr> {
    let mut last = Fault::Unresolved("the pod has no nameserver".into());
    for server in resolver.servers() {
        for kind in [RecordType::A, RecordType::AAAA] {
            let asked = retried(terms.answer, || response_by_udp(server, host, kind));
            last = match terms.answered(asked).await {
                Ok(response) => match response.addresses {
                    Ok(addresses) => return addresses.first().copied().ok_or(Fault::Unresolved("no address".into())),
                    Err(fault) => Fault::Unresolved(format!("{server}: {fault}")),
                },
                Err(fault) => {
                    last = fault;
                    break;
                }
            };
        }
    }
    Err(last)
}

/// Whether a server answers at all, with whatever it answers.
pub async fn any_answer(server: SocketAddr, name: &str, patience: Duration) -> Got<()> {
    retried(patience, || async { response_by_udp(server, name, RecordType::A).await.map(drop) }).await
}

/// The addresses of a name, by UDP.
pub async fn by_udp(server: SocketAddr, name: &str, kind: RecordType) -> Got<Vec<IpAddr>> {
    response_by_udp(server, name, kind).await?.addresses
}

/// The addresses of a name, by TCP.
pub async fn by_tcp(server: SocketAddr, name: &str, kind: RecordType) -> Got<Vec<IpAddr>> {
    response_by_tcp(server, name, kind).await?.addresses
}

/// Asks by UDP, and again by TCP when the answer was cut.
pub async fn response_by_udp(server: SocketAddr, name: &str, kind: RecordType) -> Got<Response> {
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

/// A response.
pub struct Response {
    /// Whether it was longer than a datagram holds.
    pub truncated: bool,
    /// The response code.
    pub code: String,
    /// The records of the answer, with their types in front.
    pub data: Vec<String>,
    /// The addresses among them, or why there is none.
    pub addresses: Got<Vec<IpAddr>>,
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
