//! # A node changes no Node but its own
//!
//! ## Why
//! The authorizer leaves this to the admission plugin NodeRestriction: without it, whoever takes over one kubelet can
//! change the labels, taints and state of every node, and so draw any workload to itself.
//!
//! ## Fix
//! Put NodeRestriction back into `--enable-admission-plugins` of the API server, on every control-plane node (kubeadm sets
//! it in `/etc/kubernetes/manifests/kube-apiserver.yaml`).
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/admission/noderestriction/admission.go` (`admitNode`);
//! <https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction>. Tried in the node's name
//! with `dryRun=All`. In a cluster of one node only the creation of another Node is tried.

use super::node_writes::{Refused, Tried, are_refused, control};
use crate::check::{Severity, Verdict};
use crate::fact::facts::node_restriction::{NodeRestriction, Write};

crate::check!("AA-11", "foreign-node", Critical, judge);

const REFUSED: [Refused<Write>; 2] = [
    Refused(Write::OtherNode, "annotate another Node", "is not allowed to modify node"),
    Refused(Write::NewNode, "create a Node of another name", "is not allowed to modify node"),
];

fn judge(fact: &NodeRestriction) -> Verdict {
    let mut verdict = Verdict::new();
    let tried = Tried { node: &fact.node, answers: &fact.writes };
    let consequence = "NodeRestriction is off: whoever takes over one node can change all of them";
    are_refused(&mut verdict, tried, &REFUSED, consequence, Severity::Critical);
    control(&mut verdict, tried, (Write::OwnNode, "annotate its own Node"));
    if !fact.writes.contains_key(&Write::OtherNode) {
        verdict.note("there is no other node: only the creation of one was tried");
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::super::node_writes::testing::writes;
    use super::*;

    const REFUSAL: &str = "nodes \"n1\" is forbidden: node \"n2\" is not allowed to modify node \"n1\"";
    const OWN: (Write, u16, &str) = (Write::OwnNode, 200, "");

    #[test]
    fn other_nodes_are_out_of_reach() {
        let verdict = judge(&writes(&[OWN, (Write::OtherNode, 403, REFUSAL), (Write::NewNode, 403, REFUSAL)]));
        assert!(verdict.findings(Severity::Critical).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 3);
    }

    #[test]
    fn what_was_accepted_is_one_finding() {
        let findings =
            judge(&writes(&[OWN, (Write::OtherNode, 200, ""), (Write::NewNode, 201, "")])).findings(Severity::Critical);
        assert_eq!(findings.len(), 1);
        assert_eq!(
            findings[0].seen,
            "let through from the credential of n2: annotate another Node (HTTP 200); create a Node of another name (HTTP 201)"
        );
    }

    #[test]
    fn a_dead_webhook_is_not_node_restriction() {
        let dead = "failed calling webhook \"nodes.policy.example.com\"";
        let verdict = judge(&writes(&[(Write::OwnNode, 500, dead), (Write::OtherNode, 403, REFUSAL)]));
        assert!(verdict.findings(Severity::Critical).is_empty());
        assert!(verdict.gaps()[0].why.to_string().contains("nodes.policy.example.com"));
    }

    #[test]
    fn a_refusal_by_something_else_is_told() {
        let verdict =
            judge(&writes(&[OWN, (Write::OtherNode, 403, "denied by policy"), (Write::NewNode, 403, REFUSAL)]));
        let findings = verdict.findings(Severity::Critical);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Info));
    }
}
