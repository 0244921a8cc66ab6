//! # A node gets tokens only for its own pods, and only for their audiences
//!
//! ## Why
//! A kubelet requests tokens for the service accounts of its pods. If these need not be bound to one of its own pods,
//! an attacker on one node keeps tokens that outlive the pods and the node. If a node may choose the audience, the
//! attacker logs in as the pod wherever such tokens are accepted: a vault, a cloud.
//!
//! ## Fix
//! AA-03 shows whether NodeRestriction is missing: add it to `--enable-admission-plugins` of the API server, on every
//! control-plane node (kubeadm sets it in `/etc/kubernetes/manifests/kube-apiserver.yaml`). If it is on and only the
//! audience is accepted, remove `ServiceAccountNodeAudienceRestriction=false` from `--feature-gates` there. A
//! storage driver that needs other audiences names them under `tokenRequests` of its CSIDriver, or is granted
//! `request-serviceaccounts-token-audience` on that audience.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/admission/noderestriction/admission.go` (`admitServiceAccount`,
//! `validateNodeServiceAccountAudience`, on by default since 1.33). `dryRun` does not stop tokens from being issued, so
//! all are requested for an audience that nothing has, and a token that is issued nevertheless is dropped unread. The
//! control is the authorizers' answer about a token for the same service account.

use super::helpers::node_rights::judge_control;
use super::helpers::node_writes::{Guarded, NODE_RESTRICTION, Refused, Tried};
use crate::check::{Severity, Verdict};
use crate::fact::facts::node_reviews::{NodeAsks, NodeReviews};
use crate::fact::facts::node_token_requests::{NodeTokenRequests, TokenRequested};
use crate::fact::facts::oldest_api_server::OldestApiServer;
use crate::version::Version;

crate::check!(
    "AA-14",
    "node-token-requests",
    Critical,
    judge,
    builds_on: ["AA-03", "AA-04", "AA-18"],
    blocked_by: ["CP-11"]
);

const BOUND: Guarded<TokenRequested> = Guarded {
    refused: &[
        Refused(TokenRequested::Unbound, "get a token that is not bound to a pod", "not bound to a pod"),
        Refused(
            TokenRequested::ForeignPod,
            "get a token that is bound to a pod of another node",
            "bound to a pod scheduled on a different node",
        ),
    ],
    impact: "tokens that an attacker fetches on one node outlive its pods",
    fix: NODE_RESTRICTION,
    severity: Severity::Critical,
};
const AUDIENCE: Guarded<TokenRequested> = Guarded {
    refused: &[Refused(
        TokenRequested::UnusedAudience,
        "get a token for an audience that its pod does not ask for",
        "is not authorized to request tokens for audience",
    )],
    impact: "an attacker on one node logs in as its pods wherever such tokens are accepted",
    fix: "on each control-plane node, in /etc/kubernetes/manifests/kube-apiserver.yaml, remove \
          ServiceAccountNodeAudienceRestriction=false from --feature-gates, and add NodeRestriction to \
          --enable-admission-plugins",
    severity: Severity::Major,
};

fn judge(requests: &NodeTokenRequests, reviews: &NodeReviews, server: &OldestApiServer) -> Verdict {
    let mut verdict = Verdict::new();
    let tried = Tried { node: &requests.node, answers: &requests.answers };
    tried.are_refused(&mut verdict, &BOUND);
    if !requests.answers.contains_key(&TokenRequested::ForeignPod) {
        verdict.note("no other node has a pod with the same service account: a token for such a pod was not requested");
    }
    if server.0 < Version::minor(33) {
        verdict.note(format!("an API server is v{}; before 1.33 a node may choose the audience", server.0));
    } else {
        tried.are_refused(&mut verdict, &AUDIENCE);
    }
    judge_control(&mut verdict, reviews, NodeAsks::OwnToken);
    verdict
}

#[cfg(test)]
mod tests {
    use super::super::helpers::node_rights::testing::{reviews, server};
    use super::*;
    use crate::fact::answered::Answered;

    fn judged(unbound: u16, audience: u16, control: bool, minor: u64) -> Verdict {
        let answer = |Refused(requested, _, words): &Refused<TokenRequested>, status: u16| {
            let message = if status == 403 { (*words).to_owned() } else { String::new() };
            (*requested, Ok(Answered { status, message }))
        };
        let answers = [
            answer(&BOUND.refused[0], unbound),
            answer(&BOUND.refused[1], 403),
            answer(&AUDIENCE.refused[0], audience),
        ];
        let requests = NodeTokenRequests { node: "n2".into(), answers: answers.into() };
        let own = [NodeAsks::OwnToken];
        let (allowed, denied): (&[_], &[_]) = if control { (&own, &[]) } else { (&[], &own) };
        judge(&requests, &reviews(allowed, denied), &server(minor))
    }

    #[test]
    fn a_node_gets_tokens_for_its_own_pods_only() {
        let verdict = judged(403, 403, true, 37);
        assert!(verdict.findings(Severity::Critical).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 4);
    }

    #[test]
    fn a_token_that_was_issued_is_found() {
        let findings = judged(201, 403, true, 37).findings(Severity::Critical);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Critical));
        assert_eq!(findings[0].evidence, ["get a token that is not bound to a pod (HTTP 201)"]);
        let findings = judged(403, 201, true, 37).findings(Severity::Critical);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Major));
        assert!(findings[0].fix.contains("ServiceAccountNodeAudienceRestriction"));
    }

    #[test]
    fn before_1_33_the_audience_is_free() {
        assert!(judged(403, 201, true, 32).findings(Severity::Critical).is_empty());
    }

    #[test]
    fn refusals_without_a_control_are_inconclusive() {
        assert_eq!(judged(403, 403, false, 37).gaps().len(), 1);
    }
}
