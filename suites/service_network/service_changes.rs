//! # A Service works within seconds of its first backend, and stops responding within seconds of deletion, on each node
//!
//! ## Why
//! A slow or hanging proxy looks healthy as long as nothing changes. Then a rollout leaves deleted backends in use, a
//! new Service times out on some nodes, and the address of a deleted Service, once it is assigned again, still leads to
//! the old backends.
//!
//! ## Fix
//! On the nodes that are named, check the service proxy: its log (`kubectl -n kube-system logs POD`; "Sync failed", or
//! silence for minutes), and whether it hangs (`curl http://NODE:10256/livez`). If all nodes are late, see
//! `minSyncPeriod` in ConfigMap kube-system/kube-proxy (1s is usual) and whether the controller-manager is overloaded.
//!
//! ## Source
//! <https://kubernetes.io/docs/reference/networking/virtual-ips/#optimizing-iptables-mode-performance>;
//! kubernetes/kubernetes `pkg/proxy/iptables/proxier.go`, `pkg/controller/endpointslice`. A pod on each of up to 20
//! nodes keeps connecting to a Service without a backend, which then gets one, and later is deleted while the backend
//! still runs. The pods wait up to 30 s for each change. Only the profile ci waits so long.

use super::helpers::kube_proxy::{SPEED_UP, recover};
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::service_trial::{ServiceTrial, Sight};
use crate::milliseconds::seconds;

crate::check!("SN-12", "service-changes", Major, judge, builds_on: ["SN-07", "SN-09"]);

/// After how many milliseconds a change is late.
const LATE_MS: u64 = 10_000;
/// After how many milliseconds a change is slow.
const SLOW_MS: u64 = 5_000;
const OPENS: &str = "a Service answers once it has a backend";
const CLOSES: &str = "a deleted Service stops answering";

fn judge(trial: &ServiceTrial) -> Verdict {
    let mut verdict = Verdict::new();
    verdict.each(
        &trial.nodes,
        |node| Subject::node(node),
        |verdict, node, sights| {
            if let Some(fault) = &sights.opened.fault {
                let seen = format!("connections still fail {} s later: {fault}", seconds(trial.opening_ms));
                let finding = Finding::new(OPENS, seen)
                    .impact("new Services and new backends cannot be reached from there")
                    .fix(recover());
                verdict.find(Subject::node(node), finding);
            } else {
                judge_delay(verdict, node, OPENS, sights.opened.after_ms, "until then, connections from there fail");
            }
            let Some(closed) = &sights.closed else { return };
            if has_stopped(closed) {
                let impact = "until then, connections from there go to pods that may not exist any more";
                judge_delay(verdict, node, CLOSES, closed.after_ms, impact);
            } else {
                let seen = format!("it still answers {} s later", seconds(trial.closing_ms));
                let finding = Finding::new(CLOSES, seen)
                    .impact("from there, the next Service with this address leads to the backends of the deleted one")
                    .fix(recover());
                verdict.find(Subject::node(node), finding);
            }
        },
    );
    if trial.others > 0 {
        verdict.note(format!("{} of {} nodes were watched", trial.nodes.len(), trial.nodes.len() + trial.others));
    }
    verdict
}

fn has_stopped(closed: &Sight) -> bool {
    !closed.is_open() && closed.is_steady()
}

/// Judges how long a change took that did happen.
fn judge_delay(verdict: &mut Verdict, node: &str, change: &str, after_ms: u64, impact: &str) {
    let limit = if after_ms >= LATE_MS { LATE_MS } else { SLOW_MS };
    verdict.expect(Subject::node(node), after_ms < limit, || {
        let finding = Finding::new(format!("{change} within {} s", seconds(limit)), "it took longer")
            .evidence([format!("{node}: {} s", seconds(after_ms))])
            .impact(impact)
            .fix(SPEED_UP);
        if limit == LATE_MS { finding } else { finding.info() }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
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
    fn changes_that_reach_all_nodes_in_time_pass() {
        let verdict = judged([Ok((open(300), Some(closed(900)))), Ok((open(1200), Some(closed(2500))))]);
        assert_eq!((verdict.observations(), in_full(&verdict)), (4, vec![]));
    }

    #[test]
    fn a_node_that_no_new_service_reaches_is_named() {
        let verdict = judged([Ok((open(300), Some(closed(900)))), Ok((closed(100), None))]);
        assert_eq!(in_full(&verdict), ["major Node n2: connections still fail 30 s later: no answer"]);
    }

    #[test]
    fn a_node_that_keeps_the_address_of_a_deleted_service_is_named() {
        let verdict = judged([Ok((open(300), Some(closed(900)))), Ok((open(300), Some(open(100))))]);
        assert_eq!(in_full(&verdict), ["major Node n2: it still answers 30 s later"]);
        let chance = Sight { alike: 1, ..closed(29_000) };
        assert_eq!(in_full(&judged([Ok((open(300), Some(chance)))])).len(), 1, "one try may fail by chance");
    }

    #[test]
    fn late_is_a_finding_and_slow_is_info() {
        let verdict = judged([
            Ok((open(17_040), Some(closed(900)))),
            Ok((open(12_000), Some(closed(6_000)))),
            Ok((open(400), Some(closed(900)))),
        ]);
        assert_eq!(in_full(&verdict), ["major Node n1, n2: it took longer", "info Node n2: it took longer"]);
        let evidence = verdict.findings(Severity::Major).into_iter().map(|finding| finding.evidence);
        assert_eq!(evidence.collect::<Vec<_>>(), [vec!["n1: 17.1 s", "n2: 12 s"], vec!["n2: 6 s"]]);
    }

    #[test]
    fn a_node_that_did_not_report_is_a_gap() {
        let verdict = judged([Ok((open(300), Some(closed(900)))), Err(Unobserved::Interrupted)]);
        assert_eq!((verdict.gaps().len(), in_full(&verdict)), (1, vec![]));
    }
}
