//! Other probes under some load: full packets, fragments, and many datagrams.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::OptionFuture;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::greet::{greeting, understand};
use super::retried::retried;
use super::terms::Terms;
use crate::live::RunId;
use crate::probe::fault::{Fault, Got};
use crate::probe::serve::{DATAGRAM_LIMIT, Reply};

/// How much is sent by TCP and comes back, in bytes: more than twenty full packets of an Ethernet.
const STREAM: u32 = 32768;
/// A datagram that takes several packets of an Ethernet, in bytes.
const FRAGMENTED: usize = 8000;
/// What IP and UDP add to a datagram, by family.
const HEADERS: (usize, usize) = (28, 48);
/// How many datagrams are counted at first, and how many more when one of them seems lost: one may be chance.
const DATAGRAMS: (usize, usize) = (40, 160);
/// The time between two of them, so that no queue overflows.
const GAP: Duration = Duration::from_millis(2);
/// How many may wait for their answers at once. Each of 16 peers may send as many to one socket, which holds some 270.
const IN_FLIGHT: usize = 16;
/// After how long one that is not answered no longer keeps others from being sent. Its answer may still come.
const OVERDUE: Duration = Duration::from_millis(500);
/// How long the answers to the first ones may take before more are sent.
const SOON: Duration = Duration::from_millis(300);
/// How long the last answer may take: on a busy node what is late is not lost.
const LAST: Duration = Duration::from_secs(3);

/// Payloads that take full packets, there and back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeAnswer {
    /// Many full packets by TCP.
    pub tcp: Got<()>,
    /// One datagram that fills a packet of the pod's own interface; not sent where its size is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datagram: Option<Got<()>>,
    /// One datagram of several fragments.
    pub fragments: Got<()>,
}

/// How many datagrams, of many, found no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// How many were sent.
    pub sent: u32,
    /// How many were not answered.
    pub lost: u32,
}

/// Sends full packets by TCP, in one datagram, and in one of several fragments. Which datagram fills a packet of `mtu` bytes
/// is known only where that is. None when the probe has no time left for all of them.
pub async fn large(at: SocketAddr, run: &RunId, mtu: Option<u32>, terms: &Terms) -> Option<LargeAnswer> {
    let headers = if at.is_ipv4() { HEADERS.0 } else { HEADERS.1 };
    let full = mtu.and_then(|mtu| usize::try_from(mtu).ok()).map(|mtu| mtu.saturating_sub(headers).min(DATAGRAM_LIMIT));
    let (tcp, datagram, fragments) = tokio::join!(
        terms.answered(retried(terms.answer, || stream(at, run))),
        OptionFuture::from(full.map(|full| terms.answered(retried(terms.answer, move || datagram(at, run, full))))),
        terms.answered(retried(terms.answer, || datagram(at, run, FRAGMENTED))),
    );
    let is_cut_off = [Some(&tcp), datagram.as_ref(), Some(&fragments)].contains(&Some(&Err(Fault::Unanswered)));
    (!is_cut_off).then_some(LargeAnswer { tcp, datagram, fragments })
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

/// Counts how many of many small datagrams find no answer; none when they cannot even be sent, or the probe has no time left.
pub async fn loss(at: SocketAddr, run: &RunId, terms: &Terms) -> Option<Loss> {
    let socket = connected(at).await.ok()?;
    let greetings = (0..DATAGRAMS.0 + DATAGRAMS.1).map(|_| greeting(run, 0)).collect::<Got<Vec<_>>>().ok()?;
    terms.by_deadline(count(&socket, &greetings)).await
}

/// Sends the first datagrams, and the others too if only some of those are answered: few would not show a rate.
async fn count(socket: &UdpSocket, greetings: &[(Vec<u8>, u64)]) -> Loss {
    let (first, more) = greetings.split_at(DATAGRAMS.0);
    let mut flight = Flight { socket, open: BTreeMap::new() };
    flight.send(first).await;
    flight.receive_for(SOON).await;
    let mut sent = first.len();
    if flight.open.len() == sent {
        // The path may drop everything, or the peer be busy.
        flight.receive_for(LAST).await;
    }
    if !flight.open.is_empty() && flight.open.len() < sent {
        sent += more.len();
        flight.send(more).await;
        flight.receive_for(LAST).await;
    }
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Loss { sent: number(sent), lost: number(flight.open.len()) }
}

/// Datagrams that were sent, of which only a few wait for their answers at a time: the peer may get no processor for a while,
/// and what its socket cannot hold meanwhile is not lost on the network.
struct Flight<'a> {
    socket: &'a UdpSocket,
    /// When those were sent that are not answered yet.
    open: BTreeMap<u64, Instant>,
}

impl Flight<'_> {
    async fn send(&mut self, greetings: &[(Vec<u8>, u64)]) {
        for (greeting, nonce) in greetings {
            while let Some(end) = self.is_full_until() {
                // Whether it is full is asked again when the first answer has come, or the time is over.
                _ = timeout_at(end, self.receive()).await;
            }
            self.open.insert(*nonce, Instant::now());
            // What cannot be sent is lost as well.
            _ = self.socket.send(greeting).await;
            self.receive_all_for(GAP).await;
        }
    }

    /// Until when no more are sent, if no answer comes.
    fn is_full_until(&self) -> Option<Instant> {
        let mut recent: Vec<Instant> = self.open.values().map(|sent| *sent + OVERDUE).collect();
        recent.retain(|end| *end > Instant::now());
        recent.sort_unstable();
        recent.len().checked_sub(IN_FLIGHT).map(|place| recent[place])
    }

    /// Receives for this long, or until everything is answered.
    async fn receive_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while !self.open.is_empty() && timeout_at(end, self.receive()).await.is_ok() {}
    }

    /// Receives for as long as this, even if everything is answered.
    async fn receive_all_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        self.receive_for(time).await;
        sleep_until(end).await;
    }

    /// Receives one datagram.
    async fn receive(&mut self) {
        let mut datagram = [0; 512];
        // A refusal by ICMP is not an answer.
        let Ok(length) = self.socket.recv(&mut datagram).await else { return };
        if let Ok(reply) = serde_json::from_slice::<Reply>(&datagram[..length]) {
            self.open.remove(&reply.nonce);
        }
    }
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
    async fn a_peer_that_rests_for_a_while_loses_nothing() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = server.local_addr().unwrap();
        let run: RunId = "x7f4k".parse().unwrap();
        let terms = Terms::new(Duration::ZERO, Duration::from_secs(4), Duration::from_secs(60));
        let serve = async {
            let mut most = 0;
            loop {
                tokio::time::sleep(Duration::from_millis(350)).await;
                let mut datagram = [0; 512];
                let mut waiting = 0;
                while let Ok((length, from)) = server.try_recv_from(&mut datagram) {
                    waiting += 1;
                    let greeting: crate::probe::serve::Greeting = serde_json::from_slice(&datagram[..length]).unwrap();
                    let (run, nonce) = (greeting.run, greeting.nonce);
                    let reply = Reply { run, nonce, pod: "p".into(), from: [127, 0, 0, 1].into() };
                    server.send_to(&serde_json::to_vec(&reply).unwrap(), from).await.unwrap();
                }
                most = most.max(waiting);
                assert!(most <= IN_FLIGHT, "{most} datagrams wait in its socket");
            }
        };
        tokio::select! {
            () = serve => {}
            loss = loss(at, &run, &terms) => assert_eq!(loss.map(|loss| loss.lost), Some(0)),
        }
    }

    #[tokio::test]
    async fn a_path_that_drops_everything_is_not_loaded_further() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let terms = Terms::new(Duration::ZERO, Duration::from_secs(4), Duration::from_secs(60));
        let loss = loss(silent.local_addr().unwrap(), &"x7f4k".parse().unwrap(), &terms).await;
        assert_eq!(loss, Some(Loss { sent: 40, lost: 40 }));
    }

    #[tokio::test]
    async fn lost_datagrams_are_counted() {
        // Answers three of four.
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = server.local_addr().unwrap();
        let run: RunId = "x7f4k".parse().unwrap();
        let terms = Terms::new(Duration::ZERO, Duration::from_secs(4), Duration::from_secs(60));
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
            loss = loss(at, &run, &terms) => assert_eq!(loss, Some(Loss { sent: 200, lost: 50 })),
        }
    }
}
