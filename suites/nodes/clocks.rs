//! # The clocks of the nodes match the API server's
//!
//! ## Why
//! A node whose clock is behind rejects new certificates and tokens as not yet valid; one that is ahead rejects valid ones as
//! expired. Its leases, logs and events have wrong timestamps, and etcd members lose their leader.
//!
//! ## Fix
//! On the node that is named, run `timedatectl` and `chronyc tracking` (or `systemctl status systemd-timesyncd`). Open UDP port
//! 123 to the time servers, correct the clock at once with `chronyc makestep`, and restart the kubelet.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/controller/certificates/signer` (certificates are dated back by five minutes),
//! `pkg/serviceaccount`. Every answer of a kubelet, even a refusal, carries its own clock in whole seconds, so
//! differences below three seconds are not visible. A node that is not reachable from here is judged by its lease, which its
//! kubelet dates: a renewal in the future means a clock that is ahead.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::kubelet_clocks::{Dated, KubeletClocks};
use crate::fact::facts::node_leases::NodeLeases;
use crate::fact::facts::nodes::Nodes;
use crate::seen::Unobserved;

use super::reach::out_of_reach;

crate::check!("KL-13", "clocks", Major, judge, blocked_by: ["PK-09"]);

/// The smallest difference that is reported, in seconds.
const REPORTED: i64 = 5;
/// The smallest difference that breaks something, in seconds.
const BREAKS: i64 = 60;

/// How a clock differs: whether it is ahead, and whether by so much that something breaks.
type Kind = (bool, bool);

fn judge(nodes: &Nodes, clock: &Clock, leases: &NodeLeases, kubelets: Result<&KubeletClocks, &Unobserved>) -> Verdict {
    let mut verdict = Verdict::new();
    let mut skewed: BTreeMap<Kind, Vec<(&str, i64)>> = BTreeMap::new();
    let mut unseen: Vec<(&str, Unobserved)> = Vec::new();
    for name in nodes.0.keys() {
        let skew = match kubelets {
            Ok(clocks) => clocks
                .nodes
                .get(name)
                .cloned()
                .unwrap_or_else(|| Err(Unobserved::invalid(format!("the kubelet of {name}"), "its clock was not read")))
                .map(|node| skew(&clocks.server, &node)),
            Err(why) => Err(why.clone()),
        };
        let renewed = leases.0.get(name).and_then(|lease| lease.renewed);
        let skew = match (skew, renewed.map(|renewed| seconds(renewed) - seconds(clock.server))) {
            (Ok(skew), _) => skew,
            // At most, the API server answers one request while the kubelet sends another.
            (Err(_), Some(future)) if future >= REPORTED => future,
            (Err(why), _) => {
                unseen.push((name, why));
                continue;
            }
        };
        if skew.abs() >= REPORTED {
            skewed.entry((skew > 0, skew.abs() >= BREAKS)).or_default().push((name, skew.abs()));
        } else {
            verdict.confirm();
        }
    }
    if verdict.observations() == 0
        && skewed.is_empty()
        // What was not seen for another reason, as an API server that did not answer, shows nothing about the kubelets.
        && kubelets.is_ok()
        && let Some(why) = out_of_reach(unseen.iter().map(|(_, why)| Some(why.clone())))
    {
        return verdict.does_not_apply(format!("no kubelet is reachable from here: {why}"));
    }
    for (node, why) in unseen {
        verdict.unseen(Subject::node(node), &why);
    }
    for (kind, nodes) in skewed {
        report(&mut verdict, kind, &nodes);
    }
    verdict
}

fn report(verdict: &mut Verdict, (ahead, breaks): Kind, nodes: &[(&str, i64)]) {
    let relation = if ahead { "ahead of" } else { "behind" };
    let worst = nodes.iter().map(|(_, skew)| *skew).max().unwrap_or_default();
    let finding = Finding::new(
        "the clock is within 5 s of the API server's",
        format!("at least {worst} s {relation} the API server's clock"),
    )
    .evidence_of(nodes.iter().map(|(node, skew)| (Subject::node(*node), format!("{node}: at least {skew} s"))))
    .fix("on these nodes: timedatectl; chronyc tracking; chronyc makestep; systemctl restart kubelet");
    let finding = match (ahead, breaks) {
        (_, false) => {
            finding.impact("time synchronization does not work, so the difference grows").severity(Severity::Minor)
        }
        (true, true) => finding.impact(
            "valid tokens and certificates count as expired there, and timestamps of leases and logs are wrong",
        ),
        (false, true) => finding
            .impact("new tokens and certificates are not yet valid there, and timestamps of leases and logs are wrong"),
    };
    verdict.find_together(nodes.iter().map(|(node, _)| Subject::node(*node)), nodes.len(), finding);
}

/// By how many seconds at least the node's clock is ahead of the API server's; negative if it is behind.
fn skew(server: &Dated, node: &Dated) -> i64 {
    // A clock is ahead of ours by something between these.
    let (server, node) = (server.ahead(), node.ahead());
    let (at_least, at_most) = (node.0 - server.1, node.1 - server.0);
    (at_least.max(0) + at_most.min(0)) / 1000
}

fn seconds(at: Timestamp) -> i64 {
    at.as_second()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::node_leases::NodeLease;
    use crate::fact::facts::nodes::Node;

    const NOW: &str = "2026-11-22T12:00:00Z";

    fn at(seconds_later: i64) -> Timestamp {
        NOW.parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs(seconds_later)
    }

    fn nodes() -> Nodes {
        Nodes(["n1", "n2", "n3"].map(|name| (name.to_owned(), Node::default())).into())
    }

    /// Our own clock is an hour behind: that is not a fault of the cluster.
    fn judged(clocks: [Result<i64, Unobserved>; 3], renewed: i64) -> Verdict {
        let clock = Clock { server: at(0), here: at(-3600) };
        let dated = |skew| Dated { said: at(skew), before: at(-3600), after: at(-3600) };
        let nodes_clocks = clocks.map(|skew| skew.map(dated));
        let kubelets = KubeletClocks {
            server: dated(0),
            nodes: ["n1", "n2", "n3"].map(str::to_owned).into_iter().zip(nodes_clocks).collect(),
        };
        let lease = NodeLease { renewed: Some(at(renewed)), duration_seconds: Some(40) };
        let leases = NodeLeases(nodes().0.into_keys().map(|name| (name, lease.clone())).collect());
        judge(&nodes(), &clock, &leases, Ok(&kubelets))
    }

    fn seen(verdict: &Verdict) -> Vec<(String, Severity)> {
        let findings = verdict.findings(Severity::Major).into_iter();
        findings.map(|finding| (format!("{}: {}", finding.subjects[0], finding.seen), finding.severity)).collect()
    }

    #[test]
    fn clocks_that_agree_pass() {
        let verdict = judged([Ok(0), Ok(3), Ok(-3)], -5);
        assert_eq!((verdict.observations(), seen(&verdict)), (3, vec![]));
    }

    #[test]
    fn a_clock_that_drifts_and_one_that_breaks_things_are_distinguished() {
        let verdict = judged([Ok(10), Ok(-300), Ok(0)], -5);
        assert_eq!(
            seen(&verdict),
            [
                ("Node n2: at least 299 s behind the API server's clock".to_owned(), Severity::Major),
                ("Node n1: at least 9 s ahead of the API server's clock".to_owned(), Severity::Minor),
            ]
        );
    }

    #[test]
    fn an_api_server_that_does_not_answer_is_not_a_kubelet_out_of_reach() {
        let clock = Clock { server: at(0), here: at(0) };
        let silent = Unobserved::unreachable("GET /version", "reset");
        let verdict = judge(&nodes(), &clock, &NodeLeases::default(), Err(&silent));
        assert_eq!((verdict.reason(), verdict.gaps().len()), (None, 1));
    }

    #[test]
    fn clocks_that_share_a_fault_are_one_finding() {
        assert_eq!(seen(&judged([Ok(0), Ok(120), Ok(121)], -5)).len(), 1);
    }

    #[test]
    fn a_node_out_of_reach_is_judged_by_its_lease() {
        let unreachable = || Err(Unobserved::unreachable("n3", "refused"));
        let verdict = judged([Ok(0), Ok(0), unreachable()], -5);
        assert_eq!((seen(&verdict), verdict.gaps().len()), (vec![], 1));
        let verdict = judged([Ok(0), Ok(0), unreachable()], 90);
        assert_eq!(seen(&verdict)[0].0, "Node n3: at least 90 s ahead of the API server's clock");
    }
}
