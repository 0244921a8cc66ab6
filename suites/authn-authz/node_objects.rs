//! # A node reads only its own Node object, and does not delete it
//!
//! ## Why
//! Node objects tell addresses, versions and images of every machine. A program that borrows the kubelet's credential to
//! read all of them stops working at the upgrade that refuses it, and one that may delete its Node evicts every pod there.
//!
//! ## Fix
//! Where the finding names a binding: `kubectl describe clusterrolebinding NAME`; where it names none, see AA-02. Give the program (often a network or monitoring
//! agent that uses `/etc/kubernetes/kubelet.conf`) a service account of its own.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/node/node_authorizer.go` (`authorizeNode`), KEP-4601 (on by default since
//! 1.32). The control is its own Node. In a cluster of one node a name that no Node has stands for another. Before 1.32 every
//! node may read all Nodes.

use super::node_rights::{may_do_none_of, since};
use crate::check::Verdict;
use crate::fact::facts::node_reviews::{NodeAsks, NodeReviews};
use crate::fact::facts::oldest_api_server::OldestApiServer;

crate::check!("AA-07", "node-objects", Major, judge);

const FORBIDDEN: [NodeAsks; 3] = [NodeAsks::ForeignNode, NodeAsks::ListNodes, NodeAsks::DeleteOwnNode];

fn judge(reviews: &NodeReviews, server: &OldestApiServer) -> Verdict {
    if let Some(too_early) = since(32, server, "every node may read all Nodes") {
        return too_early;
    }
    let mut verdict = Verdict::new();
    let consequence = "whoever takes over one node, or borrows its credential, reads or deletes more than its own Node";
    may_do_none_of(&mut verdict, reviews, &FORBIDDEN, NodeAsks::OwnNode, consequence);
    verdict
}

#[cfg(test)]
mod tests {
    use super::super::node_rights::testing::{reviews, server};
    use super::*;
    use crate::check::Severity;

    #[test]
    fn a_node_that_reads_itself_only_is_right() {
        let verdict = judge(&reviews(&[NodeAsks::OwnNode], &FORBIDDEN), &server(37));
        assert!(verdict.findings(Severity::Major).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 4);
    }

    #[test]
    fn a_node_that_lists_nodes_is_found() {
        let lists = reviews(&[NodeAsks::OwnNode, NodeAsks::ListNodes, NodeAsks::ForeignNode], &[]);
        let findings = judge(&lists, &server(37)).findings(Severity::Major);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].expected.contains("ListNodes") && findings[0].expected.contains("ForeignNode"));
    }

    #[test]
    fn denials_without_a_control_are_undecided() {
        assert_eq!(judge(&reviews(&[], &[NodeAsks::OwnNode, NodeAsks::ListNodes]), &server(37)).gaps().len(), 1);
    }

    #[test]
    fn before_1_32_it_does_not_apply() {
        assert!(judge(&reviews(&[], &[]), &server(30)).reason().is_some());
    }
}
