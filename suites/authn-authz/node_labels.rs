//! # A node does not choose its own role, isolation labels, taints or owner
//!
//! ## Why
//! Workloads are kept apart by node labels and taints. A node that may set them itself draws to it what was meant for
//! others: those of the control plane, of another tenant, or the ones with Secrets.
//!
//! ## Fix
//! Put NodeRestriction back into `--enable-admission-plugins` of the API server, on every control-plane node (kubeadm sets
//! it in `/etc/kubernetes/manifests/kube-apiserver.yaml`). Then look at what nodes carry: `kubectl get nodes --show-labels`.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/admission/noderestriction/admission.go` (`getForbiddenLabels`) and
//! `staging/src/k8s.io/kubelet/pkg/apis/well_known_labels.go`. Tried in the node's name with `dryRun=All`. The control is a
//! label under `kubelet.kubernetes.io` and one outside of Kubernetes, both of which a node may set.

use super::node_writes::{Refused, Tried, are_refused, control};
use crate::check::{Severity, Verdict};
use crate::fact::facts::node_restriction::{NodeRestriction, Write};

crate::check!("AA-12", "node-labels", Critical, judge);

const LABELS: &str = "is not allowed to modify labels";
const REFUSED: [Refused<Write>; 5] = [
    Refused(Write::IsolationLabel, "set a label under node-restriction.kubernetes.io", LABELS),
    Refused(Write::RoleLabel, "set the label node-role.kubernetes.io/control-plane", LABELS),
    Refused(Write::UnknownLabel, "set an unknown label under k8s.io", LABELS),
    Refused(Write::Taint, "add a taint", "is not allowed to modify taints"),
    Refused(Write::NodeOwner, "add an owner reference", "is not allowed to modify ownerReferences"),
];

fn judge(fact: &NodeRestriction) -> Verdict {
    let mut verdict = Verdict::new();
    let tried = Tried { node: &fact.node, answers: &fact.writes };
    let consequence = "NodeRestriction is off: whoever takes over one node draws any workload to it";
    are_refused(&mut verdict, tried, &REFUSED, consequence, Severity::Critical);
    control(&mut verdict, tried, (Write::OwnLabels, "set labels that a node may set"));
    verdict
}

#[cfg(test)]
mod tests {
    use super::super::node_writes::testing::writes;
    use super::*;

    const OWN: (Write, u16, &str) = (Write::OwnLabels, 200, "");

    fn refused() -> Vec<(Write, u16, &'static str)> {
        REFUSED.iter().map(|Refused(write, _, words)| (*write, 403, *words)).chain([OWN]).collect()
    }

    #[test]
    fn a_node_sets_only_what_it_may() {
        let verdict = judge(&writes(&refused()));
        assert!(verdict.findings(Severity::Critical).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 6);
    }

    #[test]
    fn a_node_that_gives_itself_a_role_is_found() {
        let mut answers = refused();
        answers[1] = (Write::RoleLabel, 200, "");
        let findings = judge(&writes(&answers)).findings(Severity::Critical);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].seen.contains("node-role.kubernetes.io/control-plane (HTTP 200)"), "{findings:?}");
    }

    #[test]
    fn refusals_without_a_control_are_undecided() {
        let mut answers = refused();
        answers[5] = (Write::OwnLabels, 403, "read only");
        assert!(judge(&writes(&answers)).gaps()[0].why.to_string().contains("read only"));
    }
}
