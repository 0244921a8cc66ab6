//! # A node renews only its own lease, and reads only the volumes of its own pods
//!
//! ## Why
//! A node that renews another node's lease keeps a dead node looking alive, so its pods are never moved; one that
//! renews the scheduler's lease stops scheduling. Other nodes' CSINodes and volumes show where data is.
//!
//! ## Fix
//! If the finding names a binding: give an agent that needs leases its own service account instead of the kubelet's
//! credential. If it names none: see AA-02.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/node/node_authorizer.go` (`authorizeLease`, `authorizeCSINode`,
//! `authorizeGet`). In a cluster of one node, and for volumes, the check asks about names that no object has.

use super::helpers::node_rights::{Denied, NODE_AND_RBAC, judge_denied};
use crate::check::Verdict;
use crate::fact::facts::node_reviews::{NodeAsks, NodeReviews};
use crate::suites::rights::Forbidden;

crate::check!(
    "AA-09",
    "node-leases",
    Major,
    judge,
    builds_on: ["AA-02", "AA-03", "AA-04", "AA-18"]
);

pub(super) const DENIED: &[Denied] = &[
    Denied {
        asks: &[NodeAsks::ForeignLease, NodeAsks::RenewForeignLease, NodeAsks::SchedulerLease],
        control: NodeAsks::OwnLease,
        forbidden: Forbidden {
            expected: "a node is denied the leases of others",
            impact: "a node can keep a dead node looking alive, or take leadership away from the scheduler",
            fix: NODE_AND_RBAC,
        },
    },
    Denied {
        asks: &[NodeAsks::ForeignCsiNode, NodeAsks::UpdateForeignCsiNode],
        control: NodeAsks::OwnCsiNode,
        forbidden: Forbidden {
            expected: "a node is denied the CSINodes of others",
            impact: "a node sees or changes which storage drivers other nodes have",
            fix: NODE_AND_RBAC,
        },
    },
    Denied {
        asks: &[
            NodeAsks::UnrelatedVolume,
            NodeAsks::ListVolumes,
            NodeAsks::UnrelatedClaim,
            NodeAsks::ListVolumeAttachments,
        ],
        control: NodeAsks::OwnCsiNode,
        forbidden: Forbidden {
            expected: "a node is denied volumes that none of its pods uses",
            impact: "a node sees the volumes of the whole cluster",
            fix: NODE_AND_RBAC,
        },
    },
];

fn judge(reviews: &NodeReviews) -> Verdict {
    judge_denied(reviews, DENIED)
}
