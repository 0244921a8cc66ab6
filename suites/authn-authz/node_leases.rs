//! # A node renews its own lease only, and reads only the volumes of its own pods
//!
//! ## Why
//! A node that renews another one's lease keeps a dead node looking alive, so its pods are never moved; one that renews
//! the lease of the scheduler stops scheduling. CSINodes and volumes of others tell where data is.
//!
//! ## Fix
//! Where the finding names a binding: `kubectl describe clusterrolebinding NAME`; where it names none, see AA-02. Give an agent that needs leases a service
//! account of its own instead of the kubelet's credential.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/node/node_authorizer.go` (`authorizeLease`, `authorizeCSINode`,
//! `authorizeGet`). In a cluster of one node, and for volumes, names that no object has stand for those of others.

use super::node_rights::may_do_none_of;
use crate::check::Verdict;
use crate::fact::facts::node_reviews::{NodeAsks, NodeReviews};

crate::check!("AA-09", "node-leases", Major, judge);

const LEASES: [NodeAsks; 3] = [NodeAsks::ForeignLease, NodeAsks::RenewForeignLease, NodeAsks::SchedulerLease];
const CSI_NODES: [NodeAsks; 2] = [NodeAsks::ForeignCsiNode, NodeAsks::UpdateForeignCsiNode];
const VOLUMES: [NodeAsks; 4] =
    [NodeAsks::UnrelatedVolume, NodeAsks::ListVolumes, NodeAsks::UnrelatedClaim, NodeAsks::ListVolumeAttachments];

fn judge(reviews: &NodeReviews) -> Verdict {
    let mut verdict = Verdict::new();
    let so = "a node can keep another one looking alive, or take the lead from the scheduler";
    may_do_none_of(&mut verdict, reviews, &LEASES, NodeAsks::OwnLease, so);
    let so = "a node sees or changes which storage other nodes have";
    may_do_none_of(&mut verdict, reviews, &CSI_NODES, NodeAsks::OwnCsiNode, so);
    let so = "a node sees volumes that none of its pods uses";
    may_do_none_of(&mut verdict, reviews, &VOLUMES, NodeAsks::OwnCsiNode, so);
    verdict
}

#[cfg(test)]
mod tests {
    use super::super::node_rights::testing::reviews;
    use super::*;
    use crate::check::Severity;

    const OWN: [NodeAsks; 2] = [NodeAsks::OwnLease, NodeAsks::OwnCsiNode];

    #[test]
    fn a_node_that_keeps_to_its_own_is_right() {
        let verdict = judge(&reviews(&OWN, &[&LEASES[..], &CSI_NODES, &VOLUMES].concat()));
        assert!(verdict.findings(Severity::Major).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 12);
    }

    #[test]
    fn a_node_that_renews_other_leases_is_found() {
        let findings = judge(&reviews(&[&OWN[..], &LEASES].concat(), &CSI_NODES)).findings(Severity::Major);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].expected.contains("RenewForeignLease"), "{findings:?}");
        assert!(findings[0].impact.as_ref().unwrap().contains("looking alive"));
    }

    #[test]
    fn denials_without_a_control_are_undecided() {
        assert!(!judge(&reviews(&[], &[&OWN[..], &LEASES].concat())).saw_everything());
    }
}
