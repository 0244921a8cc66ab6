//! # A node sees only its own devices and its own pods' certificate requests
//!
//! ## Why
//! ResourceSlices tell which devices every node has, and PodCertificateRequests which identities every pod asks for. A node
//! that answers such a request itself gives a pod the identity that it likes.
//!
//! ## Fix
//! Where the finding names a binding: `kubectl describe clusterrolebinding NAME`; where it names none, see AA-02. A device driver reads and writes its
//! ResourceSlices with a service account of its own, not with the kubelet's credential.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/node/node_authorizer.go` (`authorizeResourceSlice`,
//! `authorizePodCertificateRequest`), where the selector is `nodeName` in resource.k8s.io/v1 and `spec.nodeName` for
//! PodCertificateRequests; KEP-3063, KEP-4317. The control is the list of its own pods. Skipped before 1.34, which is the first
//! to serve resource.k8s.io/v1.

use super::node_rights::{may_do_none_of, since};
use crate::check::Verdict;
use crate::fact::facts::node_reviews::{NodeAsks, NodeReviews};
use crate::fact::facts::oldest_api_server::OldestApiServer;

crate::check!("AA-10", "node-devices", Minor, judge);

const FORBIDDEN: [NodeAsks; 3] =
    [NodeAsks::ListResourceSlices, NodeAsks::ListPodCertificateRequests, NodeAsks::AnswerPodCertificateRequest];

fn judge(reviews: &NodeReviews, server: &OldestApiServer) -> Verdict {
    if let Some(too_early) = since(34, server, "there is no resource.k8s.io/v1") {
        return too_early;
    }
    let mut verdict = Verdict::new();
    let consequence = "whoever takes over one node sees the devices and certificate requests of all, or answers them";
    may_do_none_of(&mut verdict, reviews, &FORBIDDEN, NodeAsks::ListOwnPods, consequence);
    verdict
}

#[cfg(test)]
mod tests {
    use super::super::node_rights::testing::{reviews, server};
    use super::*;
    use crate::check::Severity;

    #[test]
    fn a_node_that_sees_its_own_devices_only_is_right() {
        let verdict = judge(&reviews(&[NodeAsks::ListOwnPods], &FORBIDDEN), &server(37));
        assert!(verdict.findings(Severity::Minor).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 4);
    }

    #[test]
    fn a_node_that_sees_all_devices_is_found() {
        let all = reviews(&[NodeAsks::ListOwnPods, NodeAsks::ListResourceSlices], &[]);
        let findings = judge(&all, &server(37)).findings(Severity::Minor);
        assert_eq!(findings[0].expected, "may not do ListResourceSlices");
    }

    #[test]
    fn denials_without_a_control_are_undecided() {
        assert_eq!(judge(&reviews(&[], &FORBIDDEN), &server(37)).gaps().len(), 1);
    }

    #[test]
    fn before_1_34_it_does_not_apply() {
        assert!(judge(&reviews(&[], &[]), &server(33)).reason().is_some());
    }
}
