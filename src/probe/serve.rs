//! What a probe does for its peers: it answers every client of its run with its name and the address that it sees.

use std::env;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use super::PORT;

/// The environment variable with the run of the server.
pub const RUN_VARIABLE: &str = "SEAWORTHY_RUN";
/// The environment variable with the pod of the server.
pub const POD_VARIABLE: &str = "SEAWORTHY_POD";

/// The most that a greeting may hold, in bytes.
const GREETING_LIMIT: usize = 256;
/// The most that may follow a greeting by TCP, in bytes; as much is sent back.
pub const PAYLOAD_LIMIT: u32 = 1 << 18;
/// The most that a datagram may hold, in bytes.
pub const DATAGRAM_LIMIT: usize = 16384;
/// How many connections are served at once.
const CONNECTIONS: usize = 256;
/// How long a connection may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// What a peer sends, on one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The run.
    pub run: String,
    /// A number that only this exchange has, so that a stray or repeated answer is not taken for this one's.
    pub nonce: u64,
    /// How many bytes follow the line by TCP.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub payload: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
fn is_zero(payload: &u32) -> bool {
    *payload == 0
}

/// What a probe answers, on one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The run.
    pub run: String,
    /// The nonce of the greeting.
    pub nonce: u64,
    /// The pod that answers.
    pub pod: String,
    /// The address that it sees the peer come from.
    pub from: IpAddr,
}

/// The server.
#[derive(Clone, Debug)]
struct Identity {
    run: String,
    pod: String,
}

impl Identity {
    /// The greeting, if it is of this run.
    fn understand(&self, line: &[u8]) -> Option<Greeting> {
        let greeting: Greeting = serde_json::from_slice(line).ok()?;
        (greeting.run == self.run && greeting.payload <= PAYLOAD_LIMIT).then_some(greeting)
    }

    fn answer(&self, greeting: Greeting, from: SocketAddr) -> Option<Vec<u8>> {
        let from = match from.ip() {
            IpAddr::V6(v6) => v6.to_canonical(),
            v4 @ IpAddr::V4(_) => v4,
        };
        let reply = Reply { run: greeting.run, nonce: greeting.nonce, pod: self.pod.clone(), from };
        let mut line = serde_json::to_vec(&reply).ok()?;
        line.push(b'\n');
        Some(line)
    }
}

/// Serves until the pod gets SIGTERM.
pub async fn serve() -> io::Result<()> {
    let variable = |name| env::var(name).map_err(|e| io::Error::other(format!("{name}: {e}")));
    let identity = Identity { run: variable(RUN_VARIABLE)?, pod: variable(POD_VARIABLE)? };
    let tcp = listen().await?;
    let udp = datagrams().await?;
    // As process 1 we do not end by a signal that we do not handle.
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = accept(tcp, identity.clone()) => ended,
        ended = echo(udp, identity) => ended,
        _ = terminate.recv() => Ok(()),
    }
}

/// On all addresses of both families; on IPv4 alone where the node has no IPv6.
async fn listen() -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, PORT)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind(("0.0.0.0", PORT)).await,
    }
}

async fn datagrams() -> io::Result<UdpSocket> {
    match UdpSocket::bind((Ipv6Addr::UNSPECIFIED, PORT)).await {
        Ok(socket) => Ok(socket),
        Err(_) => UdpSocket::bind(("0.0.0.0", PORT)).await,
    }
}

async fn accept(listener: TcpListener, identity: Identity) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let (stream, from) = listener.accept().await?;
        // Beyond the limit a peer is turned away rather than kept waiting; it tries again.
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let identity = identity.clone();
        tokio::spawn(async move {
            let _place = place;
            let _ = tokio::time::timeout(DEADLINE, greet(stream, from, &identity)).await;
        });
    }
}

async fn greet(mut stream: TcpStream, from: SocketAddr, identity: &Identity) -> io::Result<()> {
    let mut line = Vec::new();
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    (&mut reader).take(GREETING_LIMIT as u64).read_until(b'\n', &mut line).await?;
    let Some(greeting) = identity.understand(&line) else { return Ok(()) };
    let mut payload = vec![0; greeting.payload as usize];
    reader.read_exact(&mut payload).await?;
    match identity.answer(greeting, from) {
        Some(answer) => writer.write_all(&[answer, payload].concat()).await,
        None => Ok(()),
    }
}

async fn echo(socket: UdpSocket, identity: Identity) -> io::Result<()> {
    let mut datagram = vec![0; DATAGRAM_LIMIT];
    loop {
        let (length, from) = socket.recv_from(&mut datagram).await?;
        // What follows the line only makes the datagram long; the answer is made as long.
        let line = datagram[..length].split(|byte| *byte == b'\n').next().unwrap_or_default();
        let Some(mut answer) = identity.understand(line).and_then(|greeting| identity.answer(greeting, from)) else {
            continue;
        };
        if length > line.len() + 1 {
            answer.resize(length.max(answer.len()), 0);
        }
        // A peer may have ended by now.
        let _ = socket.send_to(&answer, from).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_proves_who_answered_and_only_to_the_run() {
        let identity = Identity { run: "x7f4k".into(), pod: "seaworthy-x7f4k-1".into() };
        let from: SocketAddr = "[::ffff:10.244.0.9]:4711".parse().unwrap();
        let greeting = |run: &str, payload| Greeting { run: run.into(), nonce: 42, payload };
        let line = |greeting: Greeting| serde_json::to_vec(&greeting).unwrap();
        let understood = identity.understand(&line(greeting("x7f4k", 0))).unwrap();
        let reply: Reply = serde_json::from_slice(&identity.answer(understood, from).unwrap()).unwrap();
        let expected =
            Reply { run: "x7f4k".into(), nonce: 42, pod: "seaworthy-x7f4k-1".into(), from: [10, 244, 0, 9].into() };
        assert_eq!(reply, expected);
        assert_eq!(identity.understand(&line(greeting("other", 0))), None);
        assert_eq!(identity.understand(&line(greeting("x7f4k", PAYLOAD_LIMIT + 1))), None);
        assert_eq!(identity.understand(b"GET / HTTP/1.1"), None);
    }
}
