//! What a probe does for its peers: it says who it is and whom it sees, to whoever knows the run.

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

/// The environment variables that say who serves.
pub const RUN_VARIABLE: &str = "SEAWORTHY_RUN";
/// See [`RUN_VARIABLE`].
pub const POD_VARIABLE: &str = "SEAWORTHY_POD";

/// The most that a greeting may hold, in bytes.
const GREETING_LIMIT: usize = 256;
/// How many connections are served at once.
const CONNECTIONS: usize = 256;
/// How long a connection may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// What a peer sends, on one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The run.
    pub run: String,
    /// Something that only this exchange has, so that a stray or repeated answer is not taken for this one's.
    pub nonce: u64,
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

/// Who serves.
#[derive(Clone, Debug)]
struct Identity {
    run: String,
    pod: String,
}

impl Identity {
    fn answer(&self, greeting: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
        let greeting: Greeting = serde_json::from_slice(greeting).ok()?;
        if greeting.run != self.run {
            return None;
        }
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

/// Serves until the pod is told to end.
pub async fn serve() -> io::Result<()> {
    let variable = |name| env::var(name).map_err(|e| io::Error::other(format!("{name}: {e}")));
    let identity = Identity { run: variable(RUN_VARIABLE)?, pod: variable(POD_VARIABLE)? };
    let tcp = listen().await?;
    let udp = datagrams().await?;
    // As process 1 nothing ends us unless we listen.
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
    BufReader::new(reader).take(GREETING_LIMIT as u64).read_until(b'\n', &mut line).await?;
    match identity.answer(&line, from) {
        Some(answer) => writer.write_all(&answer).await,
        None => Ok(()),
    }
}

async fn echo(socket: UdpSocket, identity: Identity) -> io::Result<()> {
    let mut datagram = [0; GREETING_LIMIT];
    loop {
        let (length, from) = socket.recv_from(&mut datagram).await?;
        if let Some(answer) = identity.answer(&datagram[..length], from) {
            // A peer that is gone by now is no fault of ours.
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_proves_who_answered_and_only_to_the_run() {
        let identity = Identity { run: "x7f4k".into(), pod: "seaworthy-x7f4k-1".into() };
        let from: SocketAddr = "[::ffff:10.244.0.9]:4711".parse().unwrap();
        let greeting = serde_json::to_vec(&Greeting { run: "x7f4k".into(), nonce: 42 }).unwrap();
        let reply: Reply = serde_json::from_slice(&identity.answer(&greeting, from).unwrap()).unwrap();
        let expected =
            Reply { run: "x7f4k".into(), nonce: 42, pod: "seaworthy-x7f4k-1".into(), from: [10, 244, 0, 9].into() };
        assert_eq!(reply, expected);
        let stranger = serde_json::to_vec(&Greeting { run: "other".into(), nonce: 42 }).unwrap();
        assert_eq!(identity.answer(&stranger, from), None);
        assert_eq!(identity.answer(b"GET / HTTP/1.1", from), None);
    }
}
