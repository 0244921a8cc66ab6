//! # A node changes no Node but its own
//!
//! ## Why
//! The authorizer leaves this to the admission plugin NodeRestriction. Without it, an attacker who takes over one
//! kubelet can change the labels, taints and state of every node, and so attract any workload.
//!
//! ## Fix
//! Add NodeRestriction to `--enable-admission-plugins` of the API server, on every control-plane node (kubeadm sets it
//! in `/etc/kubernetes/manifests/kube-apiserver.yaml`).
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/admission/noderestriction/admission.go` (`admitNode`);
//! <https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction>. Tried in the
//! node's name with `dryRun=All`. In a cluster of one node, only the creation of another Node is tried.

use super::helpers::node_writes::{Guarded, NODE_RESTRICTION, Refused, Tried};
use crate::check::{Severity, Verdict};
use crate::fact::facts::node_restriction::{NodeRestriction, Write};

crate::check!(
    "AA-11",
    "foreign-node",
    Critical,
    judge,
    builds_on: ["AA-03", "AA-04", "AA-18"],
    blocked_by: ["CP-11"]
);

pub(super) const GUARDED: Guarded<Write> = Guarded {
    refused: &[
        Refused(Write::OtherNode, "annotate another Node", "is not allowed to modify node"),
        Refused(Write::NewNode, "create a Node with another name", "is not allowed to modify node"),
    ],
    impact: "an attacker on one node can change every Node",
    fix: NODE_RESTRICTION,
    severity: Severity::Critical,
};

pub(super) fn judge(fact: &NodeRestriction) -> Verdict {
    let mut verdict = Verdict::new();
    let tried = Tried { node: &fact.node, answers: &fact.writes };
    tried.are_refused(&mut verdict, &GUARDED);
    tried.expect_allowed(&mut verdict, &Write::OwnNode, "annotate its own Node");
    if !fact.writes.contains_key(&Write::OtherNode) {
        verdict.note("there is no other node: only the creation of a Node was tried");
    }
    verdict
}
