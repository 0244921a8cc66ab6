//! # A node reads only the pods that run on it
//!
//! ## Why
//! A pod's specification shows its images, its environment and what it mounts; its status shows its address. An
//! attacker who takes over one kubelet could read this of every workload.
//!
//! ## Fix
//! If the finding names a binding: give the agent that needs all pods its own service account instead of the kubelet's
//! credential. If it names none, the API server was started with `--feature-gates=AuthorizeNodeWithSelectors=false`, or
//! without the Node authorizer (AA-02).
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/node/node_authorizer.go` (`authorizePod`), KEP-4601 (on by default
//! since 1.32). The control is the list of its own pods by `spec.nodeName`, which every kubelet requests. Skipped
//! before 1.32, where every node may read all pods.

use super::helpers::node_rights::{Denied, NODE_WITH_SELECTORS, judge_denied, since};
use crate::check::Verdict;
use crate::fact::facts::node_reviews::{NodeAsks, NodeReviews};
use crate::fact::facts::oldest_api_server::OldestApiServer;
use crate::suites::rights::Forbidden;

crate::check!("AA-06", "node-pods", Major, judge, builds_on: ["AA-02", "AA-03", "AA-04", "AA-18"]);

pub(super) const DENIED: &[Denied] = &[Denied {
    asks: &[NodeAsks::ListPods, NodeAsks::ForeignPod],
    control: NodeAsks::ListOwnPods,
    forbidden: Forbidden {
        expected: "a node is denied the pods of other nodes",
        impact: "an attacker on one node reads the specification of every pod",
        fix: NODE_WITH_SELECTORS,
    },
}];

pub(super) fn judge(reviews: &NodeReviews, server: &OldestApiServer) -> Verdict {
    if let Some(too_early) = since(32, server, "every node may read all pods") {
        return too_early;
    }
    let mut verdict = judge_denied(reviews, DENIED);
    if !reviews.0.contains_key(&NodeAsks::ForeignPod) {
        verdict.note("no other node runs a pod: the check asked only about the list of all pods");
    }
    verdict
}
