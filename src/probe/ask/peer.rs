//! Other probes, by name or by address, by TCP and UDP.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::Instant;

use super::retried::retried;
use super::terms::Terms;
use super::{dns, peer_load};
use crate::live::RunId;
use crate::probe::PORT;
use crate::probe::answer::{PeerAnswer, Resolver};
use crate::probe::fault::{Fault, Got};
use crate::probe::question::Peer;
use crate::probe::serve::{Greeting, Reply};

/// How often a name is asked for again while it is not known yet.
const PAUSE: Duration = Duration::from_millis(50);
/// The most that a reply may hold, in bytes.
const REPLY_LIMIT: usize = 512;

/// Finds a peer and exchanges greetings by both protocols; then much and many, where few and little came through.
pub async fn ask(peer: &Peer, run: &RunId, resolver: &Resolver, mtu: Option<u32>, terms: &Terms) -> PeerAnswer {
    let address = match peer.address {
        Some(address) => Ok(address),
        None => find(&peer.host, resolver, terms).await,
    };
    let (tcp, udp) = match &address {
        Ok(address) => {
            let at = SocketAddr::new(*address, PORT);
            tokio::join!(
                terms.answered(expect(peer, by_tcp(at, run, terms.answer))),
                terms.answered(expect(peer, by_udp(at, run, terms.answer)))
            )
        }
        Err(fault) => (Err(fault.clone()), Err(fault.clone())),
    };
    let at = address.as_ref().ok().map(|address| SocketAddr::new(*address, PORT));
    let (large, loss) = match at.filter(|_| tcp.is_ok() && udp.is_ok()) {
        Some(at) => {
            tokio::join!(peer_load::large(at, run, mtu, terms), peer_load::loss(at, run, terms))
        }
        None => (None, None),
    };
    PeerAnswer { address, by_address: peer.address.is_some(), tcp, udp, large, loss }
}

/// Asks for a name until it is known or should be: peers start at different times.
async fn find(host: &str, resolver: &Resolver, terms: &Terms) -> Got<IpAddr> {
    loop {
        let found = dns::resolve(host, resolver, terms).await;
        match found {
            Ok(address) => return Ok(address),
            // A server that drops packets will not learn of the name.
            Err(fault) if fault.is_silence() || Instant::now() + PAUSE >= terms.settled() => return Err(fault),
            Err(_) => terms.pause(PAUSE).await,
        }
    }
}

async fn expect(peer: &Peer, reply: impl Future<Output = Got<Reply>>) -> Got<IpAddr> {
    let reply = reply.await?;
    if reply.pod == peer.pod { Ok(reply.from) } else { Err(Fault::Stranger(reply.pod)) }
}

/// Exchanges greetings by TCP with any probe of this run; a lost packet is sent again.
pub async fn by_tcp(at: SocketAddr, run: &RunId, patience: Duration) -> Got<Reply> {
    retried(patience, || tcp_exchange(at, run)).await
}

/// Exchanges greetings by TCP once.
pub(super) async fn tcp_exchange(at: SocketAddr, run: &RunId) -> Got<Reply> {
    over(TcpStream::connect(at).await?, run).await
}

/// Exchanges greetings over a stream that leads to a probe.
pub async fn over(mut stream: impl AsyncRead + AsyncWrite + Unpin, run: &RunId) -> Got<Reply> {
    let (greeting, nonce) = greeting(run, 0)?;
    stream.write_all(&greeting).await?;
    let mut line = Vec::new();
    BufReader::new(stream).take(REPLY_LIMIT as u64).read_until(b'\n', &mut line).await?;
    understand(&line, run, nonce)
}

async fn by_udp(at: SocketAddr, run: &RunId, patience: Duration) -> Got<Reply> {
    retried(patience, || udp_exchange(at, run)).await
}

/// Exchanges greetings by UDP once.
pub(super) async fn udp_exchange(at: SocketAddr, run: &RunId) -> Got<Reply> {
    let (greeting, nonce) = greeting(run, 0)?;
    let local = if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(at).await?;
    socket.send(&greeting).await?;
    let mut datagram = [0; REPLY_LIMIT];
    let length = socket.recv(&mut datagram).await?;
    understand(&datagram[..length], run, nonce)
}

pub(super) fn greeting(run: &RunId, payload: u32) -> Got<(Vec<u8>, u64)> {
    let mut nonce = [0; 8];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| Fault::Other("no random numbers".into()))?;
    let nonce = u64::from_be_bytes(nonce);
    let greeting = Greeting { run: run.to_string(), nonce, payload };
    let mut line = serde_json::to_vec(&greeting).map_err(|e| Fault::Other(e.to_string()))?;
    line.push(b'\n');
    Ok((line, nonce))
}

pub(super) fn understand(line: &[u8], run: &RunId, nonce: u64) -> Got<Reply> {
    if line.is_empty() {
        return Err(Fault::Reset);
    }
    let reply: Reply = serde_json::from_slice(line)
        .map_err(|_| Fault::Stranger(String::from_utf8_lossy(line).chars().take(40).collect()))?;
    if reply.run == run.to_string() && reply.nonce == nonce { Ok(reply) } else { Err(Fault::Stranger(reply.pod)) }
}
