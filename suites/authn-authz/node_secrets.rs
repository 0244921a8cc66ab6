//! # A node reads the Secrets and ConfigMaps of its own pods only, and changes none
//!
//! ## Why
//! Whoever takes over one node has its kubelet's credential. If that reads other nodes' Secrets, one lost node is a lost
//! cluster.
//!
//! ## Fix
//! Where the finding names the binding that allows it: `kubectl describe clusterrolebinding NAME`, then bind the role to the
//! service account of the program that needs it instead of to `system:nodes`. Without a name, see AA-02.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/node/node_authorizer.go` (`authorizeReadNamespacedObject`) and
//! `graph.go` (mirror pods grant nothing). The control is a ConfigMap of one of the node's pods. Where no pod of another
//! node refers to a Secret, a name that no Secret has stands for one: authorization comes before the lookup.

use super::node_rights::may_do_none_of;
use crate::check::Verdict;
use crate::fact::facts::node_reviews::{NodeAsks, NodeReviews};

crate::check!("AA-05", "node-secrets", Critical, judge);

const FORBIDDEN: [NodeAsks; 9] = [
    NodeAsks::UnrelatedSecret,
    NodeAsks::ForeignSecret,
    NodeAsks::ForeignConfigMap,
    NodeAsks::ListSecretsOfNamespace,
    NodeAsks::ListSecrets,
    NodeAsks::WatchSecrets,
    NodeAsks::CreateSecret,
    NodeAsks::UpdateSecret,
    NodeAsks::DeleteSecret,
];

fn judge(reviews: &NodeReviews) -> Verdict {
    let mut verdict = Verdict::new();
    let consequence = "whoever takes over one node reads or changes what belongs to others";
    may_do_none_of(&mut verdict, reviews, &FORBIDDEN, NodeAsks::OwnConfigMap, consequence);
    if !reviews.0.contains_key(&NodeAsks::ForeignSecret) {
        verdict.note("no pod of another node alone refers to a Secret: asked about a name that no Secret has");
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::super::node_rights::testing::reviews;
    use super::*;
    use crate::check::Severity;

    #[test]
    fn a_node_that_reads_only_its_own_is_right() {
        let verdict = judge(&reviews(&[NodeAsks::OwnConfigMap], &FORBIDDEN));
        assert!(verdict.findings(Severity::Critical).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 10);
    }

    #[test]
    fn a_node_that_lists_secrets_is_found_with_the_binding() {
        let verdict = judge(&reviews(&[NodeAsks::OwnConfigMap, NodeAsks::ListSecrets, NodeAsks::WatchSecrets], &[]));
        let findings = verdict.findings(Severity::Critical);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].expected.contains("ListSecrets") && findings[0].expected.contains("WatchSecrets"));
        assert_eq!(findings[0].seen, "allowed: RBAC: a binding");
    }

    #[test]
    fn denials_without_a_control_are_undecided() {
        assert_eq!(judge(&reviews(&[], &[NodeAsks::OwnConfigMap, NodeAsks::ListSecrets])).gaps().len(), 1);
    }
}
