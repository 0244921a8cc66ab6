//! # A node sees only its own devices and its own pods' certificate requests
//!
//! ## Why
//! ResourceSlices show which devices every node has, and PodCertificateRequests which identities every pod asks for. A
//! node that answers such a request itself can give a pod any identity.
//!
//! ## Fix
//! If the finding names a binding: let the device driver read and write its ResourceSlices with its own service
//! account, not with the kubelet's credential. If it names none: see AA-02.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/node/node_authorizer.go` (`authorizeResourceSlice`,
//! `authorizePodCertificateRequest`), where the selector is `nodeName` in resource.k8s.io/v1 and `spec.nodeName` for
//! PodCertificateRequests; KEP-3063, KEP-4317. The control is the list of its own pods. Skipped before 1.34, the first
//! version that serves resource.k8s.io/v1.

use super::helpers::node_rights::{Denied, NODE_WITH_SELECTORS, judge_denied, since};
use crate::check::Verdict;
use crate::fact::facts::node_reviews::{NodeAsks, NodeReviews};
use crate::fact::facts::oldest_api_server::OldestApiServer;
use crate::suites::rights::Forbidden;

crate::check!(
    "AA-10",
    "node-devices",
    Minor,
    judge,
    builds_on: ["AA-02", "AA-03", "AA-04", "AA-18"]
);

pub(super) const DENIED: &[Denied] = &[Denied {
    asks: &[NodeAsks::ListResourceSlices, NodeAsks::ListPodCertificateRequests, NodeAsks::AnswerPodCertificateRequest],
    control: NodeAsks::ListOwnPods,
    forbidden: Forbidden {
        expected: "a node is denied the devices and the pods' certificate requests of other nodes",
        impact: "an attacker on one node sees the devices and certificate requests of all nodes, or answers the \
         requests",
        fix: NODE_WITH_SELECTORS,
    },
}];

pub(super) fn judge(reviews: &NodeReviews, server: &OldestApiServer) -> Verdict {
    since(34, server, "the API server does not serve resource.k8s.io/v1")
        .unwrap_or_else(|| judge_denied(reviews, DENIED))
}
