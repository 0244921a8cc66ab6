//! # A node reads only its own Node object, and cannot delete it
//!
//! ## Why
//! Node objects show addresses, versions and images of every machine. A program that borrows the kubelet's credential
//! to read them all breaks at the upgrade that denies it; a node that may delete its Node evicts every pod on it.
//!
//! ## Fix
//! If the finding names a binding: give the program that needs it (often a network or monitoring agent that uses
//! `/etc/kubernetes/kubelet.conf`) its own service account. If it names none: see AA-02.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/node/node_authorizer.go` (`authorizeNode`), KEP-4601 (on by
//! default since 1.32). The control is its own Node. In a cluster of one node, the check asks about a name that no Node
//! has. Skipped before 1.32, where every node may read all Nodes.

use super::helpers::node_rights::{Denied, NODE_WITH_SELECTORS, judge_denied, since};
use crate::check::Verdict;
use crate::fact::facts::node_reviews::{NodeAsks, NodeReviews};
use crate::fact::facts::oldest_api_server::OldestApiServer;
use crate::suites::rights::Forbidden;

crate::check!(
    "AA-07",
    "node-objects",
    Major,
    judge,
    builds_on: ["AA-02", "AA-03", "AA-04", "AA-18"]
);

pub(super) const DENIED: &[Denied] = &[Denied {
    asks: &[NodeAsks::ForeignNode, NodeAsks::ListNodes, NodeAsks::DeleteOwnNode],
    control: NodeAsks::OwnNode,
    forbidden: Forbidden {
        expected: "a node is denied other Nodes, and the deletion of its own",
        impact: "an attacker on one node reads every Node, or deletes its own; a program that relies on it breaks at \
         an upgrade",
        fix: NODE_WITH_SELECTORS,
    },
}];

pub(super) fn judge(reviews: &NodeReviews, server: &OldestApiServer) -> Verdict {
    since(32, server, "every node may read all Nodes").unwrap_or_else(|| judge_denied(reviews, DENIED))
}
