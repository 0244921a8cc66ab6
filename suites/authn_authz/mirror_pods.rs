//! # A node creates only mirror pods of its own static pods, and evicts only its own pods
//!
//! ## Why
//! A node that may create ordinary pods can run one with a powerful service account, or one that mounts any Secret of
//! the namespace. One that evicts other nodes' pods takes workloads down.
//!
//! ## Fix
//! Add NodeRestriction to `--enable-admission-plugins` of the API server, on every control-plane node (kubeadm sets it
//! in `/etc/kubernetes/manifests/kube-apiserver.yaml`).
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/admission/noderestriction/admission.go` (`admitPodCreate`, `admitPodEviction`).
//! Tried in the node's name with `dryRun=All`; evictions also ask for a uid that no pod has, so that nothing can be
//! evicted. References to Secrets and service accounts are not tried, since the plugin ServiceAccount refuses them in
//! mirror pods first; nor are deletions, whose uid is compared before admission.

use super::helpers::node_writes::{Guarded, NODE_RESTRICTION, Refused, Tried};
use crate::check::{Severity, Verdict};
use crate::fact::facts::node_restriction::{NodeRestriction, Write};

crate::check!(
    "AA-13",
    "mirror-pods",
    Critical,
    judge,
    builds_on: ["AA-03", "AA-04", "AA-18"],
    blocked_by: ["CP-11", "CP-15"]
);

pub(super) const PODS: Guarded<Write> = Guarded {
    refused: &[
        Refused(Write::OrdinaryPod, "create an ordinary pod", "can only create mirror pods"),
        Refused(
            Write::MirrorPodElsewhere,
            "create a mirror pod on another node",
            "can only create pods with spec.nodeName set to itself",
        ),
        Refused(
            Write::MirrorPodWithoutOwner,
            "create a mirror pod that its Node does not own",
            "can only create pods with an owner reference set to itself",
        ),
        Refused(
            Write::MirrorPodWithConfigMap,
            "create a mirror pod that refers to a ConfigMap",
            "can not create pods that reference",
        ),
    ],
    impact: "an attacker on one node runs pods with any service account",
    fix: NODE_RESTRICTION,
    severity: Severity::Critical,
};
pub(super) const EVICTIONS: Guarded<Write> = Guarded {
    refused: &[Refused(
        Write::EvictForeignPod,
        "evict a pod of another node",
        "can only evict pods with spec.nodeName set to itself",
    )],
    impact: "an attacker on one node evicts the pods of all nodes",
    fix: NODE_RESTRICTION,
    severity: Severity::Critical,
};

pub(super) fn judge(fact: &NodeRestriction) -> Verdict {
    let mut verdict = Verdict::new();
    let tried = Tried { node: &fact.node, answers: &fact.writes };
    tried.are_refused(&mut verdict, &PODS);
    tried.expect_allowed(&mut verdict, &Write::MirrorPod, "create a mirror pod of its own");
    if fact.writes.contains_key(&Write::EvictForeignPod) {
        tried.are_refused(&mut verdict, &EVICTIONS);
        tried.expect_allowed(&mut verdict, &Write::EvictOwnPod, "evict a pod of its own");
    } else {
        verdict.note("no other node runs a pod: evictions were not tried");
    }
    verdict
}
