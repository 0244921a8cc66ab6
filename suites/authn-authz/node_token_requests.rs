//! # A node gets tokens only for its own pods, and only for what they are meant for
//!
//! ## Why
//! A kubelet requests tokens for the service accounts of its pods. If they need not be bound to a pod of its own, whoever
//! takes over one node keeps tokens that outlive the pods and the node. If it may choose the audience, it logs in as the pod
//! wherever such tokens are accepted: a vault, a cloud.
//!
//! ## Fix
//! AA-03 tells whether NodeRestriction is missing: put it back into `--enable-admission-plugins` of the API server, on every
//! control-plane node (kubeadm sets it in `/etc/kubernetes/manifests/kube-apiserver.yaml`). Where it is there, and only the
//! audience is let through, look there for `ServiceAccountNodeAudienceRestriction=false` among `--feature-gates`. A storage driver that needs other audiences names
//! them under `tokenRequests` of its CSIDriver, or is granted `request-serviceaccounts-token-audience` on that audience.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/admission/noderestriction/admission.go` (`admitServiceAccount`,
//! `validateNodeServiceAccountAudience`, on by default since 1.33). `dryRun` does not stop tokens from being issued, so all
//! are requested for an audience that nothing has, and a token that is issued nevertheless is dropped unread. The control is
//! what the authorizers say about a token for the same service account.

use super::node_rights::control;
use super::node_writes::{Refused, Tried, are_refused};
use crate::check::{Severity, Verdict};
use crate::fact::facts::node_reviews::{NodeAsks, NodeReviews};
use crate::fact::facts::node_token_requests::{NodeTokenRequests, TokenRequested};
use crate::fact::facts::oldest_api_server::OldestApiServer;
use crate::version::Version;

crate::check!("AA-14", "node-token-requests", Critical, judge);

const BOUND: [Refused<TokenRequested>; 2] = [
    Refused(TokenRequested::Unbound, "get a token that is bound to no pod", "not bound to a pod"),
    Refused(
        TokenRequested::ForeignPod,
        "get a token that is bound to a pod of another node",
        "bound to a pod scheduled on a different node",
    ),
];
const AUDIENCE: [Refused<TokenRequested>; 1] = [Refused(
    TokenRequested::UnusedAudience,
    "get a token for an audience that its pod does not ask for",
    "is not authorized to request tokens for audience",
)];

fn judge(requests: &NodeTokenRequests, reviews: &NodeReviews, server: &OldestApiServer) -> Verdict {
    let mut verdict = Verdict::new();
    let tried = Tried { node: &requests.node, answers: &requests.answers };
    let consequence = "NodeRestriction is off: tokens that one stolen node fetches outlive its pods";
    are_refused(&mut verdict, tried, &BOUND, consequence, Severity::Critical);
    if !requests.answers.contains_key(&TokenRequested::ForeignPod) {
        verdict.note("no other node has a pod of the same service account: a token for such a pod was not requested");
    }
    if server.0 < Version::minor(33) {
        verdict.note(format!("an API server is v{}; before 1.33 a node may choose the audience", server.0));
    } else {
        let consequence = "whoever takes over one node logs in as its pods wherever such tokens are accepted";
        are_refused(&mut verdict, tried, &AUDIENCE, consequence, Severity::Major);
    }
    control(&mut verdict, reviews, NodeAsks::OwnToken);
    verdict
}

#[cfg(test)]
mod tests {
    use super::super::node_rights::testing::{reviews, server};
    use super::*;
    use crate::fact::answered::Answered;

    fn judged(unbound: u16, audience: u16, control: bool, minor: u64) -> Verdict {
        let answer = |Refused(requested, _, words): &Refused<TokenRequested>, status: u16| {
            let message = if status == 403 { (*words).to_owned() } else { String::new() };
            (*requested, Ok(Answered { status, message }))
        };
        let answers = [answer(&BOUND[0], unbound), answer(&BOUND[1], 403), answer(&AUDIENCE[0], audience)];
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
        assert!(findings[0].seen.contains("bound to no pod (HTTP 201)"), "{findings:?}");
        let findings = judged(403, 201, true, 37).findings(Severity::Critical);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Major));
    }

    #[test]
    fn before_1_33_the_audience_is_free() {
        assert!(judged(403, 201, true, 32).findings(Severity::Critical).is_empty());
    }

    #[test]
    fn refusals_without_a_control_are_undecided() {
        assert_eq!(judged(403, 403, false, 37).gaps().len(), 1);
    }
}
