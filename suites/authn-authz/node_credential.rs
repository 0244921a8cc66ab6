//! # A node's certificate opens what a node needs, and nothing else
//!
//! ## Why
//! What the authorizers answer about a node, or to somebody who impersonates one, is not yet what happens to whoever holds
//! a node's key. Here a certificate that the cluster has issued to a new node is used: authentication, the Node authorizer
//! and NodeRestriction are met one after the other, as by somebody who has stolen it.
//!
//! ## Fix
//! The API server needs `--authorization-mode=Node,RBAC` and `--enable-admission-plugins=NodeRestriction`, as kubeadm writes
//! them, on every control-plane node. Nothing may be bound to the group `system:nodes`:
//! `kubectl get clusterrolebindings,rolebindings -A -o wide | grep system:nodes` shows what is.
//! A certificate that is not accepted was signed by another CA than the API server's `--client-ca-file`.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/node/node_authorizer.go`,
//! `plugin/pkg/admission/noderestriction/admission.go`, `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go`
//! (`NodeRules`). Nodes list pods and nodes of others until 1.31 (`AuthorizeNodeWithSelectors`). The certificate lives for
//! ten minutes and is of a node that does not exist; of objects only metadata is asked for, and writes are dry runs.

use crate::check::{Finding, Subject, Verdict};
use crate::fact::answered::Answered;
use crate::fact::facts::node_credential::{NodeCredential, NodeDeed};
use crate::fact::facts::server_version::ServerVersion;
use crate::seen::Unobserved;
use crate::version::Version;

crate::check!("AA-27", "node-credential", Critical, judge);

/// What a node can do: refusals count only beside it.
const ALLOWED: [(NodeDeed, &str, &str); 4] = [
    (NodeDeed::ListServices, "list Services", "kubelets do not know of Services: pods lack their variables"),
    (NodeDeed::ReviewToken, "have a token reviewed", "kubelets cannot authenticate whoever asks them"),
    (NodeDeed::RegisterItself, "register its Node", "new nodes do not come up"),
    (
        NodeDeed::RequestOwnCertificate,
        "ask for a certificate of its own name",
        "kubelets cannot renew their certificates",
    ),
];

/// What it cannot, who refuses it, and what follows if nobody does.
const REFUSED: [(NodeDeed, &str, By, &str); 8] = [
    (NodeDeed::GetSecret, "get a Secret that no pod of its own refers to", By::Authorizer, "reads every Secret"),
    (NodeDeed::ListSecrets, "list the Secrets of the cluster", By::Authorizer, "reads every Secret"),
    (NodeDeed::ListPods, "list the pods of other nodes", By::Selectors, "sees the pods of all nodes"),
    (NodeDeed::ListNodes, "list the other nodes", By::Selectors, "sees all nodes"),
    (NodeDeed::PatchNode, "annotate another Node", By::Admission, "changes other nodes"),
    (NodeDeed::RegisterAnother, "register a Node of another name", By::Admission, "registers nodes of any name"),
    (
        NodeDeed::RegisterAsControlPlane,
        "register itself as control plane",
        By::Admission,
        "draws the workload of the control plane to itself",
    ),
    (
        NodeDeed::RequestOtherCertificate,
        "ask for the certificate of another node",
        By::Requests,
        "becomes any other node where requests are approved",
    ),
];

/// Who refuses it, and since when.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// The Node authorizer.
    Authorizer,
    /// The Node authorizer, since it looks at selectors.
    Selectors,
    /// NodeRestriction.
    Admission,
    /// NodeRestriction, since it looks at requests for certificates.
    Requests,
}

impl By {
    const fn name(self) -> &'static str {
        match self {
            Self::Authorizer | Self::Selectors => "the Node authorizer",
            Self::Admission | Self::Requests => "NodeRestriction",
        }
    }

    const fn since(self) -> Version {
        match self {
            Self::Authorizer | Self::Admission => Version::minor(0),
            Self::Selectors => Version::minor(32),
            Self::Requests => Version::minor(31),
        }
    }
}

fn judge(credential: &NodeCredential, server: &ServerVersion) -> Verdict {
    let mut verdict = Verdict::new();
    let subject = || Subject::user(format!("system:node:{}", credential.node));
    let Some(identity) = verdict.seen(subject, &credential.identity) else { return verdict };
    let expected = format!("system:node:{}", credential.node);
    let is_node =
        identity.user.as_ref() == Some(&expected) && identity.groups.iter().any(|group| group == "system:nodes");
    if !verdict.expect(subject(), is_node, || {
        Finding::new(format!("known as {expected}, in the group system:nodes"), identity.words()).so(
            "the API server does not know nodes by the certificates that the controller-manager signs: no new node works",
        )
    }) {
        return verdict;
    }
    for (deed, what, consequence) in ALLOWED {
        let Some(answer) = answer(&mut verdict, credential, deed, what) else { continue };
        match answer.status {
            200..=299 | 409 => verdict.confirm(),
            401 | 403 => verdict.find(
                subject(),
                Finding::new(format!("may {what}"), format!("HTTP {}: {}", answer.status, answer.message))
                    .so(consequence),
            ),
            _ => verdict.unseen(subject(), &inconclusive(what, answer)),
        }
    }
    for by in [By::Authorizer, By::Selectors, By::Admission, By::Requests] {
        if server.version < by.since() {
            verdict.note(format!("{} looks at {} since {}", by.name(), subjects(by), by.since()));
            continue;
        }
        let (mut done, mut so) = (Vec::new(), Vec::new());
        for (deed, what, _, consequence) in REFUSED.into_iter().filter(|(_, _, refuses, _)| *refuses == by) {
            let Some(answer) = answer(&mut verdict, credential, deed, what) else { continue };
            match answer.status {
                403 => verdict.confirm(),
                200..=299 | 404 | 409 | 422 => {
                    done.push(format!("{what} (HTTP {})", answer.status));
                    so.push(consequence);
                }
                _ => verdict.unseen(subject(), &inconclusive(what, answer)),
            }
        }
        so.dedup();
        if !done.is_empty() {
            let finding = Finding::new(
                format!("{} refuses what a node has no business with", by.name()),
                format!("the certificate of a node was enough to {}", done.join(", and to ")),
            );
            verdict.find(subject(), finding.so(format!("whoever takes over one node {}", so.join(", and "))));
        }
    }
    verdict
}

const fn subjects(by: By) -> &'static str {
    match by {
        By::Authorizer => "what nodes read",
        By::Selectors => "the selectors of lists",
        By::Admission => "what nodes write",
        By::Requests => "requests for certificates",
    }
}

fn answer<'a>(
    verdict: &mut Verdict,
    credential: &'a NodeCredential,
    deed: NodeDeed,
    what: &str,
) -> Option<&'a Answered> {
    let subject = || Subject::user(format!("system:node:{}", credential.node));
    let Some(seen) = credential.answers.get(&deed) else {
        verdict.unseen(subject(), &Unobserved::absent(format!("it was not tried: {what}")));
        return None;
    };
    verdict.seen(subject, seen)
}

fn inconclusive(what: &str, answer: &Answered) -> Unobserved {
    Unobserved::invalid(format!("the attempt to {what}"), format!("HTTP {}: {}", answer.status, answer.message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::join::WhoAmI;

    fn credential(different: &[(NodeDeed, u16)]) -> NodeCredential {
        let allowed = ALLOWED.into_iter().map(|(deed, ..)| (deed, 201));
        let refused = REFUSED.into_iter().map(|(deed, ..)| (deed, 403));
        let answered = |(deed, status)| (deed, Ok(Answered { status, message: "as told".into() }));
        let identity = WhoAmI {
            status: 201,
            user: Some("system:node:seaworthy-x7f4k".into()),
            groups: vec!["system:nodes".into(), "system:authenticated".into()],
            ..WhoAmI::default()
        };
        NodeCredential {
            node: "seaworthy-x7f4k".into(),
            identity: Ok(identity),
            answers: allowed.chain(refused).chain(different.iter().copied()).map(answered).collect(),
        }
    }

    fn judged(credential: &NodeCredential, version: &str) -> Verdict {
        judge(credential, &ServerVersion { git: version.into(), version: version.parse().unwrap() })
    }

    #[test]
    fn a_node_that_can_what_it_must_passes() {
        let verdict = judged(&credential(&[]), "v1.37.2");
        assert!(verdict.findings(Severity::Critical).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 13);
    }

    #[test]
    fn what_one_guard_lets_through_is_one_finding() {
        let credential = credential(&[(NodeDeed::RegisterAnother, 201), (NodeDeed::RegisterAsControlPlane, 201)]);
        let findings = judged(&credential, "v1.37.2").findings(Severity::Critical);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].expected.starts_with("NodeRestriction"));
        assert!(findings[0].seen.contains("register a Node of another name (HTTP 201), and to register itself"));
    }

    #[test]
    fn a_secret_that_is_not_there_was_looked_for() {
        let findings = judged(&credential(&[(NodeDeed::GetSecret, 404)]), "v1.37.2").findings(Severity::Critical);
        assert!(findings[0].seen.contains("get a Secret"));
    }

    #[test]
    fn an_old_authorizer_does_not_look_at_selectors() {
        let credential = credential(&[(NodeDeed::ListPods, 200), (NodeDeed::ListNodes, 200)]);
        let old = judged(&credential, "v1.31.4");
        assert!(old.findings(Severity::Critical).is_empty() && crate::check::testing::notes(&old).len() == 1);
        assert_eq!(judged(&credential, "v1.34.0").findings(Severity::Critical).len(), 1);
    }

    #[test]
    fn a_certificate_that_is_not_accepted_ends_it() {
        let identity = Ok(WhoAmI { status: 401, message: "Unauthorized".into(), ..WhoAmI::default() });
        let verdict = judged(&NodeCredential { identity, ..credential(&[]) }, "v1.37.2");
        let findings = verdict.findings(Severity::Critical);
        assert_eq!(findings[0].seen, "HTTP 401: Unauthorized");
        assert_eq!(verdict.observations(), 1);
    }

    #[test]
    fn a_dead_webhook_decides_nothing() {
        let verdict = judged(&credential(&[(NodeDeed::RegisterAnother, 500)]), "v1.37.2");
        assert!(verdict.findings(Severity::Critical).is_empty());
        assert_eq!(verdict.gaps().len(), 1);
    }
}
