//! What the checks about a node's rights share: their control.

use crate::check::{Subject, Verdict};
use crate::fact::access_review::Review;
use crate::fact::facts::node_reviews::{NodeAsks, NodeReviews};
use crate::fact::facts::oldest_api_server::OldestApiServer;
use crate::seen::Unobserved;
use crate::suites::rights::may_not;
use crate::version::Version;

/// The verdict on a cluster that is too old for what is asked: it does not apply, because `before` it was otherwise.
pub(super) fn since(minor: u64, server: &OldestApiServer, before: &str) -> Option<Verdict> {
    let OldestApiServer(version) = server;
    (*version < Version::minor(minor))
        .then(|| Verdict::not_applicable(format!("an API server is v{version}; before 1.{minor} {before}")))
}

/// Asserts that a node may do none of these. Denials count only if something that the same node must be allowed is.
pub(super) fn may_do_none_of(
    verdict: &mut Verdict,
    reviews: &NodeReviews,
    forbidden: &[NodeAsks],
    allowed: NodeAsks,
    consequence: &str,
) {
    may_not(verdict, forbidden.iter().filter_map(|ask| reviews.0.get(ask)), consequence);
    control(verdict, reviews, allowed);
}

/// Asserts that a node may do what it must be able to; without that, denials prove nothing.
pub(super) fn control(verdict: &mut Verdict, reviews: &NodeReviews, allowed: NodeAsks) {
    match reviews.0.get(&allowed) {
        Some(Review { question, answer: Ok(answer) }) if !answer.allowed => {
            let cause = format!("denials prove nothing, it may not even {question}: {}", answer.words());
            verdict.unseen(Subject::user(&question.user), &Unobserved::invalid("the authorizer", cause));
        }
        Some(Review { question, answer: Err(why) }) => verdict.unseen(Subject::user(&question.user), why),
        Some(_) => verdict.confirm(),
        None => verdict.unseen(Subject::cluster(), &Unobserved::absent("the control was not asked")),
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::{NodeAsks, NodeReviews, OldestApiServer, Version};
    use crate::fact::access_review::{Who, testing};

    /// A node that is allowed `allowed` and denied `denied`.
    pub(crate) fn reviews(allowed: &[NodeAsks], denied: &[NodeAsks]) -> NodeReviews {
        let question = |ask: &NodeAsks| Who::kubelet("n2").may("do", &format!("{ask:?}"));
        let allowed = allowed.iter().map(|ask| (*ask, testing::allowed(question(ask), "RBAC: a binding")));
        let denied = denied.iter().map(|ask| (*ask, testing::denied(question(ask), "node: no")));
        NodeReviews(allowed.chain(denied).collect())
    }

    /// A cluster whose oldest API server is of this minor.
    pub(crate) fn server(minor: u64) -> OldestApiServer {
        OldestApiServer(Version::minor(minor))
    }
}
