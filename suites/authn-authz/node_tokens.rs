//! # A node creates tokens only for the service accounts of its own pods
//!
//! ## Why
//! A kubelet that may create a token for any service account may become any service account: from one stolen node
//! credential to the most powerful add-on in one request.
//!
//! ## Fix
//! Where the finding names a binding: `kubectl describe clusterrolebinding NAME`; where it names none, see AA-02. Storage drivers get tokens for their volumes
//! by `tokenRequests` in their CSIDriver, not by a right to `serviceaccounts/token`.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/node/node_authorizer.go` (`authorizeCreateToken`);
//! <https://kubernetes.io/docs/reference/access-authn-authz/node/>

use super::node_rights::may_do_none_of;
use crate::check::Verdict;
use crate::fact::facts::node_reviews::{NodeAsks, NodeReviews};

crate::check!("AA-08", "node-tokens", Critical, judge);

const FORBIDDEN: [NodeAsks; 2] = [NodeAsks::ForeignToken, NodeAsks::ListServiceAccounts];

fn judge(reviews: &NodeReviews) -> Verdict {
    let mut verdict = Verdict::new();
    let consequence = "whoever takes over one node can become service accounts that run elsewhere";
    may_do_none_of(&mut verdict, reviews, &FORBIDDEN, NodeAsks::OwnToken, consequence);
    verdict
}

#[cfg(test)]
mod tests {
    use super::super::node_rights::testing::reviews;
    use super::*;
    use crate::check::Severity;

    #[test]
    fn a_node_that_gets_only_its_own_tokens_is_right() {
        let verdict = judge(&reviews(&[NodeAsks::OwnToken], &FORBIDDEN));
        assert!(verdict.findings(Severity::Critical).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 3);
    }

    #[test]
    fn a_node_that_gets_any_token_is_found() {
        let findings = judge(&reviews(&[NodeAsks::OwnToken, NodeAsks::ForeignToken], &[])).findings(Severity::Critical);
        assert_eq!((findings.len(), findings[0].expected.as_str()), (1, "may not do ForeignToken"));
    }

    #[test]
    fn denials_without_a_control_are_undecided() {
        assert_eq!(judge(&reviews(&[], &[NodeAsks::OwnToken, NodeAsks::ForeignToken])).gaps().len(), 1);
    }
}
