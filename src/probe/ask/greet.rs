//! Greetings, by which a probe meets others of its run.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UdpSocket};

use super::retried::retried;
use crate::live::RunId;
use crate::probe::fault::{Fault, Got};
use crate::probe::serve::{Greeting, Reply};

/// The most that a reply may hold, in bytes.
const REPLY_LIMIT: usize = 512;

/// Exchanges greetings by TCP with any probe of this run; a lost packet is sent again.
pub async fn by_tcp(at: SocketAddr, run: &RunId, patience: Duration) -> Got<Reply> {
    retried(patience, || tcp_exchange(at, run)).await
}

/// Exchanges greetings by TCP once.
pub async fn tcp_exchange(at: SocketAddr, run: &RunId) -> Got<Reply> {
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

/// Exchanges greetings by UDP with any probe of this run; a lost packet is sent again.
pub async fn by_udp(at: SocketAddr, run: &RunId, patience: Duration) -> Got<Reply> {
    retried(patience, || udp_exchange(at, run)).await
}

/// Exchanges greetings by UDP once.
pub async fn udp_exchange(at: SocketAddr, run: &RunId) -> Got<Reply> {
    let (greeting, nonce) = greeting(run, 0)?;
    let local = if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(at).await?;
    socket.send(&greeting).await?;
    let mut datagram = [0; REPLY_LIMIT];
    let length = socket.recv(&mut datagram).await?;
    understand(&datagram[..length], run, nonce)
}

/// A greeting with this much payload, and its nonce.
pub fn greeting(run: &RunId, payload: u32) -> Got<(Vec<u8>, u64)> {
    let mut nonce = [0; 8];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| Fault::Other("no random numbers".into()))?;
    let nonce = u64::from_be_bytes(nonce);
    let greeting = Greeting { run: run.to_string(), nonce, payload };
    let mut line = serde_json::to_vec(&greeting).map_err(|e| Fault::Other(e.to_string()))?;
    line.push(b'\n');
    Ok((line, nonce))
}

/// Reads the reply to a greeting.
pub fn understand(line: &[u8], run: &RunId, nonce: u64) -> Got<Reply> {
    if line.is_empty() {
        return Err(Fault::Reset);
    }
    let reply: Reply = serde_json::from_slice(line)
        .map_err(|_| Fault::Stranger(String::from_utf8_lossy(line).chars().take(40).collect()))?;
    if reply.run == run.to_string() && reply.nonce == nonce { Ok(reply) } else { Err(Fault::Stranger(reply.pod)) }
}
