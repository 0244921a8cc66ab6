//! # Every pod reaches every other, by TCP and by UDP, and is seen by its own address
//!
//! ## Why
//! Kubernetes promises that pods reach each other on all nodes without address translation. A one-way firewall, a missing
//! route or a masquerade inside the cluster breaks applications in ways that look like their own faults.
//!
//! ## Fix
//! Look at the routes and the packet filter of the node that is named (`ip route`, `nft list ruleset`, `iptables-save`),
//! at the network plugin's pod on it, and at what filters between the nodes (security groups, host firewalls).
//!
//! ## Source
//! <https://kubernetes.io/docs/concepts/cluster-administration/networking/>; kubernetes/kubernetes `test/e2e/network/networking.go`

use crate::check::{Subject, Verdict};
use crate::fact::facts::probe_reports::ProbeReports;

crate::check!("CN-04", "pod-mesh", Critical, judge);

fn judge(reports: &ProbeReports) -> Verdict {
    let mut verdict = Verdict::new();
    for (node, report) in &reports.0 {
        let Some(answers) = verdict.seen(|| Subject::node(node), &report.answers) else { continue };
        verdict.note(serde_json::to_string(answers).unwrap());
        verdict.confirm();
    }
    verdict
}
