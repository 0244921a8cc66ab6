//! # A node creates tokens only for the service accounts of its own pods
//!
//! ## Why
//! A kubelet that may create a token for any service account can become any service account: from one stolen node
//! credential to the most powerful add-on in one request.
//!
//! ## Fix
//! If the finding names a binding: remove the nodes from it. Storage drivers get tokens for their volumes by
//! `tokenRequests` in their CSIDriver and need no right to `serviceaccounts/token`. If it names none: see AA-02.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/node/node_authorizer.go` (`authorizeCreateToken`);
//! <https://kubernetes.io/docs/reference/access-authn-authz/node/>

use super::helpers::node_rights::{Denied, NODE_AND_RBAC, judge_denied};
use crate::check::Verdict;
use crate::fact::facts::node_reviews::{NodeAsks, NodeReviews};
use crate::suites::rights::Forbidden;

crate::check!(
    "AA-08",
    "node-tokens",
    Critical,
    judge,
    builds_on: ["AA-02", "AA-03", "AA-04", "AA-18"]
);

pub(super) const DENIED: &[Denied] = &[Denied {
    asks: &[NodeAsks::ForeignToken, NodeAsks::ListServiceAccounts],
    control: NodeAsks::OwnToken,
    forbidden: Forbidden {
        expected: "a node is denied tokens for service accounts that none of its pods has",
        impact: "an attacker on one node can act as service accounts that run elsewhere",
        fix: NODE_AND_RBAC,
    },
}];

fn judge(reviews: &NodeReviews) -> Verdict {
    judge_denied(reviews, DENIED)
}
