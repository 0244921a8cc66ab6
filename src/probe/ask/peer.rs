//! Other probes, by name or by address, by TCP and UDP.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::asker::Asker;
use super::dns::client::resolve;
use super::greet::{by_tcp, by_udp};
use super::peer_load::{self, LargeAnswer, Loss};
use super::resolver::{self, Resolver};
use super::terms::Terms;
use super::{Ask, each, interfaces};
use crate::probe::PORT;
use crate::probe::fault::{Fault, Got};
use crate::probe::serve::Reply;
use crate::seen::{Seen, Unobserved};

/// How often a name is asked for again while it is not known yet.
const PAUSE: Duration = Duration::from_millis(50);

/// What an answer adds to a message, in bytes.
const SIZE: usize = 30;

/// Other probes, by pod.
pub struct Peers;

/// Another probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its pod.
    pub pod: String,
    /// Its name in the cluster's DNS.
    pub host: String,
    /// Its address, when names have failed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}

/// What came of another probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerAnswer {
    /// The address to which its name resolved, or that was given.
    pub address: Got<IpAddr>,
    /// Whether the address was given, because the name had failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_address: bool,
    /// By TCP: the address that the peer saw us come from.
    pub tcp: Got<IpAddr>,
    /// By UDP: the address that the peer saw us come from.
    pub udp: Got<IpAddr>,
    /// Payloads that take full packets, once small ones have come through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub large: Option<LargeAnswer>,
    /// Many small datagrams, once one has come through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
}

impl PeerAnswer {
    /// Itself, if the probe had the time to ask by both protocols.
    pub fn seen(&self) -> Seen<&Self> {
        match [&self.tcp, &self.udp]
            .into_iter()
            .find_map(|got| got.as_ref().err().filter(|fault| **fault == Fault::Unanswered))
        {
            Some(fault) => Err(Unobserved::unreachable("another probe", fault)),
            None => Ok(self),
        }
    }
}

impl Ask for Peers {
    type Question = Vec<Peer>;
    type Answer = BTreeMap<String, PeerAnswer>;

    fn parts(question: &Self::Question) -> Vec<(usize, Self::Question)> {
        each(question, |_| SIZE)
    }

    async fn ask(question: &Self::Question, asker: &Asker) -> Self::Answer {
        if question.is_empty() {
            return BTreeMap::new();
        }
        let (resolver, sizes) = tokio::join!(resolver::read(), interfaces::read());
        let mtu = sizes.ok().as_ref().and_then(interfaces::largest_packet);
        let answers = question.iter().map(async |peer| (peer.pod.clone(), one(peer, &resolver, mtu, asker).await));
        join_all(answers).await.into_iter().collect()
    }
}

/// Finds a peer and exchanges greetings by both protocols; then much and many, where few and little came through.
async fn one(peer: &Peer, resolver: &Resolver, mtu: Option<u32>, asker: &Asker) -> PeerAnswer {
    let Asker { terms, run, .. } = asker;
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
        Some(at) => tokio::join!(peer_load::large(at, run, mtu, terms), peer_load::loss(at, run, terms)),
        None => (None, None),
    };
    PeerAnswer { address, by_address: peer.address.is_some(), tcp, udp, large, loss }
}

/// Asks for a name until it is known or should be: peers start at different times.
async fn find(host: &str, resolver: &Resolver, terms: &Terms) -> Got<IpAddr> {
    loop {
        let fault = match resolve(host, resolver, terms).await {
            Ok(address) => return Ok(address),
            Err(fault) => fault,
        };
        // Servers that are not reached in the time that an answer takes do not learn of the name either.
        let may_become_known = match fault {
            Fault::Unresolved(_) => Instant::now() + PAUSE < terms.settled(),
            _ => terms.elapsed() + PAUSE < terms.answer,
        };
        if !may_become_known {
            return Err(fault);
        }
        terms.pause(PAUSE).await;
    }
}

async fn expect(peer: &Peer, reply: impl Future<Output = Got<Reply>>) -> Got<IpAddr> {
    let reply = reply.await?;
    if reply.pod == peer.pod { Ok(reply.from) } else { Err(Fault::Stranger(reply.pod)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_not_asked_for_until_names_are_settled_where_no_server_is_reached() {
        let resolver = Resolver { nameservers: vec!["127.77.0.3".into()], ..Resolver::default() };
        let long = Duration::from_secs(60);
        let terms = Terms::new(long, Duration::from_millis(400), long);
        assert_eq!(find("p.x.y.", &resolver, &terms).await, Err(Fault::Refused));
        assert!(terms.elapsed() < Duration::from_secs(3), "{:?}", terms.elapsed());
    }
}
