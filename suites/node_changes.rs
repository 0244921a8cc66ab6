//! How long nodes may take to join and to leave.

use jiff::{SignedDuration, Timestamp};

use crate::fact::facts::nodes::Node;

/// How long a new node may take until its network, its agents and its monitoring work.
const ARRIVAL: SignedDuration = SignedDuration::from_mins(2);
/// How long a node that is being deleted may take until it is drained and deleted; after that something keeps it.
const DEPARTURE: SignedDuration = SignedDuration::from_mins(30);

/// Why a node need not work fully at this moment: it has just joined, or it is being deleted. Autoscalers add and
/// remove nodes of a healthy cluster all the time.
pub(super) fn comes_or_goes(node: &Node, now: Timestamp) -> Option<String> {
    if node.deleting.is_some_and(|since| now.duration_since(since) < DEPARTURE) {
        return Some("it is being deleted".into());
    }
    let is_new = now.duration_since(node.created?) < ARRIVAL;
    is_new.then(|| format!("it joined less than {} minutes ago", ARRIVAL.as_mins()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_comes_for_two_minutes_and_goes_when_it_is_deleted() {
        let created: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let node = Node { created: Some(created), ..Node::default() };
        let after = |seconds| created + SignedDuration::from_secs(seconds);
        assert_eq!(comes_or_goes(&node, after(119)).as_deref(), Some("it joined less than 2 minutes ago"));
        assert_eq!(comes_or_goes(&node, after(120)), None);
        assert_eq!(comes_or_goes(&Node::default(), after(0)), None);
        let node = Node { deleting: Some(after(9000)), ..node };
        assert!(comes_or_goes(&node, after(9600)).is_some());
        assert_eq!(comes_or_goes(&node, after(11_000)), None, "its finalizers keep it");
    }
}
