//! # A node reads only the pods that run on it
//!
//! ## Why
//! A pod's specification tells its images, its environment and what it mounts, and its status where it is reached. Whoever
//! takes over one kubelet would learn this of every workload.
//!
//! ## Fix
//! Where the finding names a binding: `kubectl describe clusterrolebinding NAME`; where it names none, see below. Give the agent that needs all pods a service
//! account of its own instead of the kubelet's credential. Where no binding is named, the API server predates 1.32 or was
//! started with `--feature-gates=AuthorizeNodeWithSelectors=false`.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/node/node_authorizer.go` (`authorizePod`), KEP-4601 (on by default since
//! 1.32). The control is the list of its own pods by `spec.nodeName`, which every kubelet makes. Before 1.32 every node may
//! read all pods, which is told and not failed.

use super::node_rights::{may_do_none_of, since};
use crate::check::Verdict;
use crate::fact::facts::node_reviews::{NodeAsks, NodeReviews};
use crate::fact::facts::oldest_api_server::OldestApiServer;

crate::check!("AA-06", "node-pods", Major, judge);

const FORBIDDEN: [NodeAsks; 2] = [NodeAsks::ListPods, NodeAsks::ForeignPod];

fn judge(reviews: &NodeReviews, server: &OldestApiServer) -> Verdict {
    if let Some(too_early) = since(32, server, "every node may read all pods") {
        return too_early;
    }
    let mut verdict = Verdict::new();
    let consequence = "whoever takes over one node reads the specification of every pod";
    may_do_none_of(&mut verdict, reviews, &FORBIDDEN, NodeAsks::ListOwnPods, consequence);
    if !reviews.0.contains_key(&NodeAsks::ForeignPod) {
        verdict.note("no other node runs a pod: only the list of all pods was asked about");
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::super::node_rights::testing::{reviews, server};
    use super::*;
    use crate::check::Severity;

    #[test]
    fn a_node_that_reads_its_own_pods_only_is_right() {
        let verdict = judge(&reviews(&[NodeAsks::ListOwnPods], &FORBIDDEN), &server(37));
        assert!(verdict.findings(Severity::Major).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 3);
    }

    #[test]
    fn a_node_that_lists_all_pods_is_found_with_the_binding() {
        let both = reviews(&[NodeAsks::ListOwnPods, NodeAsks::ListPods], &[NodeAsks::ForeignPod]);
        let findings = judge(&both, &server(37)).findings(Severity::Major);
        assert_eq!((findings.len(), findings[0].seen.as_str()), (1, "allowed: RBAC: a binding"));
    }

    #[test]
    fn denials_without_a_control_are_undecided() {
        assert_eq!(judge(&reviews(&[], &[NodeAsks::ListOwnPods, NodeAsks::ListPods]), &server(37)).gaps().len(), 1);
        assert_eq!(judge(&reviews(&[], &[]), &server(37)).gaps().len(), 1, "nothing was asked");
    }

    #[test]
    fn before_1_32_it_does_not_apply() {
        assert!(judge(&reviews(&[NodeAsks::ListPods], &[]), &server(31)).reason().unwrap().contains("1.31"));
    }
}
