//! # A node's certificate grants what a node needs, and nothing else
//!
//! ## Why
//! What the authorizers answer about a node is not yet what happens to someone who holds a node's key. Here a
//! certificate that the cluster has issued to a new node is used: authentication, the Node authorizer and
//! NodeRestriction handle its requests one after the other, as they would for an attacker who has stolen it.
//!
//! ## Fix
//! The API server needs `--authorization-mode=Node,RBAC` and `--enable-admission-plugins=NodeRestriction`, as kubeadm
//! sets them, on every control-plane node. No role may be bound to the group `system:nodes`:
//! `kubectl get clusterrolebindings,rolebindings -A -o wide | grep system:nodes` shows the bindings.
//! A certificate that is not accepted was signed by another CA than the API server's `--client-ca-file`.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/node/node_authorizer.go`,
//! `plugin/pkg/admission/noderestriction/admission.go`, `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go`
//! (`NodeRules`). Until 1.31 nodes may list other nodes and their pods (`AuthorizeNodeWithSelectors`). The certificate
//! lives ten minutes and belongs to a node that does not exist; only metadata of objects is requested, and writes are
//! dry runs.

use super::helpers::node_rights::{NODE_AND_RBAC, NODE_WITH_SELECTORS};
use super::helpers::node_writes::NODE_RESTRICTION;
use crate::check::{Finding, Subject, Verdict};
use crate::fact::answered::Answered;
use crate::fact::facts::node_credential::{NodeCredential, NodeDeed};
use crate::fact::facts::server_version::ServerVersion;
use crate::seen::Unobserved;
use crate::version::Version;

crate::check!(
    "AA-27",
    "node-credential",
    Critical,
    judge,
    builds_on: ["AA-03", "AA-04", "DI-10", "PK-12"]
);

/// What a node must be able to do: without it, refusals prove nothing.
const ALLOWED: [(NodeDeed, &str, &str); 4] = [
    (NodeDeed::ListServices, "list Services", "kubelets do not see Services, so pods lack their variables"),
    (NodeDeed::ReviewToken, "have a token reviewed", "kubelets cannot authenticate their clients"),
    (NodeDeed::RegisterItself, "register its Node", "new nodes do not come up"),
    (
        NodeDeed::RequestOwnCertificate,
        "request a certificate in its own name",
        "kubelets cannot renew their certificates",
    ),
];

/// What it must not be able to do, and what refuses it.
const REFUSED: [(NodeDeed, &str, By); 8] = [
    (NodeDeed::GetSecret, "get a Secret that no pod of its own refers to", By::Authorizer),
    (NodeDeed::ListSecrets, "list the Secrets of the cluster", By::Authorizer),
    (NodeDeed::ListPods, "list the pods of other nodes", By::Selectors),
    (NodeDeed::ListNodes, "list the other nodes", By::Selectors),
    (NodeDeed::PatchNode, "annotate another Node", By::Admission),
    (NodeDeed::RegisterAnother, "register a Node with another name", By::Admission),
    (NodeDeed::RegisterAsControlPlane, "register itself as a control-plane node", By::Admission),
    (NodeDeed::RequestOtherCertificate, "request the certificate of another node", By::Requests),
];

/// What refuses it, and since when.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// The Node authorizer.
    Authorizer,
    /// The Node authorizer, since it compares selectors.
    Selectors,
    /// NodeRestriction.
    Admission,
    /// NodeRestriction, since it compares requests for certificates.
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

    const fn subjects(self) -> &'static str {
        match self {
            Self::Authorizer => "what nodes read",
            Self::Selectors => "the selectors of lists",
            Self::Admission => "what nodes write",
            Self::Requests => "requests for certificates",
        }
    }

    const fn impact(self) -> &'static str {
        match self {
            Self::Authorizer => "an attacker on one node reads every Secret",
            Self::Selectors => "an attacker on one node sees all nodes and pods",
            Self::Admission => "an attacker on one node changes other nodes, or registers nodes that attract workloads",
            Self::Requests => "an attacker on one node becomes any other node if the request is approved",
        }
    }

    fn fix(self) -> String {
        match self {
            Self::Authorizer | Self::Selectors => {
                let setting = if self == Self::Authorizer { NODE_AND_RBAC } else { NODE_WITH_SELECTORS };
                format!(
                    "remove system:nodes from any binding that grants it (kubectl get clusterrolebindings,rolebindings \
                     -A -o wide | grep system:nodes); if {setting}"
                )
            }
            Self::Admission => NODE_RESTRICTION.to_owned(),
            Self::Requests => format!(
                "{NODE_RESTRICTION}, and remove AllowInsecureKubeletCertificateSigningRequests=true from \
                 --feature-gates"
            ),
        }
    }
}

fn judge(credential: &NodeCredential, server: &ServerVersion) -> Verdict {
    let mut verdict = Verdict::new();
    let name = format!("system:node:{}", credential.node);
    let subject = || Subject::user(&name);
    let Some(identity) = verdict.seen(subject, &credential.identity) else { return verdict };
    let is_node = identity.user.as_ref() == Some(&name) && identity.groups.iter().any(|group| group == "system:nodes");
    if !verdict.expect(subject(), is_node, || {
        Finding::new(
            format!("the API server authenticates a new node's certificate as {name}, in the group system:nodes"),
            identity.words(),
        )
        .impact("the API server does not accept certificates that the controller-manager signs: no new node works")
        .fix(
            "on each control-plane node, set --cluster-signing-cert-file and --cluster-signing-key-file in \
             /etc/kubernetes/manifests/kube-controller-manager.yaml to a CA that is in the file of the API server's \
             --client-ca-file (kubeadm: /etc/kubernetes/pki/ca.crt and ca.key)",
        )
    }) {
        return verdict;
    }
    for (deed, what, impact) in ALLOWED {
        let Some(answer) = answer(&mut verdict, credential, deed, what) else { continue };
        match answer.status {
            200..=299 | 409 => verdict.confirm(),
            401 | 403 => verdict.find(
                subject(),
                Finding::new(
                    format!("a node may {what}"),
                    format!("refused with HTTP {}: {}", answer.status, answer.message),
                )
                .impact(impact)
                .fix(
                    "on each control-plane node, set --authorization-mode=Node,RBAC in \
                     /etc/kubernetes/manifests/kube-apiserver.yaml; if the message names a webhook, policy or plugin, \
                     exempt the group system:nodes there",
                ),
            ),
            _ => verdict.unseen(subject(), &inconclusive(what, answer)),
        }
    }
    for by in [By::Authorizer, By::Selectors, By::Admission, By::Requests] {
        if server.version < by.since() {
            verdict.note(format!("{} checks {} since {}", by.name(), by.subjects(), by.since()));
        }
    }
    for (deed, what, by) in REFUSED.into_iter().filter(|(.., by)| server.version >= by.since()) {
        let Some(answer) = answer(&mut verdict, credential, deed, what) else { continue };
        match answer.status {
            403 => verdict.confirm(),
            200..=299 | 404 | 409 | 422 => verdict.find(
                subject(),
                Finding::new(
                    format!("{} refuses requests that a node must not make", by.name()),
                    "accepted requests made with a node's certificate",
                )
                .evidence([format!("{what} (HTTP {})", answer.status)])
                .impact(by.impact())
                .fix(by.fix()),
            ),
            _ => verdict.unseen(subject(), &inconclusive(what, answer)),
        }
    }
    verdict
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
    use crate::fact::facts::node_credential::WhoAmI;

    fn credential(different: &[(NodeDeed, u16)]) -> NodeCredential {
        let allowed = ALLOWED.into_iter().map(|(deed, ..)| (deed, 201));
        let refused = REFUSED.into_iter().map(|(deed, ..)| (deed, 403));
        let answered = |(deed, status)| (deed, Ok(Answered { status, message: "as answered".into() }));
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
    fn a_node_with_the_rights_it_needs_passes() {
        let verdict = judged(&credential(&[]), "v1.37.2");
        assert!(verdict.findings(Severity::Critical).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 13);
    }

    #[test]
    fn requests_that_one_guard_lets_through_are_one_finding() {
        let credential = credential(&[(NodeDeed::RegisterAnother, 201), (NodeDeed::RegisterAsControlPlane, 201)]);
        let findings = judged(&credential, "v1.37.2").findings(Severity::Critical);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].expected.starts_with("NodeRestriction"));
        assert_eq!(
            findings[0].evidence,
            ["register a Node with another name (HTTP 201)", "register itself as a control-plane node (HTTP 201)"]
        );
    }

    #[test]
    fn a_secret_that_does_not_exist_was_looked_up() {
        let findings = judged(&credential(&[(NodeDeed::GetSecret, 404)]), "v1.37.2").findings(Severity::Critical);
        assert!(findings[0].evidence[0].contains("get a Secret"));
    }

    #[test]
    fn an_old_authorizer_does_not_compare_selectors() {
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
