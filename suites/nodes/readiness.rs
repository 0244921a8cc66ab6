//! # Every node is Ready, without pressure, and its kubelet heartbeats are current
//!
//! ## Why
//! A node that is not Ready gets no new pods and loses its own after five minutes; one under pressure evicts pods. A kubelet
//! that does not renew its lease will soon be marked as not Ready.
//!
//! ## Fix
//! `kubectl describe node NODE` shows which condition is wrong and since when. If it is Unknown, the kubelet sends nothing:
//! first check that the machine is on. On the node: `systemctl status kubelet`, `journalctl -u kubelet -e`, `df -h
//! /var/lib/kubelet /var/lib/containerd`, `crictl info`. Put a cordoned node back to work with `kubectl uncordon NODE`.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/kubelet/apis/config/v1beta1/defaults.go` (lease 40 s, renewed every 10 s),
//! `pkg/controller/nodelifecycle`; <https://kubernetes.io/docs/reference/node/node-status/>

use std::collections::BTreeMap;

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::departures::Departures;
use crate::fact::facts::node_leases::{NodeLease, NodeLeases};
use crate::fact::facts::nodes::{Node, Nodes};
use crate::seen::Unobserved;
use crate::suites::node_changes::comes_or_goes;

crate::check!("KL-01", "node-readiness", Critical, judge, builds_on: ["CN-01", "HA-07"]);

const UNPRESSED: &str = "no resource pressure";
const PRESSURES: [&str; 3] = ["MemoryPressure", "DiskPressure", "PIDPressure"];
/// The taint of a node that its cloud provider has not initialized yet.
const UNINITIALIZED: &str = "node.cloudprovider.kubernetes.io/uninitialized";
/// The lease duration where a lease does not state one.
const USUAL_DURATION: i32 = 40;

fn judge(nodes: &Nodes, leases: &NodeLeases, clock: &Clock, departures: Result<&Departures, &Unobserved>) -> Verdict {
    let mut verdict = Verdict::new();
    match departures {
        Ok(departures) => {
            for node in &departures.nodes {
                verdict.note_about(Subject::node(node), "it was deleted during the run");
            }
        }
        // A recording that was made before runs looked for them.
        Err(Unobserved::NotRecorded { .. }) => {}
        Err(why) => verdict.note(format!("whether nodes were deleted during the run is not known: {why}")),
    }
    let mut causes: BTreeMap<Fault, Vec<&str>> = BTreeMap::new();
    for (name, node) in &nodes.0 {
        let faults = faults(node, leases.0.get(name), clock);
        // The heartbeats of a node that only joins have not stopped.
        let is_lost = node.is_silent() && node.deleting.is_none();
        if faults.is_empty() {
            verdict.confirm();
        } else if let Some(why) = comes_or_goes(node, clock.server).filter(|_| !is_lost) {
            if node.deleting.is_some() {
                verdict.note_about(Subject::node(name), format!("{why}: {}", faults[0].1));
                continue;
            }
            let cause = format!("{why}, and is not ready yet: {}", faults[0].1);
            verdict.unseen(Subject::node(name), &Unobserved::invalid(format!("Node {name}"), cause));
            continue;
        }
        for fault in faults {
            causes.entry(fault).or_default().push(name);
        }
    }
    // Many nodes usually share one cause.
    for ((expected, seen, look), sharing) in causes {
        let mut finding = Finding::new(expected, seen).impact(IMPACT).fix(look.words(&sharing));
        if expected == UNPRESSED {
            // The node still runs what it ran, and refuses new pods.
            finding = finding.explains_only(&["KL-16"]);
        }
        verdict.find_together(sharing.iter().map(|node| Subject::node(*node)), sharing.len(), finding);
    }
    let cordoned: Vec<&str> =
        nodes.0.iter().filter(|(_, node)| node.unschedulable).map(|(name, _)| name.as_str()).collect();
    if !cordoned.is_empty() {
        let finding = Finding::new("the node accepts new pods", "the node is cordoned")
            .impact("the cluster has less capacity while it is cordoned")
            .fix(format!("after the maintenance: kubectl uncordon {}", cordoned.join(" ")))
            .info();
        verdict.find_together(cordoned.iter().map(|node| Subject::node(*node)), cordoned.len(), finding);
    }
    verdict
}

/// What was expected of a node, what was seen, and where to look.
type Fault = (&'static str, String, Look);

/// The consequence of every fault of a node.
const IMPACT: &str = "pods on the node fail or are evicted, and it gets no new ones";

/// Where to look for a fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    /// At the machine, whose kubelet sends nothing.
    Machine,
    /// At the kubelet, which reports what is wrong.
    Kubelet,
    /// At the cloud provider's controller.
    Cloud,
}

impl Look {
    fn words(self, nodes: &[&str]) -> String {
        let node = one_of(nodes);
        match self {
            Self::Machine => format!(
                "check that {} is powered on and reachable; then on it: systemctl status kubelet; journalctl -u kubelet -e",
                if nodes.len() == 1 { node } else { "each of them" }
            ),
            Self::Kubelet => format!(
                "find the cause: kubectl describe node {node}; on it: journalctl -u kubelet -e; df -h /var/lib/kubelet /var/lib/containerd; \
                 crictl info"
            ),
            Self::Cloud => {
                format!(
                    "read the log of the cloud-controller-manager, which removes the taint: kubectl describe node {node}"
                )
            }
        }
    }
}

/// The only node's name, or a placeholder for each.
fn one_of<'a>(nodes: &[&'a str]) -> &'a str {
    match nodes {
        [only] => only,
        _ => "NODE",
    }
}

/// What is wrong with a node.
fn faults(node: &Node, lease: Option<&NodeLease>, clock: &Clock) -> Vec<Fault> {
    let mut faults = Vec::new();
    match node.conditions.get("Ready") {
        // If the node is not Ready, the missing heartbeat is not a second fault.
        Some(ready) if ready.status == "True" => faults.extend(silence(lease, clock)),
        Some(ready) => {
            let look = if node.is_silent() { Look::Machine } else { Look::Kubelet };
            let seen = format!("Ready={} ({}: {})", ready.status, ready.reason, ready.message);
            faults.push(("Ready=True", seen, look));
        }
        None => {
            faults.push(("Ready=True", "the kubelet never reported the condition Ready".to_owned(), Look::Machine));
        }
    }
    for pressure in PRESSURES {
        if let Some(condition) = node.conditions.get(pressure)
            && condition.status == "True"
        {
            let seen = format!("{pressure}=True ({}: {})", condition.reason, condition.message);
            faults.push((UNPRESSED, seen, Look::Kubelet));
        }
    }
    if node.taints.iter().any(|taint| taint.key == UNINITIALIZED) {
        faults.push(("the cloud provider has initialized the node", format!("taint {UNINITIALIZED}"), Look::Cloud));
    }
    faults
}

fn silence(lease: Option<&NodeLease>, clock: &Clock) -> Option<Fault> {
    const EXPECTED: &str = "the kubelet renews its lease in kube-node-lease";
    let fault = |seen: String| (EXPECTED, seen, Look::Machine);
    let Some(lease) = lease else { return Some(fault("the lease does not exist".into())) };
    let Some(renewed) = lease.renewed else { return Some(fault("the lease was never renewed".into())) };
    let age = clock.server.as_second() - renewed.as_second();
    let limit = lease.duration_seconds.unwrap_or(USUAL_DURATION);
    (age >= i64::from(limit))
        .then(|| fault(format!("last renewed {age} s ago, at {renewed}; the lease lasts {limit} s")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::nodes::{Condition, Taint};

    fn condition(status: &str, reason: &str) -> Condition {
        Condition { status: status.into(), reason: reason.into(), message: format!("message of {reason}") }
    }

    fn node() -> Node {
        let conditions =
            [("Ready", condition("True", "KubeletReady")), ("DiskPressure", condition("False", "NoPressure"))];
        Node { conditions: conditions.map(|(kind, condition)| (kind.into(), condition)).into(), ..Node::default() }
    }

    fn clock() -> Clock {
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        Clock { server: now, here: now }
    }

    fn judged(nodes: impl IntoIterator<Item = (&'static str, Node)>, renewed: &str) -> Verdict {
        let nodes = Nodes(nodes.into_iter().map(|(name, node)| (name.to_owned(), node)).collect());
        let lease = NodeLease { renewed: Some(renewed.parse().unwrap()), duration_seconds: Some(40) };
        let leases = NodeLeases(nodes.0.keys().map(|name| (name.clone(), lease.clone())).collect());
        judge(&nodes, &leases, &clock(), Ok(&Departures::default()))
    }

    #[test]
    fn what_is_deleted_is_not_missed_and_what_has_only_come_is_not_decided() {
        let mut gone = node();
        gone.conditions.insert("Ready".into(), condition("Unknown", "NodeStatusUnknown"));
        let lost = Node { created: Some("2026-11-22T11:59:20Z".parse().unwrap()), ..gone.clone() };
        let mut young = lost.clone();
        young.conditions.insert("Ready".into(), condition("False", "KubeletNotReady"));
        gone.deleting = Some("2026-11-22T11:58:00Z".parse().unwrap());
        let verdict = judged([("n1", node()), ("n2", gone), ("n3", young)], FRESH);
        assert_eq!((verdict.observations(), verdict.findings(Severity::Critical)), (1, vec![]));
        assert_eq!((crate::check::testing::notes(&verdict).len(), verdict.gaps().len()), (1, 1));
        assert_eq!(judged([("n3", lost)], FRESH).findings(Severity::Critical).len(), 1, "its heartbeats have stopped");
    }

    const FRESH: &str = "2026-11-22T11:59:55Z";

    #[test]
    fn ready_nodes_with_fresh_leases_pass() {
        let verdict = judged([("n1", node()), ("n2", node())], FRESH);
        assert_eq!((verdict.observations(), verdict.findings(Severity::Critical)), (2, vec![]));
    }

    #[test]
    fn nodes_lost_for_one_reason_are_one_finding() {
        let mut lost = node();
        lost.conditions.insert("Ready".into(), condition("Unknown", "NodeStatusUnknown"));
        let verdict = judged([("n1", node()), ("n2", lost.clone()), ("n3", lost)], FRESH);
        let findings = verdict.findings(Severity::Critical);
        assert_eq!(findings.len(), 1);
        assert_eq!(crate::check::subject::listed(&findings[0].subjects), "Node n2, n3");
        assert_eq!(findings[0].seen, "Ready=Unknown (NodeStatusUnknown: message of NodeStatusUnknown)");
        assert!(findings[0].fix.starts_with("check that each of them is powered on"));
    }

    #[test]
    fn a_stale_lease_is_found_on_a_node_that_still_reads_as_ready() {
        let findings = judged([("n3", node())], "2026-11-22T11:59:20Z").findings(Severity::Critical);
        assert_eq!(findings[0].subjects[0], Subject::node("n3"));
        assert_eq!(findings[0].seen, "last renewed 40 s ago, at 2026-11-22T11:59:20Z; the lease lasts 40 s");
        let verdict =
            judge(&Nodes([("n3".into(), node())].into()), &NodeLeases::default(), &clock(), Ok(&Departures::default()));
        assert_eq!(verdict.findings(Severity::Critical)[0].seen, "the lease does not exist");
    }

    #[test]
    fn pressure_and_an_absent_cloud_provider_are_found() {
        let mut sick = node();
        sick.conditions.insert("DiskPressure".into(), condition("True", "KubeletHasDiskPressure"));
        sick.taints.push(Taint { key: UNINITIALIZED.into(), value: None, effect: "NoSchedule".into() });
        let findings = judged([("n1", sick)], FRESH).findings(Severity::Critical);
        let seen: Vec<&str> = findings.iter().map(|finding| finding.seen.as_str()).collect();
        assert_eq!(findings.len(), 2);
        assert!(seen.iter().any(|seen| seen.starts_with("DiskPressure=True (KubeletHasDiskPressure")), "{seen:?}");
        assert!(seen.iter().any(|seen| seen.contains("uninitialized")), "{seen:?}");
    }

    #[test]
    fn a_cordoned_node_is_informational() {
        let findings = judged([("n1", Node { unschedulable: true, ..node() })], FRESH).findings(Severity::Critical);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].severity, Severity::Info);
    }
}
