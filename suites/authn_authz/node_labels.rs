//! # A node cannot set its own role, isolation labels, taints or owner
//!
//! ## Why
//! Node labels and taints keep workloads apart. A node that may set them attracts workloads that were meant for others:
//! those of the control plane, of another tenant, or the ones with Secrets.
//!
//! ## Fix
//! Add NodeRestriction to `--enable-admission-plugins` of the API server, on every control-plane node (kubeadm sets it
//! in `/etc/kubernetes/manifests/kube-apiserver.yaml`). Then check which labels the nodes have: `kubectl get nodes
//! --show-labels`.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/admission/noderestriction/admission.go` (`getForbiddenLabels`) and
//! `staging/src/k8s.io/kubelet/pkg/apis/well_known_labels.go`. Tried in the node's name with `dryRun=All`. The control
//! is a label under `kubelet.kubernetes.io` and one outside of Kubernetes, both of which a node may set.

use super::helpers::node_writes::{Guarded, NODE_RESTRICTION, Refused, Tried};
use crate::check::{Severity, Verdict};
use crate::fact::facts::node_restriction::{NodeRestriction, Write};

crate::check!(
    "AA-12",
    "node-labels",
    Critical,
    judge,
    builds_on: ["AA-03", "AA-04", "AA-18"],
    blocked_by: ["CP-11"]
);

const LABELS: &str = "is not allowed to modify labels";
pub(super) const GUARDED: Guarded<Write> = Guarded {
    refused: &[
        Refused(Write::IsolationLabel, "set a label under node-restriction.kubernetes.io", LABELS),
        Refused(Write::RoleLabel, "set the label node-role.kubernetes.io/control-plane", LABELS),
        Refused(Write::UnknownLabel, "set an unknown label under k8s.io", LABELS),
        Refused(Write::Taint, "add a taint", "is not allowed to modify taints"),
        Refused(Write::NodeOwner, "add an owner reference", "is not allowed to modify ownerReferences"),
    ],
    impact: "an attacker on one node attracts any workload to it",
    fix: NODE_RESTRICTION,
    severity: Severity::Critical,
};

pub(super) fn judge(fact: &NodeRestriction) -> Verdict {
    let mut verdict = Verdict::new();
    let tried = Tried { node: &fact.node, answers: &fact.writes };
    tried.are_refused(&mut verdict, &GUARDED);
    tried.expect_allowed(&mut verdict, &Write::OwnLabels, "set labels that a node may set");
    verdict
}
