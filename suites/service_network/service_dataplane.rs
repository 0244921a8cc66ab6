//! # A Service works on every node: all backends, by TCP and UDP, with session affinity, and at its node port
//!
//! ## Why
//! Applications find each other through Services. One node with missing or stale rules fails some requests of some
//! pods, which is the hardest kind of fault to find from outside.
//!
//! ## Fix
//! On the node that is named, read kube-proxy's log and its rules for the Service (`iptables-save | grep seaworthy`
//! after a run with `--keep`, or `nft list table ip kube-proxy`), and look for firewalls that drop the Service range.
//! When a single backend is missing everywhere, its node does not receive (see CN-04).
//!
//! ## Source
//! <https://kubernetes.io/docs/reference/networking/virtual-ips/>; kubernetes/kubernetes `test/e2e/network/service.go`.
//! Each probe asks a ClusterIP Service in front of all probes, itself among them, until every one of them has answered.

use std::collections::BTreeSet;

use super::helpers::kube_proxy::{RESTART, SPEED_UP};
use crate::check::finding::Difference;
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::probe_reports::answers::{Backends, ServiceAnswer};
use crate::fact::facts::probe_reports::{MEETABLE, ProbeReports};
use crate::seen::Unobserved;

crate::check!(
    "SN-09",
    "service-dataplane",
    Critical,
    judge,
    builds_on: ["AD-01", "CN-04", "CP-01", "CP-05", "KL-01", "KL-12", "SN-05", "SN-07"]
);

/// After how many milliseconds the first answer of a new Service is slow.
const SLOW_MS: u64 = 5000;

fn judge(reports: &ProbeReports) -> Verdict {
    let mut verdict = Verdict::new();
    // The backends are probes that answered. One that did not is a gap itself, and no fault of the Service.
    let backends: BTreeSet<&str> =
        reports.0.values().filter(|report| report.answers.is_ok()).map(|report| report.pod.as_str()).collect();
    for (node, report) in &reports.0 {
        let Some(answers) = verdict.seen(|| Subject::node(node), &report.answers) else { continue };
        let service = match answers.service() {
            Ok(service) => service,
            Err(why) => {
                verdict.unseen(Subject::node(node), &why);
                continue;
            }
        };
        let ServiceAnswer { tcp, udp, affinity, node_port, .. } = service;
        let mut is_seen = |way: &Backends| match way.seen() {
            Ok(_) => true,
            Err(why) => {
                verdict.unseen(Subject::node(node), &why);
                false
            }
        };
        let [has_tcp, has_udp, has_affinity] = [tcp, udp, affinity].map(&mut is_seen);
        let node_port = node_port.as_ref().filter(|way| is_seen(way));
        let met = |pod: &str| [tcp, udp].iter().any(|way| way.answered.contains_key(pod));
        let (too_late, backends): (BTreeSet<&str>, BTreeSet<&str>) =
            backends.iter().partition(|pod| !met(pod) && reports.came_too_late(pod, node));
        for late in too_late.into_iter().filter_map(|pod| reports.node_of(pod)) {
            let why = "it began to serve only when others had almost finished, as while an image is pulled: run again";
            verdict.unseen(Subject::node(late), &Unobserved::invalid("the probe", why));
        }
        let mut spread = |way: &str, seen: &Backends| every_backend(&mut verdict, reports, node, way, seen, &backends);
        if has_tcp {
            spread("the ClusterIP by TCP", tcp);
        }
        if has_udp {
            spread("the ClusterIP by UDP", udp);
        }
        if let Some(node_port) = node_port {
            spread("the node port by TCP", node_port);
        }
        if has_affinity {
            verdict.expect(Subject::node(node), affinity.answered.len() == 1, || {
                let expected = "with sessionAffinity ClientIP, one backend answers all requests of a client";
                match affinity.answered.len() {
                    0 => no_answer(expected, node, affinity),
                    many => Finding::new(expected, "several backends answer")
                        .evidence([format!("{node}: {many} backends")])
                        .impact("applications lose the sessions that they keep in memory")
                        .fix(format!("renew kube-proxy's rules: {RESTART}")),
                }
            });
        }
        let ways = [Some(tcp), Some(udp), Some(affinity), node_port];
        if let Some(slowest) = ways.into_iter().flatten().filter_map(|way| way.first_ms).max() {
            verdict.expect(Subject::node(node), slowest <= SLOW_MS, || {
                Finding::new(format!("a new Service answers within {} s", SLOW_MS / 1000), "it took longer")
                    .evidence([format!("{node}: {} s", slowest.div_ceil(1000))])
                    .impact("changes of Services reach this node late (SN-12 measures that, in profile ci)")
                    .fix(SPEED_UP)
                    .info()
            });
        }
    }
    verdict
}

fn every_backend(
    verdict: &mut Verdict,
    reports: &ProbeReports,
    node: &str,
    way: &str,
    seen: &Backends,
    backends: &BTreeSet<&str>,
) {
    // In a large cluster no probe meets all backends: every request must be answered, by any of them.
    if backends.len() > MEETABLE {
        verdict.expect(Subject::node(node), !seen.answered.is_empty() && seen.fault.is_none(), || {
            let expected = format!("a Service answers every request at {way}");
            if seen.answered.is_empty() {
                return no_answer(expected, node, seen);
            }
            let answered: u32 = seen.answered.values().sum();
            some_answers(expected, format!("some requests get no answer: {}", fault(seen)))
                .evidence([format!("{node}: {answered} of {} requests answered", seen.asked)])
        });
        return;
    }
    let missing: Vec<&str> = backends
        .iter()
        .filter(|pod| !seen.answered.contains_key(**pod))
        .filter_map(|pod| reports.node_of(pod))
        .collect();
    verdict.expect(Subject::node(node), missing.is_empty(), || {
        let expected = format!("every backend of a Service answers at {way}");
        if seen.answered.is_empty() {
            return no_answer(expected, node, seen);
        }
        let of = |other: &str| format!("{node}: the backend on {other} answers none of {} requests", seen.asked);
        some_answers(expected, "some backends do not answer").evidence(missing.into_iter().map(of))
    });
}

fn no_answer(expected: impl Into<String>, node: &str, seen: &Backends) -> Difference {
    Finding::new(expected, format!("no request is answered: {}", fault(seen)))
        .evidence([format!("{node}: {} requests", seen.asked)])
        .impact("Services do not work from this node")
        .fix(
            "on each of these nodes, check that kube-proxy is healthy (SN-07), and that no firewall drops the Service \
             range or node ports: iptables-save | grep -e DROP -e REJECT; nft list ruleset | grep -e drop -e reject",
        )
}

fn some_answers(expected: impl Into<String>, seen: impl Into<String>) -> Difference {
    Finding::new(expected, seen).impact("some requests to Services fail from this node").fix(format!(
        "if the backend on one node answers no other node, find what drops packets to it (CN-04); otherwise renew \
         kube-proxy's rules: {RESTART}"
    ))
}

fn fault(seen: &Backends) -> String {
    seen.fault.as_ref().map_or_else(|| "the cause is unknown".into(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::probe_reports::answers::{Answers, Fault, Times};
    use crate::fact::facts::probe_reports::testing::reports;

    fn answered(pods: &[&str]) -> Backends {
        let answered = pods.iter().map(|pod| ((*pod).to_owned(), 3)).collect();
        Backends { asked: 9, answered, fault: None, first_ms: Some(80) }
    }

    fn healthy() -> ProbeReports {
        let service = ServiceAnswer {
            tcp: answered(&["p1", "p2"]),
            udp: answered(&["p1", "p2"]),
            affinity: answered(&["p2"]),
            node_port: Some(answered(&["p1", "p2"])),
            other_family: None,
            other_nodes: [(std::net::IpAddr::from([10, 77, 0, 12]), Ok(()))].into(),
        };
        let answers = Answers { service: Some(service), ..Answers::default() };
        reports(["n1", "n2"].map(|node| (node, answers.clone())))
    }

    fn service(reports: &mut ProbeReports) -> &mut ServiceAnswer {
        reports.0.get_mut("n2").unwrap().answers.as_mut().unwrap().service.as_mut().unwrap()
    }

    #[test]
    fn a_service_that_works_everywhere_passes() {
        let verdict = judge(&healthy());
        assert_eq!((verdict.observations(), verdict.findings(Severity::Critical).len()), (10, 0));
    }

    #[test]
    fn a_probe_that_began_when_others_had_ended_is_not_a_fault_of_the_service() {
        let at = |served_ms, answered_ms| Some(Times { served_ms, answered_ms });
        let judged = |of_n1| {
            let mut reports = healthy();
            let seen = service(&mut reports);
            (seen.tcp, seen.udp, seen.node_port) = (answered(&["p2"]), answered(&["p2"]), Some(answered(&["p2"])));
            reports.0.get_mut("n1").unwrap().times = of_n1;
            reports.0.get_mut("n2").unwrap().times = at(1200, 9800);
            let verdict = judge(&reports);
            (verdict.gaps().len(), verdict.findings(Severity::Critical).len())
        };
        assert_eq!(judged(at(15_000, 16_000)), (1, 0));
        assert_eq!(judged(at(1500, 3000)).0, 0);
        assert!(judged(at(1500, 3000)).1 > 0 && judged(None).1 > 0);
    }

    #[test]
    fn a_service_that_reaches_a_node_late_is_an_info_finding() {
        let mut reports = healthy();
        service(&mut reports).udp.first_ms = Some(6200);
        let findings = judge(&reports).findings(Severity::Critical);
        assert_eq!((findings[0].seen.as_str(), findings[0].severity), ("it took longer", Severity::Info));
        assert_eq!(findings[0].evidence, ["n2: 7 s"]);
    }

    #[test]
    fn a_node_on_which_nothing_answers_is_named() {
        let mut reports = healthy();
        service(&mut reports).tcp = Backends { asked: 90, fault: Some(Fault::TimedOut), ..Backends::default() };
        let findings = judge(&reports).findings(Severity::Critical);
        assert_eq!((findings.len(), findings[0].subjects[0].to_string()), (1, "Node n2".into()));
        assert_eq!(findings[0].seen, "no request is answered: no answer");
        assert_eq!(findings[0].evidence, ["n2: 90 requests"]);
    }

    #[test]
    fn a_backend_that_never_answers_is_named_by_its_node() {
        let mut reports = healthy();
        service(&mut reports).udp = answered(&["p2"]);
        let findings = judge(&reports).findings(Severity::Critical);
        assert_eq!(findings[0].seen, "some backends do not answer");
        assert_eq!(findings[0].evidence, ["n2: the backend on n1 answers none of 9 requests"]);
    }

    #[test]
    fn affinity_that_does_not_hold_is_a_finding() {
        let mut reports = healthy();
        service(&mut reports).affinity = answered(&["p1", "p2"]);
        let findings = judge(&reports).findings(Severity::Critical);
        assert_eq!(findings[0].seen, "several backends answer");
        assert_eq!(findings[0].evidence, ["n2: 2 backends"]);
    }
}
