//! Spreads the questions of one probe over as many containers as their answers need messages.

use super::ask::merge::Merge;
use super::{Questions, message};

/// How many containers of a probe do not ask.
const SERVING: usize = 1;
/// The most containers that ask: with more, the share that the kubelet leaves to each shrinks as fast.
const ASKING: usize = 3;
/// What every packed message holds, in bytes.
const ALWAYS: usize = 30;

/// The questions of each container, by its name. One container asks all that fits into one message.
pub fn over_containers(questions: Questions) -> Vec<(String, Questions)> {
    let mut asking = 1;
    let mut parts = pack(&questions, asking);
    while parts.is_none() && asking < ASKING {
        asking += 1;
        parts = pack(&questions, asking);
    }
    // What is estimated to be too long is asked all the same: the probe fails if it is.
    let mut parts = parts.unwrap_or_else(|| vec![questions]);
    let limit = message::limit(parts.len() + SERVING);
    for part in &mut parts {
        part.batch.message_limit = limit;
    }
    parts.into_iter().enumerate().map(|(i, part)| (name(i), part)).collect()
}

/// The name of a container that asks.
pub fn name(place: usize) -> String {
    if place == 0 { "ask".into() } else { format!("ask-{}", place + 1) }
}

/// The questions for this many containers; none when the answers do not fit. Each part goes where room is left.
fn pack(questions: &Questions, containers: usize) -> Option<Vec<Questions>> {
    let room = message::limit(containers + SERVING).checked_sub(ALWAYS)?;
    let mut packed = vec![(room, Questions::none(questions.batch.clone())); containers];
    let mut parts = questions.parts();
    // The largest first, so that what is small fills the gaps.
    parts.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
    for (size, part) in parts {
        let (left, container) = packed.iter_mut().find(|(left, _)| *left >= size)?;
        *left -= size;
        container.add(part);
    }
    Some(packed.into_iter().map(|(_, part)| part).collect())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;
    use crate::probe::batch::Batch;
    use crate::probe::endpoint::Endpoint;
    use crate::probe::question::{MetadataQuestion, Peer};

    fn questions(peers: usize, certificates: u16) -> Questions {
        let at = |port| SocketAddr::from(([10, 77, 0, 11], port));
        let peer = |i| Peer { pod: format!("p{i}"), host: format!("p{i}.x."), address: None };
        let batch = Batch::of("x7f4k".parse().unwrap(), Duration::from_secs(1), Duration::from_secs(9));
        Questions {
            resolver: true,
            kubelet: true,
            token: true,
            peers: (0..peers).map(peer).collect(),
            reached: (0..certificates)
                .map(|i| Endpoint::certificate(at(2379 + i)))
                .chain([Endpoint::tcp(at(10250))])
                .collect(),
            metadata: vec![MetadataQuestion { at: ([169, 254, 169, 254], 80).into(), requests: true }],
            ..Questions::none(batch)
        }
    }

    /// All questions, in the order of their texts.
    fn sorted(mut questions: Questions) -> String {
        questions.peers.sort_by(|a, b| a.pod.cmp(&b.pod));
        questions.reached.sort();
        serde_json::to_string(&questions).unwrap()
    }

    #[test]
    fn a_small_node_asks_in_one_container() {
        let parts = over_containers(questions(15, 0));
        assert_eq!(parts.len(), 1);
        assert_eq!((parts[0].0.as_str(), parts[0].1.batch.message_limit), ("ask", 4096));
    }

    #[test]
    fn certificates_go_into_a_second_message_and_nothing_is_lost() {
        let parts = over_containers(questions(15, 2));
        assert_eq!(parts.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["ask", "ask-2"]);
        assert!(parts.iter().all(|(_, part)| part.batch.message_limit == 4096));
        assert_eq!(parts.iter().filter(|(_, part)| part.kubelet).count(), 1, "asked once");
        let mut whole = Questions::none(parts[0].1.batch.clone());
        for (_, part) in parts {
            whole.add(part);
        }
        assert_eq!(sorted(whole), sorted(questions(15, 2)));
    }

    #[test]
    fn more_than_any_pod_may_say_is_asked_and_not_dropped() {
        let parts = over_containers(questions(15, 40));
        assert_eq!((parts.len(), parts[0].1.reached.len()), (1, 41));
    }
}
