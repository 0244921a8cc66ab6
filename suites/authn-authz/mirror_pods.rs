//! # A node creates only the mirror pods of its own static pods, and evicts only its own pods
//!
//! ## Why
//! A node that may create ordinary pods runs one with a powerful service account, or one that mounts any Secret of the
//! namespace, and reads it from there. One that evicts pods of others takes workloads down.
//!
//! ## Fix
//! Put NodeRestriction back into `--enable-admission-plugins` of the API server, on every control-plane node (kubeadm sets
//! it in `/etc/kubernetes/manifests/kube-apiserver.yaml`).
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/admission/noderestriction/admission.go` (`admitPodCreate`, `admitPodEviction`). Tried in
//! the node's name with `dryRun=All`; evictions ask for a uid that no pod has besides, so that nothing could go. References to
//! Secrets and service accounts are not tried, since the plugin ServiceAccount refuses them in mirror pods first; nor are
//! deletions, for which the uid is looked at before admission.

use super::node_writes::{Refused, Tried, are_refused, control};
use crate::check::{Severity, Verdict};
use crate::fact::facts::node_restriction::{NodeRestriction, Write};

crate::check!("AA-13", "mirror-pods", Critical, judge);

const PODS: [Refused<Write>; 4] = [
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
];
const EVICTIONS: [Refused<Write>; 1] = [Refused(
    Write::EvictForeignPod,
    "evict a pod of another node",
    "can only evict pods with spec.nodeName set to itself",
)];

fn judge(fact: &NodeRestriction) -> Verdict {
    let mut verdict = Verdict::new();
    let tried = Tried { node: &fact.node, answers: &fact.writes };
    let consequence = "NodeRestriction is off: whoever takes over one node runs pods with any service account";
    are_refused(&mut verdict, tried, &PODS, consequence, Severity::Critical);
    control(&mut verdict, tried, (Write::MirrorPod, "create a mirror pod of its own"));
    if fact.writes.contains_key(&Write::EvictForeignPod) {
        let consequence = "NodeRestriction is off: whoever takes over one node evicts pods of all nodes";
        are_refused(&mut verdict, tried, &EVICTIONS, consequence, Severity::Critical);
        control(&mut verdict, tried, (Write::EvictOwnPod, "evict a pod of its own"));
    } else {
        verdict.note("no other node runs a pod: evictions were not tried");
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::super::node_writes::testing::writes;
    use super::*;

    const OWN: [(Write, u16, &str); 2] = [(Write::MirrorPod, 201, ""), (Write::EvictOwnPod, 409, "another uid")];

    fn refused() -> Vec<(Write, u16, &'static str)> {
        let refused = PODS.iter().chain(&EVICTIONS).map(|Refused(write, _, words)| (*write, 403, *words));
        refused.chain(OWN).collect()
    }

    #[test]
    fn a_node_keeps_to_its_mirror_pods() {
        let verdict = judge(&writes(&refused()));
        assert!(verdict.findings(Severity::Critical).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 7);
    }

    #[test]
    fn a_node_that_creates_and_evicts_pods_is_found() {
        let mut answers = refused();
        answers[0] = (Write::OrdinaryPod, 201, "");
        answers[4] = (Write::EvictForeignPod, 429, "disruption budget");
        let findings = judge(&writes(&answers)).findings(Severity::Critical);
        assert_eq!(findings.len(), 2);
        assert!(findings[0].seen.contains("create an ordinary pod (HTTP 201)"), "{findings:?}");
        assert!(findings[1].seen.contains("evict a pod of another node (HTTP 429)"), "{findings:?}");
    }

    #[test]
    fn a_cluster_of_one_node_is_judged_by_its_pods() {
        let answers: Vec<_> = refused().into_iter().filter(|(write, ..)| *write != Write::EvictForeignPod).collect();
        let verdict = judge(&writes(&answers));
        assert_eq!((verdict.observations(), crate::check::testing::notes(&verdict).len()), (5, 1));
    }

    #[test]
    fn refusals_without_a_control_are_undecided() {
        let mut answers = refused();
        answers[5] = (Write::MirrorPod, 403, "quota");
        assert_eq!(judge(&writes(&answers)).gaps().len(), 1);
    }
}
