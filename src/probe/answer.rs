//! What a probe answers, topic by topic.

pub use super::ask::api::ApiAnswer;
pub use super::ask::dns::record::{Kind, Purpose, Record, RecordAnswer, Records};
pub use super::ask::dns::{DnsAnswer, Lookups};
pub use super::ask::dns_metrics::DnsMetrics;
use super::ask::environment::HOST;
pub use super::ask::interfaces::largest_packet;
pub use super::ask::kube_proxy::KubeProxyAnswer;
pub use super::ask::kubelet::KubeletAnswer;
pub use super::ask::metadata::{AwsSession, GoogleAccounts, Metadata, MetadataAnswer};
pub use super::ask::peer::PeerAnswer;
pub use super::ask::peer_load::{LargeAnswer, Loss};
pub use super::ask::repeated::Latency;
pub use super::ask::resolver::Resolver;
pub use super::ask::service::{Backends, ServiceAnswer};
pub use super::ask::topics::Answers;
use crate::seen::{Seen, Unobserved};

/// A topic that the probe was asked about, or that it was not.
fn asked<'a, T>(answer: Option<&'a T>, topic: &str) -> Seen<&'a T> {
    answer.ok_or_else(|| Unobserved::invalid("the probe", format!("it was not asked about {topic}")))
}

impl Answers {
    /// What the API server answered.
    pub fn api(&self) -> Seen<&ApiAnswer> {
        asked(self.api.as_ref(), "the API server")?.seen()
    }

    /// What the Services in front of the probes answered.
    pub fn service(&self) -> Seen<&ServiceAnswer> {
        asked(self.service.as_ref(), "the Services")
    }

    /// How the pod's resolver is configured.
    pub fn resolver(&self) -> Seen<&Resolver> {
        asked(self.resolver.as_ref(), "its resolver")
    }

    /// The address of the API server, as the environment of the pod states it, if it does.
    pub fn api_host(&self) -> Seen<Option<&str>> {
        let variables = asked(self.environment.as_ref(), "its environment")?;
        Ok(variables.get(HOST).map(String::as_str))
    }

    /// The largest packet that the pod sends, in bytes.
    pub fn largest_packet(&self) -> Seen<u32> {
        let unknown = |why: &dyn std::fmt::Display| Unobserved::invalid("the network interfaces of the probe", why);
        let sizes = asked(self.mtu.as_ref(), "its network interfaces")?.as_ref().map_err(|fault| unknown(fault))?;
        largest_packet(sizes).ok_or_else(|| unknown(&"none of them is up"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::probe::fault::Fault;
    use crate::probe::message::{self, MESSAGE_LIMIT, MessageError};

    #[test]
    fn a_message_holds_the_answers_of_a_full_mesh() {
        let peer = || PeerAnswer {
            address: Ok([10, 244, 1, 17].into()),
            by_address: false,
            tcp: Ok([10, 244, 0, 9].into()),
            udp: Err(Fault::TimedOut),
            large: Some(LargeAnswer { tcp: Ok(()), datagram: Some(Ok(())), fragments: Ok(()) }),
            loss: Some(Loss { sent: 40, lost: 0 }),
        };
        let answers = Answers {
            peers: (0..16).map(|i| (format!("seaworthy-x7f4k-{i}"), peer())).collect(),
            ..Answers::default()
        };
        let message = message::pack_within(&answers, MESSAGE_LIMIT).unwrap();
        assert!(message.len() < MESSAGE_LIMIT / 4, "{}", message.len());
        assert_eq!(message::unpack::<Answers>(&message).unwrap(), answers);
    }

    #[test]
    fn the_largest_packet_is_that_of_the_narrowest_way_out() {
        let of = |mtu| Answers { mtu, ..Answers::default() }.largest_packet();
        let sizes = BTreeMap::from([("eth0".to_owned(), 1450), ("eth1".to_owned(), 1500)]);
        assert_eq!(of(Some(Ok(sizes))), Ok(1450));
        let whys = [None, Some(Ok(BTreeMap::new())), Some(Err(Fault::Other("eth0/mtu: no".into())))];
        let whys = whys.map(|mtu| of(mtu).unwrap_err().to_string());
        assert_eq!(whys[0], "the probe: it was not asked about its network interfaces");
        assert_eq!(whys[1], "the network interfaces of the probe: none of them is up");
        assert_eq!(whys[2], "the network interfaces of the probe: eth0/mtu: no");
    }

    #[test]
    fn what_there_was_no_time_to_ask_was_not_seen() {
        let backends = Backends { fault: Some(Fault::Unanswered), ..Backends::default() };
        assert!(backends.seen().is_err());
        assert!(Backends { answered: [("p1".into(), 1)].into(), ..backends }.seen().is_ok());
        let lookups = Lookups { fault: Some(Fault::Unanswered), ..Lookups::default() };
        assert!(lookups.seen().is_err() && Lookups { asked: 4, ..lookups }.seen().is_ok());
        let peer = PeerAnswer {
            address: Ok([10, 244, 1, 17].into()),
            by_address: true,
            tcp: Err(Fault::TimedOut),
            udp: Err(Fault::TimedOut),
            large: None,
            loss: None,
        };
        assert!(peer.seen().is_ok() && PeerAnswer { udp: Err(Fault::Unanswered), ..peer }.seen().is_err());
        assert!(Answers::default().api().is_err() && Answers::default().service().is_err());
    }

    #[test]
    fn answers_that_do_not_fit_are_an_error_not_a_part() {
        // Distinct random-looking texts, so that packing cannot help.
        let peers = (0..900_u64).map(|i| {
            let noise = format!("{:x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let peer = PeerAnswer {
                address: Err(Fault::Other(noise.clone())),
                by_address: false,
                tcp: Err(Fault::Reset),
                udp: Err(Fault::Reset),
                large: None,
                loss: None,
            };
            (noise, peer)
        });
        let answers = Answers { peers: peers.collect(), ..Answers::default() };
        assert!(matches!(message::pack_within(&answers, MESSAGE_LIMIT), Err(MessageError::TooLong { .. })));
    }
}
