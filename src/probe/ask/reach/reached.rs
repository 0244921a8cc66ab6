//! What a probe met at endpoints.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;
use crate::certificate::Certificate;
use crate::probe::ask::merge::Merge;
use crate::probe::fault::{Fault, Got};
use crate::seen::{Seen, Unobserved};

/// What was met at each endpoint. Equal answers are written once, with the endpoints that gave them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(Got<Met>, Vec<Endpoint>)>", into = "Vec<(Got<Met>, Vec<Endpoint>)>")]
pub struct Reached(BTreeMap<Endpoint, Got<Met>>);

/// What was met at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Met {
    /// A program that accepts connections.
    Open,
    /// A TLS server.
    Tls(TlsMet),
    /// An HTTP server that answers with this status.
    Status(u16),
}

/// A TLS server, as a client without a certificate meets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsMet {
    /// Whether it asked for a client certificate.
    pub asks: bool,
    /// How it refused the client after it had presented its own certificate, also when TLS 1.3 was complete for the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// Its own certificate, where the question was for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf: Option<Certificate>,
}

impl TlsMet {
    /// Whether no client without a certificate is accepted: it asked for one, and refused the client that had none.
    pub fn demands_certificate(&self) -> bool {
        self.asks && self.refusal.is_some()
    }
}

impl Reached {
    /// What was met at an endpoint; none when it was not asked, or there was no time left to ask.
    pub fn at(&self, endpoint: &Endpoint) -> Option<&Got<Met>> {
        self.0.get(endpoint).filter(|met| is_answered(met))
    }

    /// The status of an HTTP answer.
    pub fn status(&self, endpoint: &Endpoint) -> Seen<u16> {
        match self.0.get(endpoint) {
            Some(Ok(Met::Status(status))) => Ok(*status),
            Some(Err(fault)) => Err(Unobserved::unreachable(endpoint.to_string(), fault)),
            Some(Ok(_)) | None => Err(Unobserved::invalid(endpoint.to_string(), "it was not asked")),
        }
    }

    /// Whether a program accepts connections there.
    pub fn is_open(&self, endpoint: &Endpoint) -> Seen<bool> {
        match self.0.get(endpoint) {
            Some(Err(fault @ Fault::Unanswered)) => Err(Unobserved::unreachable(endpoint.to_string(), fault)),
            Some(met) => Ok(is_open(met)),
            None => Err(Unobserved::invalid(endpoint.to_string(), "it was not asked")),
        }
    }

    /// Everything that was met at an address, at whatever port.
    pub fn address(&self, ip: IpAddr) -> impl Iterator<Item = &Got<Met>> {
        self.0.iter().filter(move |(endpoint, met)| endpoint.at.ip() == ip && is_answered(met)).map(|(_, met)| met)
    }

    /// Everything that was met at a port of an address, whatever was asked there.
    pub fn port(&self, ip: IpAddr, port: u16) -> impl Iterator<Item = (&Endpoint, &Got<Met>)> {
        let at = SocketAddr::new(ip, port);
        self.0.iter().filter(move |(endpoint, met)| endpoint.at == at && is_answered(met))
    }
}

fn is_answered(met: &Got<Met>) -> bool {
    *met != Err(Fault::Unanswered)
}

/// Whether a program listens there: an answer came, or the connection was made and ended in another way. An error that never
/// left the pod is neither.
pub fn is_open(met: &Got<Met>) -> bool {
    matches!(met, Ok(_) | Err(Fault::Reset | Fault::Stranger(_) | Fault::NotTls(_)))
}

impl FromIterator<(Endpoint, Got<Met>)> for Reached {
    fn from_iter<I: IntoIterator<Item = (Endpoint, Got<Met>)>>(met: I) -> Self {
        Self(met.into_iter().collect())
    }
}

impl Merge for Reached {
    fn add(&mut self, other: Self) {
        self.0.add(other.0);
    }
}

impl From<Vec<(Got<Met>, Vec<Endpoint>)>> for Reached {
    fn from(folded: Vec<(Got<Met>, Vec<Endpoint>)>) -> Self {
        let unfolded = folded
            .into_iter()
            .flat_map(|(met, endpoints)| endpoints.into_iter().map(move |endpoint| (endpoint, met.clone())));
        Self(unfolded.collect())
    }
}

impl From<Reached> for Vec<(Got<Met>, Vec<Endpoint>)> {
    fn from(reached: Reached) -> Self {
        let mut folded: Self = Self::new();
        for (endpoint, met) in reached.0 {
            match folded.iter_mut().find(|(other, _)| *other == met) {
                Some((_, endpoints)) => endpoints.push(endpoint),
                None => folded.push((met, vec![endpoint])),
            }
        }
        folded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{Answers, message};

    fn at(node: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 77, 0, node], port))
    }

    #[test]
    fn equal_answers_are_written_once_and_read_back_apart() {
        let reached = Reached(BTreeMap::from([
            (Endpoint::tcp(at(11, 10255)), Err(Fault::Refused)),
            (Endpoint::tcp(at(12, 10255)), Err(Fault::Refused)),
            (Endpoint::tcp(at(11, 10250)), Ok(Met::Open)),
        ]));
        let json = serde_json::to_string(&reached).unwrap();
        assert_eq!(
            json,
            r#"[[{"Ok":"open"},["tcp 10.77.0.11:10250"]],[{"Err":"refused"},["tcp 10.77.0.11:10255","tcp 10.77.0.12:10255"]]]"#
        );
        assert_eq!(serde_json::from_str::<Reached>(&json).unwrap(), reached);
    }

    #[test]
    fn sixteen_healthy_nodes_take_few_bytes() {
        let closed = (11..27)
            .flat_map(|node| [10255, 10248, 10249].map(|port| (Endpoint::tcp(at(node, port)), Err(Fault::Refused))));
        let open = (11..27).flat_map(|node| [10250, 10256].map(|port| (Endpoint::tcp(at(node, port)), Ok(Met::Open))));
        let answers = Answers { reached: closed.chain(open).collect(), ..Answers::default() };
        let message = message::pack_within(&answers, message::MESSAGE_LIMIT).unwrap();
        assert!(message.len() < 700, "{}", message.len());
        assert_eq!(message::unpack::<Answers>(&message).unwrap(), answers);
    }

    #[test]
    fn what_there_was_no_time_to_ask_is_neither_open_nor_closed() {
        let endpoint = Endpoint::https(at(11, 10250), "/pods");
        let of = |met: Got<Met>| Reached::from_iter([(endpoint.clone(), met)]);
        let unanswered = of(Err(Fault::Unanswered));
        assert_eq!((unanswered.at(&endpoint), unanswered.port(at(11, 10250).ip(), 10250).count()), (None, 0));
        assert!(unanswered.is_open(&endpoint).is_err() && Reached::default().is_open(&endpoint).is_err());
        assert_eq!(of(Err(Fault::TimedOut)).is_open(&endpoint), Ok(false));
        assert_eq!(of(Ok(Met::Status(403))).status(&endpoint), Ok(403));
        for unseen in [of(Err(Fault::TimedOut)), of(Ok(Met::Open)), Reached::default(), unanswered] {
            assert!(unseen.status(&endpoint).is_err());
        }
    }

    #[test]
    fn only_a_connection_that_did_not_come_about_is_closed() {
        assert!(
            is_open(&Err(Fault::NotTls("HTTP/1.1 400".into())))
                && is_open(&Ok(Met::Open))
                && is_open(&Err(Fault::Reset))
                && is_open(&Err(Fault::Stranger("HTTP/0.9".into())))
        );
        assert!(!is_open(&Err(Fault::Other("Operation not permitted (os error 1)".into()))));
        assert!(!is_open(&Err(Fault::Refused)) && !is_open(&Err(Fault::TimedOut)) && !is_open(&Err(Fault::NoRoute)));
    }
}
