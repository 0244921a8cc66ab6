//! Other probes under some load: full packets, fragments, and many datagrams.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::OptionFuture;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::sleep;

use super::batch::Terms;
use super::peer::{greeting, retried, understand};
use crate::live::RunId;
use crate::probe::answer::{Fault, Got, LargeAnswer, Loss};
use crate::probe::serve::{DATAGRAM_LIMIT, Reply};

/// How much is sent by TCP and comes back, in bytes: more than twenty full packets of an Ethernet.
const STREAM: u32 = 32768;
/// A datagram that takes several packets of an Ethernet, in bytes.
const FRAGMENTED: usize = 8000;
/// What IP and UDP add to a datagram, by family.
const HEADERS: (usize, usize) = (28, 48);
/// How many datagrams are counted at first, and how many more when one of them is lost: one may be chance.
const DATAGRAMS: (u32, u32) = (40, 160);
/// The time between two of them, so that no queue overflows.
const GAP: Duration = Duration::from_millis(2);
/// How long the last answer may take: on a busy node what is late is not lost.
const LAST: Duration = Duration::from_secs(3);

/// Sends full packets by TCP, in one datagram, and in one of several fragments. Which datagram fills a packet of `mtu` bytes
/// is known only where that is.
pub async fn large(at: SocketAddr, run: &RunId, mtu: Option<u32>, terms: &Terms) -> LargeAnswer {
    let headers = if at.is_ipv4() { HEADERS.0 } else { HEADERS.1 };
    let full = mtu.and_then(|mtu| usize::try_from(mtu).ok()).map(|mtu| mtu.saturating_sub(headers).min(DATAGRAM_LIMIT));
    let (tcp, datagram, fragments) = tokio::join!(
        retried(terms.answer, || stream(at, run)),
        OptionFuture::from(full.map(|full| retried(terms.answer, move || datagram(at, run, full)))),
        retried(terms.answer, || datagram(at, run, FRAGMENTED)),
    );
    LargeAnswer { tcp, datagram, fragments }
}

async fn stream(at: SocketAddr, run: &RunId) -> Got<()> {
    let (greeting, nonce) = greeting(run, STREAM)?;
    let payload = vec![0x5a; STREAM as usize];
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(&[greeting, payload.clone()].concat()).await?;
    let (mut line, mut back) = (Vec::new(), Vec::new());
    let mut reader = BufReader::new(stream).take(u64::from(STREAM) + 512);
    reader.read_until(b'\n', &mut line).await?;
    understand(&line, run, nonce)?;
    reader.read_to_end(&mut back).await?;
    if back == payload { Ok(()) } else { Err(Fault::Reset) }
}

async fn datagram(at: SocketAddr, run: &RunId, length: usize) -> Got<()> {
    let (mut greeting, nonce) = greeting(run, 0)?;
    greeting.resize(length.max(greeting.len()), 0);
    let socket = connected(at).await?;
    socket.send(&greeting).await?;
    let mut answer = vec![0; DATAGRAM_LIMIT];
    let received = socket.recv(&mut answer).await?;
    let line = answer[..received].split(|byte| *byte == b'\n').next().unwrap_or_default();
    understand(line, run, nonce)?;
    if received < length { Err(Fault::Other(format!("{received} bytes of {length} came back"))) } else { Ok(()) }
}

/// Counts how many of many small datagrams find no answer; none when they cannot even be sent.
pub async fn loss(at: SocketAddr, run: &RunId) -> Option<Loss> {
    let socket = connected(at).await.ok()?;
    let first = series(&socket, run, DATAGRAMS.0).await.ok()?;
    if first.lost == 0 {
        return Some(first);
    }
    let more = series(&socket, run, DATAGRAMS.1).await.ok()?;
    Some(Loss { sent: first.sent + more.sent, lost: first.lost + more.lost })
}

async fn series(socket: &UdpSocket, run: &RunId, count: u32) -> Got<Loss> {
    let greetings = (0..count).map(|_| greeting(run, 0)).collect::<Got<Vec<_>>>()?;
    let mut open: BTreeSet<u64> = greetings.iter().map(|(_, nonce)| *nonce).collect();
    let send = async {
        for (greeting, _) in &greetings {
            // What cannot be sent is lost as well.
            let _ = socket.send(greeting).await;
            sleep(GAP).await;
        }
        sleep(LAST).await;
    };
    let receive = async {
        let mut datagram = [0; 512];
        while !open.is_empty() {
            let Ok(length) = socket.recv(&mut datagram).await else { continue };
            if let Ok(reply) = serde_json::from_slice::<Reply>(&datagram[..length]) {
                open.remove(&reply.nonce);
            }
        }
    };
    tokio::select! {
        () = send => {}
        () = receive => {}
    }
    Ok(Loss { sent: count, lost: u32::try_from(open.len()).unwrap_or(count) })
}

async fn connected(at: SocketAddr) -> Got<UdpSocket> {
    let local = if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(at).await?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lost_datagrams_are_counted() {
        // Answers three of four.
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = server.local_addr().unwrap();
        let run: RunId = "x7f4k".parse().unwrap();
        let serve = async {
            let mut datagram = [0; 512];
            for turn in 0.. {
                let (length, from) = server.recv_from(&mut datagram).await.unwrap();
                let greeting: crate::probe::serve::Greeting = serde_json::from_slice(&datagram[..length]).unwrap();
                let reply =
                    Reply { run: greeting.run, nonce: greeting.nonce, pod: "p".into(), from: [127, 0, 0, 1].into() };
                if turn % 4 != 0 {
                    server.send_to(&serde_json::to_vec(&reply).unwrap(), from).await.unwrap();
                }
            }
        };
        tokio::select! {
            () = serve => {}
            loss = loss(at, &run) => assert_eq!(loss, Some(Loss { sent: 200, lost: 50 })),
        }
    }
}
