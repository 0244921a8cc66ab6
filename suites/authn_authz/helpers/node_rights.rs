//! What the checks of a node's rights share: what a kubelet must not be allowed, and how that is judged.

use crate::check::{Subject, Verdict};
use crate::fact::access_review::Review;
use crate::fact::facts::node_reviews::{NodeAsks, NodeReviews};
use crate::fact::facts::oldest_api_server::OldestApiServer;
use crate::seen::Unobserved;
use crate::suites::rights::Forbidden;
use crate::version::Version;

/// How to fix a right that no binding grants.
pub(crate) const NODE_AND_RBAC: &str = "no binding grants it: on each control-plane node, set \
     --authorization-mode=Node,RBAC in /etc/kubernetes/manifests/kube-apiserver.yaml, or correct the authorizers in \
     the file of --authorization-config";
/// The same for rights that the Node authorizer limits by selectors.
pub(crate) const NODE_WITH_SELECTORS: &str = "no binding grants it: on each control-plane node, in \
     /etc/kubernetes/manifests/kube-apiserver.yaml, set --authorization-mode=Node,RBAC and remove \
     AuthorizeNodeWithSelectors=false from --feature-gates";

/// What a kubelet must not be allowed. Denials count only if the control is allowed: the authorizers know the node.
pub(crate) struct Denied {
    /// The requests that must be denied.
    pub(crate) asks: &'static [NodeAsks],
    /// A request of the same node that must be allowed.
    pub(crate) control: NodeAsks,
    /// What must be so, what follows otherwise, and how to fix it.
    pub(crate) forbidden: Forbidden<'static>,
}

/// The verdict on a cluster that is too old for a check, and how it was before.
pub(crate) fn since(minor: u64, server: &OldestApiServer, before: &str) -> Option<Verdict> {
    let OldestApiServer(version) = server;
    (*version < Version::minor(minor))
        .then(|| Verdict::not_applicable(format!("an API server is v{version}; before 1.{minor} {before}")))
}

/// Judges what a node is denied.
pub(crate) fn judge_denied(reviews: &NodeReviews, all: &[Denied]) -> Verdict {
    let mut verdict = Verdict::new();
    for Denied { asks, control, forbidden } in all {
        forbidden.judge(&mut verdict, None, asks.iter().filter_map(|ask| reviews.0.get(ask)));
        judge_control(&mut verdict, reviews, *control);
    }
    verdict
}

/// Asserts that a node is allowed what it needs; otherwise denials prove nothing.
pub(crate) fn judge_control(verdict: &mut Verdict, reviews: &NodeReviews, control: NodeAsks) {
    match reviews.0.get(&control) {
        Some(Review { question, answer: Ok(answer) }) if !answer.allowed => {
            let cause = format!("denials prove nothing, because it may not even {question}: {}", answer.words());
            verdict.unseen(Subject::user(&question.user), &Unobserved::invalid("the authorizer", cause));
        }
        Some(Review { question, answer: Err(why) }) => verdict.unseen(Subject::user(&question.user), why),
        Some(_) => verdict.confirm(),
        None => verdict.unseen(Subject::cluster(), &Unobserved::absent("the control was not asked")),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::{NodeAsks, NodeReviews, OldestApiServer, Version};
    use crate::fact::access_review::{Who, testing};

    /// Why a request is allowed.
    pub(crate) const BINDING: &str =
        "RBAC: allowed by ClusterRoleBinding \"mesh\" of ClusterRole \"mesh\" to Group \"system:nodes\"";

    /// A node that is allowed `allowed` and denied `denied`.
    pub(crate) fn reviews(allowed: &[NodeAsks], denied: &[NodeAsks]) -> NodeReviews {
        let question = |ask: &NodeAsks| Who::kubelet("n2").may("do", &format!("{ask:?}"));
        let allowed = allowed.iter().map(|ask| (*ask, testing::allowed(question(ask), BINDING)));
        let denied = denied.iter().map(|ask| (*ask, testing::denied(question(ask), "node: no")));
        NodeReviews(allowed.chain(denied).collect())
    }

    /// A cluster whose oldest API server is of this minor.
    pub(crate) fn server(minor: u64) -> OldestApiServer {
        OldestApiServer(Version::minor(minor))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{node_devices, node_leases, node_objects, node_pods, node_secrets, node_tokens};
    use super::testing::{BINDING, reviews, server};
    use super::*;
    use crate::check::Severity;

    /// What each check forbids.
    const FAMILY: [&[Denied]; 6] = [
        node_secrets::DENIED,
        node_pods::DENIED,
        node_objects::DENIED,
        node_tokens::DENIED,
        node_leases::DENIED,
        node_devices::DENIED,
    ];

    fn controls(all: &[Denied]) -> Vec<NodeAsks> {
        all.iter().map(|denied| denied.control).collect()
    }

    fn forbidden(all: &[Denied]) -> Vec<NodeAsks> {
        all.iter().flat_map(|denied| denied.asks).copied().collect()
    }

    #[test]
    fn a_node_that_is_limited_to_its_own_passes() {
        for all in FAMILY {
            let verdict = judge_denied(&reviews(&controls(all), &forbidden(all)), all);
            assert!(verdict.findings(Severity::Major).is_empty() && verdict.saw_everything(), "{verdict:?}");
            assert_eq!(verdict.observations(), all.len() + forbidden(all).len());
        }
    }

    #[test]
    fn each_right_is_found_with_the_binding_that_grants_it() {
        for all in FAMILY {
            for Denied { asks, forbidden: Forbidden { expected, impact, .. }, .. } in all {
                for ask in *asks {
                    let allowed = [controls(all), vec![*ask]].concat();
                    let findings = judge_denied(&reviews(&allowed, &[]), all).findings(Severity::Major);
                    let [finding] = &findings[..] else { panic!("{findings:?}") };
                    assert_eq!((finding.expected.as_str(), finding.impact.as_deref()), (*expected, Some(*impact)));
                    assert_eq!(finding.seen, format!("allowed: {BINDING}"));
                    assert_eq!(finding.evidence, [format!("system:node:n2 may do {ask:?}")]);
                    assert!(finding.fix.ends_with("kubectl edit clusterrolebinding mesh"), "{finding:?}");
                }
            }
        }
    }

    #[test]
    fn rights_of_one_binding_are_one_finding() {
        let all = node_secrets::DENIED;
        let allowed = [NodeAsks::OwnConfigMap, NodeAsks::ListSecrets, NodeAsks::WatchSecrets];
        let findings = judge_denied(&reviews(&allowed, &[]), all).findings(Severity::Critical);
        assert_eq!((findings.len(), findings[0].evidence.len()), (1, 2));
    }

    #[test]
    fn denials_without_a_control_are_inconclusive() {
        for all in FAMILY {
            let denied = [controls(all), forbidden(all)].concat();
            assert!(!judge_denied(&reviews(&[], &denied), all).saw_everything());
            assert_eq!(judge_denied(&reviews(&[], &[]), all).gaps().len(), 1, "nothing was asked");
        }
    }

    #[test]
    fn older_clusters_are_not_judged() {
        let nothing = reviews(&[], &[]);
        assert!(node_pods::judge(&nothing, &server(31)).reason().unwrap().contains("1.31"));
        assert!(node_objects::judge(&nothing, &server(30)).reason().is_some());
        assert!(node_devices::judge(&nothing, &server(33)).reason().is_some());
        assert!(node_devices::judge(&nothing, &server(34)).reason().is_none());
    }
}
