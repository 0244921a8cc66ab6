//! # A node reads only the Secrets and ConfigMaps of its own pods, and changes none
//!
//! ## Why
//! An attacker who takes over a node has its kubelet's credential. If that credential reads other nodes' Secrets, one
//! compromised node is a compromised cluster.
//!
//! ## Fix
//! If the finding names a binding: bind its role to the service account of the program that needs it instead of to
//! `system:nodes`. If it names none: see AA-02.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/node/node_authorizer.go` (`authorizeReadNamespacedObject`) and
//! `graph.go` (mirror pods grant nothing). The control is a ConfigMap of one of the node's pods. Where no pod of
//! another node refers to a Secret, the check asks about a name that no Secret has: authorization comes before the
//! lookup.

use super::helpers::node_rights::{Denied, NODE_AND_RBAC, judge_denied};
use crate::check::Verdict;
use crate::fact::facts::node_reviews::{NodeAsks, NodeReviews};
use crate::suites::rights::Forbidden;

crate::check!(
    "AA-05",
    "node-secrets",
    Critical,
    judge,
    builds_on: ["AA-02", "AA-03", "AA-04", "AA-18"]
);

pub(super) const DENIED: &[Denied] = &[Denied {
    asks: &[
        NodeAsks::UnrelatedSecret,
        NodeAsks::ForeignSecret,
        NodeAsks::ForeignConfigMap,
        NodeAsks::ListSecretsOfNamespace,
        NodeAsks::ListSecrets,
        NodeAsks::WatchSecrets,
        NodeAsks::CreateSecret,
        NodeAsks::UpdateSecret,
        NodeAsks::DeleteSecret,
    ],
    control: NodeAsks::OwnConfigMap,
    forbidden: Forbidden {
        expected: "a node is denied the Secrets and ConfigMaps of other nodes' pods, and all changes to Secrets",
        impact: "an attacker on one node reads or changes the Secrets of the whole cluster",
        fix: NODE_AND_RBAC,
    },
}];

fn judge(reviews: &NodeReviews) -> Verdict {
    let mut verdict = judge_denied(reviews, DENIED);
    if !reviews.0.contains_key(&NodeAsks::ForeignSecret) {
        verdict.note("no Secret belongs to pods of other nodes only: the check asked about a name that no Secret has");
    }
    verdict
}
