//! # kube-proxy keeps its rules up to date, and its metrics are closed to others
//!
//! ## Why
//! A kube-proxy that hangs leaves a node with outdated rules while its pod stays Running: new Services do not work
//! there, and deleted ones still do. Its metrics port exposes information about the cluster to anyone who can connect,
//! and profiling if it is enabled.
//!
//! ## Fix
//! `kubectl -n kube-system get pods -o wide -l k8s-app=kube-proxy` shows the kube-proxy on the node that is named: read
//! its log (`kubectl -n kube-system logs POD`), then delete that pod, so that another one starts. If there is none, see
//! SN-05. For the metrics port: set `metricsBindAddress` in ConfigMap kube-system/kube-proxy to `127.0.0.1:10249` and
//! restart the DaemonSet.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/proxy/healthcheck/proxy_health.go` (port 10256), `cmd/kube-proxy/app/server.go` (10249).
//! `/livez` fails when rules are not synchronised; `/healthz` also fails, as it should, while a node is being removed.

use super::helpers::kube_proxy::{configure, recover};
use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::{Fault, Got, KubeProxyAnswer};
use crate::seen::Unobserved;

crate::check!("SN-07", "kube-proxy-health", Major, judge, builds_on: ["KL-01", "SN-05"], blocked_by: ["KL-16"]);

fn judge(reports: &ProbeReports) -> Verdict {
    let nodes = || reports.0.values().filter_map(|report| report.answers.as_ref().ok());
    let silent = |proxy: &KubeProxyAnswer| proxy.healthz.is_err() && proxy.livez.is_err() && proxy.metrics.is_err();
    let mut proxies = nodes().flat_map(|answers| answers.kube_proxy.values()).peekable();
    if proxies.peek().is_some() && proxies.all(|proxy| silent(proxy) || is_replacement(proxy)) {
        return Verdict::not_applicable(
            "no node answers at port 10256 as kube-proxy does: another service proxy runs, or none (see SN-05)",
        );
    }
    let mut verdict = Verdict::new();
    for (node, report) in &reports.0 {
        let Some(answers) = verdict.seen(|| Subject::node(node), &report.answers) else { continue };
        for proxy in answers.kube_proxy.values() {
            let unanswered = [&proxy.livez, &proxy.metrics].contains(&&Err(Fault::Unanswered));
            if unanswered {
                let why = Unobserved::unreachable("kube-proxy", Fault::Unanswered);
                verdict.unseen(Subject::node(node), &why);
                continue;
            }
            if is_replacement(proxy) {
                verdict.note_about(Subject::node(node), "another service proxy than kube-proxy answers at port 10256");
                continue;
            }
            verdict.expect(Subject::node(node), proxy.livez == Ok(200), || {
                Finding::new("/livez of kube-proxy, at port 10256, returns HTTP 200", status(&proxy.livez))
                    .impact("new and changed Services do not work from this node")
                    .fix(format!("if kube-proxy runs there (SN-05), {}", recover()))
            });
            verdict.expect(Subject::node(node), proxy.metrics.is_err(), || {
                Finding::new(
                    "kube-proxy's metrics port 10249 is closed to pods",
                    format!("/metrics at port 10249 returns {}", status(&proxy.metrics)),
                )
                .impact("any pod can read kube-proxy's metrics, and profile it where profiling is enabled")
                .fix(configure("in config.conf, set metricsBindAddress: 127.0.0.1:10249"))
                .info()
            });
            // Draining a node makes /healthz fail on purpose, so a failure is a note and not a finding.
            if proxy.livez == Ok(200) && proxy.healthz != Ok(200) {
                let status = status(&proxy.healthz);
                let note = format!("/healthz of kube-proxy returns {status}, as it does while a node is being removed");
                verdict.note_about(Subject::node(node), note);
            }
        }
    }
    verdict
}

/// Whether a replacement of kube-proxy answers: Cilium serves /healthz, and nothing else, at that port (cilium/cilium
/// `daemon/healthz`).
fn is_replacement(proxy: &KubeProxyAnswer) -> bool {
    proxy.healthz.is_ok() && proxy.livez == Ok(404)
}

fn status(got: &Got<u16>) -> String {
    match got {
        Ok(status) => format!("HTTP {status}"),
        Err(fault) => fault.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::probe_reports::answers::Answers;
    use crate::fact::facts::probe_reports::testing;

    fn reports(nodes: [(&str, KubeProxyAnswer); 2]) -> ProbeReports {
        testing::reports(nodes.map(|(node, proxy)| {
            let kube_proxy = [([10, 77, 0, 11].into(), proxy)].into();
            (node, Answers { kube_proxy, ..Answers::default() })
        }))
    }

    fn healthy() -> KubeProxyAnswer {
        KubeProxyAnswer { healthz: Ok(200), livez: Ok(200), metrics: Err(Fault::Refused) }
    }

    #[test]
    fn healthy_proxies_pass() {
        let verdict = judge(&reports([("n1", healthy()), ("n2", healthy())]));
        assert_eq!((verdict.observations(), verdict.findings(Severity::Major).len()), (4, 0));
    }

    #[test]
    fn a_proxy_that_hangs_is_named() {
        let hung = KubeProxyAnswer {
            livez: Err(Fault::TimedOut),
            healthz: Err(Fault::TimedOut),
            metrics: Err(Fault::TimedOut),
        };
        let findings = judge(&reports([("n1", healthy()), ("n2", hung)])).findings(Severity::Major);
        assert_eq!((findings.len(), findings[0].subjects[0].to_string()), (1, "Node n2".into()));
        assert_eq!(findings[0].seen, "no answer");
    }

    #[test]
    fn open_metrics_are_an_info_finding() {
        let open = KubeProxyAnswer { metrics: Ok(200), ..healthy() };
        let findings = judge(&reports([("n1", open.clone()), ("n2", open)])).findings(Severity::Major);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Info));
        assert_eq!(findings[0].seen, "/metrics at port 10249 returns HTTP 200");
    }

    #[test]
    fn a_cluster_without_kube_proxy_is_not_judged() {
        let none =
            KubeProxyAnswer { healthz: Err(Fault::Refused), livez: Err(Fault::Refused), metrics: Err(Fault::Refused) };
        assert!(judge(&reports([("n1", none.clone()), ("n2", none)])).reason().is_some());
    }
}
