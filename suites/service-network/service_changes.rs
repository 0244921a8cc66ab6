//! # A Service works within seconds of its first backend, and stops responding within seconds of deletion, on every node
//!
//! ## Why
//! A slow or hanging proxy looks healthy as long as nothing changes. Then a rollout leaves deleted backends in use, a
//! new Service times out on some nodes, and the address of a deleted Service, once it is assigned again, still leads to
//! the old backends.
//!
//! ## Fix
//! On the nodes that are named, look at the service proxy: `kubectl -n kube-system logs POD` (kube-proxy says "Sync failed",
//! or has been silent for minutes), and whether it hangs (`curl http://NODE:10256/livez`). Where all nodes are late, see
//! `minSyncPeriod` in ConfigMap kube-system/kube-proxy (1s is usual) and whether the controller-manager has work to catch up.
//!
//! ## Source
//! <https://kubernetes.io/docs/reference/networking/virtual-ips/#optimizing-iptables-mode-performance>; kubernetes/kubernetes
//! `pkg/proxy/iptables/proxier.go`, `pkg/controller/endpointslice`. A pod on each of up to 20 nodes asks a Service without a
//! backend again and again, while it is given one and is deleted with the backend still there. Each time 30 s are waited
//! for. Only the profile ci waits so long.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::finding::Difference;
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::service_trial::{ServiceTrial, Sight};
use crate::milliseconds::seconds;

crate::check!("SN-12", "service-changes", Major, judge);

/// After how many milliseconds a change is late, and after how many it is slow already.
const LATE_MS: u64 = 10_000;
/// See [`LATE_MS`].
const SLOW_MS: u64 = 5_000;
/// What is said of a node on which the Service worked, and then did not stop to.
const STALE: &str = "a Service that gets the address next leads to the old one's backends from there";

fn judge(trial: &ServiceTrial) -> Verdict {
    let mut verdict = Verdict::new();
    let (mut opening, mut closing) = (BTreeMap::new(), BTreeMap::new());
    verdict.each(
        &trial.nodes,
        |node| Subject::node(node),
        |verdict, node, sights| {
            let works = sights.opened.is_open();
            verdict.expect(Subject::node(node), works, || {
                let fault = sights.opened.fault.as_ref().map(ToString::to_string).unwrap_or_default();
                let seen = format!("nothing answers within {} s: {fault}", seconds(trial.opening_ms));
                Finding::new("a Service answers when it has its first backend", seen)
                    .impact("new Services and new backends do not come to work there")
            });
            if works {
                opening.insert(node.clone(), sights.opened.after_ms);
            }
            let Some(closed) = &sights.closed else { return };
            let stops = stopped(closed);
            verdict.expect(Subject::node(node), stops, || {
                let seen = format!("it still answers {} s later", seconds(trial.closing_ms));
                Finding::new("a Service that is deleted no longer answers", seen).impact(STALE)
            });
            if stops {
                closing.insert(node.clone(), closed.after_ms);
            }
        },
    );
    late(&mut verdict, &opening, "a Service answers when it has its first backend", "meanwhile it fails from there");
    late(
        &mut verdict,
        &closing,
        "a Service that is deleted no longer answers",
        "meanwhile it leads to what may be gone",
    );
    if trial.others > 0 {
        verdict.note(format!("{} of {} nodes were watched", trial.nodes.len(), trial.nodes.len() + trial.others));
    }
    verdict
}

fn stopped(closed: &Sight) -> bool {
    !closed.is_open() && closed.is_steady()
}

/// Tells the nodes that took long, once for those that took too long, and once for those that were only slow.
fn late(verdict: &mut Verdict, took: &BTreeMap<String, u64>, what: &str, so: &str) {
    let mut tell = |limit: u64, from: u64, to: u64, graded: fn(Difference) -> Difference| {
        let slow: Vec<(&String, &u64)> = took.iter().filter(|(_, ms)| (from..to).contains(*ms)).collect();
        if !slow.is_empty() {
            let nodes: BTreeSet<String> = slow.iter().map(|(node, _)| (*node).clone()).collect();
            let (least, most) = (slow.iter().map(|(_, ms)| **ms).min(), slow.iter().map(|(_, ms)| **ms).max());
            let [least, most] = [least, most].map(|ms| seconds(ms.unwrap_or_default()));
            let seen = if least == most { format!("after {most} s") } else { format!("after {least} to {most} s") };
            let finding = Finding::new(format!("{what}, within {} s", limit / 1000), seen).impact(so);
            verdict.tell_counted(Subject::nodes(&nodes), graded(finding));
        }
    };
    tell(LATE_MS, LATE_MS, u64::MAX, |finding| finding);
    tell(SLOW_MS, SLOW_MS, LATE_MS, Difference::info);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::in_full;
    use crate::fact::facts::probe_reports::answers::Fault;
    use crate::fact::facts::service_trial::ServiceSights;
    use crate::seen::{Seen, Unobserved};

    fn open(after_ms: u64) -> Sight {
        Sight { fault: None, alike: 1, after_ms }
    }

    fn closed(after_ms: u64) -> Sight {
        Sight { fault: Some(Fault::TimedOut), alike: 2, after_ms }
    }

    fn judged<const N: usize>(nodes: [Seen<(Sight, Option<Sight>)>; N]) -> Verdict {
        let nodes = nodes
            .into_iter()
            .enumerate()
            .map(|(i, seen)| (format!("n{}", i + 1), seen.map(|(opened, closed)| ServiceSights { opened, closed })));
        judge(&ServiceTrial { opening_ms: 30_000, closing_ms: 30_000, nodes: nodes.collect(), others: 0 })
    }

    #[test]
    fn changes_that_all_nodes_learn_of_pass() {
        let verdict = judged([Ok((open(300), Some(closed(900)))), Ok((open(1200), Some(closed(2500))))]);
        assert_eq!((verdict.observations(), in_full(&verdict)), (4, vec![]));
    }

    #[test]
    fn a_node_that_learns_of_nothing_new_is_named() {
        let verdict = judged([Ok((open(300), Some(closed(900)))), Ok((closed(100), None))]);
        assert_eq!(in_full(&verdict), ["major Node n2: nothing answers within 30 s: no answer"]);
    }

    #[test]
    fn a_node_that_keeps_the_address_of_a_deleted_service_is_named() {
        let verdict = judged([Ok((open(300), Some(closed(900)))), Ok((open(300), Some(open(100))))]);
        assert_eq!(in_full(&verdict), ["major Node n2: it still answers 30 s later"]);
        let chance = Sight { alike: 1, ..closed(29_000) };
        assert_eq!(in_full(&judged([Ok((open(300), Some(chance)))])).len(), 1, "one try may fail by chance");
    }

    #[test]
    fn late_and_slow_are_told_apart() {
        let verdict = judged([
            Ok((open(17_040), Some(closed(900)))),
            Ok((open(12_000), Some(closed(6_000)))),
            Ok((open(400), Some(closed(900)))),
        ]);
        assert_eq!(in_full(&verdict), ["major Nodes n1, n2: after 12 to 17.1 s", "info Node n2: after 6 s"]);
    }

    #[test]
    fn a_node_that_tells_nothing_is_undecided() {
        let verdict = judged([Ok((open(300), Some(closed(900)))), Err(Unobserved::Interrupted)]);
        assert_eq!((verdict.gaps().len(), in_full(&verdict)), (1, vec![]));
    }
}
