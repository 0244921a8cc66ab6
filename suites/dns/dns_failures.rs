//! # CoreDNS runs without restarts, panics, reload failures and refused requests
//!
//! ## Why
//! A server that crashes now and then, panics, cannot read its Corefile or is refused by the API restarts or continues
//! with stale data, and is Ready most of the time. Some lookups then return old answers or none.
//!
//! ## Fix
//! `kubectl -n kube-system logs POD --previous` shows why a server ended; `Loop … detected` means that it forwards to
//! itself (see DN-03), exit code 137 that its memory limit is too low for the cluster. A Corefile that could not be
//! loaded appears in the log as `Corefile changed but reload failed`. For refusals, see DN-08. If all servers are down to
//! which it forwards, ask them from the node of the pod (`dig @SERVER example.org`), and name one that answers in `forward`.
//!
//! ## Source
//! <https://coredns.io/plugins/metrics/>, <https://coredns.io/plugins/forward/#metrics>,
//! <https://coredns.io/plugins/reload/#metrics>; kubernetes/kubernetes `cmd/kubeadm/app/phases/addons/dns/manifests.go`
//! (port 9153). The counters start with the server: that all servers to which it forwards once failed is a note, unless a lookup of
//! a name outside of the cluster fails during the run as well.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::cluster_dns::ClusterDns;
use crate::fact::facts::coredns_reviews::CorednsReviews;
use crate::fact::facts::corefile::Corefile;
use crate::fact::facts::pods::{Pod, Pods};
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::{DnsMetrics, Fault, Got, Purpose, RecordAnswer};
use crate::seen::Unobserved;
use crate::suites::dns::helpers::{config_map, upstreams};
use crate::suites::pods::failed_again;

crate::check!(
    "DN-09",
    "dns-failures",
    Major,
    judge,
    builds_on: ["DN-02", "DN-03", "DN-08", "SN-04"],
    blocked_by: ["CN-04", "DN-04", "KL-16"]
);

/// How often a server may have been restarted, whatever its age: a reboot of its node counts as one.
const RESTARTS: i32 = 5;
/// The largest part of all responses that may be failures, in percent, and the fewest responses for which it counts.
const FAILURES: (u64, u64) = (5, 200);
/// Why a container waits whose program keeps ending.
const CRASHING: &str = "CrashLoopBackOff";
/// The logs of all servers.
const LOGS: &str = "kubectl -n kube-system logs -l k8s-app=kube-dns --prefix --tail=-1";

fn judge(
    dns: &ClusterDns,
    pods: &Pods,
    reports: Result<&ProbeReports, &Unobserved>,
    corefile: Result<&Corefile, &Unobserved>,
    reviews: Result<&CorednsReviews, &Unobserved>,
) -> Verdict {
    let mut verdict = Verdict::new();
    let Some(servers) = verdict.seen(|| Subject::object("Service", "kube-system", &dns.name), &dns.servers) else {
        return verdict;
    };
    let endpoints: BTreeSet<&str> = servers.iter().filter_map(|server| server.pod.as_deref()).collect();
    let is_server = |pod: &&Pod| {
        let labelled = pod.labels.get("k8s-app").is_some_and(|app| app == "kube-dns");
        !pod.deleting && (endpoints.contains(pod.name.as_str()) || labelled)
    };
    let found: Vec<&Pod> = pods.of_namespace("kube-system").filter(is_server).collect();
    if found.is_empty() && servers.is_empty() {
        return verdict.does_not_apply(format!("Service kube-system/{} has no endpoints (see DN-02)", dns.name));
    }
    for pod in &found {
        judge_pod(&mut verdict, pod);
    }
    match reports {
        Ok(reports) => {
            let known = Known {
                edit: config_map::edit(corefile),
                ask: upstreams::ask(corefile, "example.org"),
                has_rights: has_all_rights(reviews),
            };
            judge_metrics(&mut verdict, reports, &found, &known);
        }
        Err(why) if why.is_skip() => verdict.note(format!("the servers' metrics were not checked: {why}")),
        Err(why) => verdict.unseen(Subject::cluster(), why),
    }
    verdict
}

/// What is known of the servers in addition to what they have counted.
struct Known {
    /// The command that edits the Corefile.
    edit: String,
    /// The commands that ask the servers to which it forwards.
    ask: String,
    /// Whether CoreDNS has every right that it needs now.
    has_rights: bool,
}

fn has_all_rights(reviews: Result<&CorednsReviews, &Unobserved>) -> bool {
    reviews.is_ok_and(|reviews| reviews.0.values().all(|review| review.decided().is_ok_and(|answer| answer.allowed)))
}

fn subject(pod: &Pod) -> Subject {
    Subject::object("Pod", &pod.namespace, &pod.name)
}

fn judge_pod(verdict: &mut Verdict, pod: &Pod) {
    for container in &pod.containers {
        let fix = || format!("see why it ended: {LOGS} -c {} --previous --ignore-errors", container.name);
        let waiting = container.waiting.as_deref().filter(|reason| *reason == CRASHING).map(str::to_owned);
        let crash = waiting.or_else(|| Some(format!("exit code {}", failed_again(container)?)));
        let restarts = format!("{} restarts", container.restarts);
        let steady = verdict.expect(subject(pod), crash.is_none(), || {
            Finding::new(format!("its container {} keeps running", container.name), "it keeps crashing")
                .evidence(crash.map(|crash| format!("{}: {crash}, {restarts}", pod.name)))
                .impact("a server is missing, and lookups that are sent to it wait for seconds")
                .fix(fix())
        });
        if steady {
            verdict.expect(subject(pod), container.restarts <= RESTARTS, || {
                Finding::new(
                    format!("its container {} was restarted at most {RESTARTS} times", container.name),
                    "it was restarted more often",
                )
                .evidence([format!("{}: {restarts}", pod.name)])
                .impact("lookups that are sent to it fail whenever it restarts")
                .fix(fix())
                .severity(Severity::Minor)
            });
        }
    }
}

/// What each server has counted, as any of the probes saw it.
fn judge_metrics(verdict: &mut Verdict, reports: &ProbeReports, pods: &[&Pod], known: &Known) {
    let mut seen: BTreeMap<SocketAddr, Vec<&Got<DnsMetrics>>> = BTreeMap::new();
    for answers in reports.0.values().filter_map(|report| report.answers.as_ref().ok()) {
        for (server, got) in &answers.dns_metrics {
            seen.entry(*server).or_default().push(got);
        }
    }
    if seen.is_empty() {
        let why = Unobserved::invalid("the probes", "none of them read a server's metrics");
        return verdict.unseen(Subject::cluster(), &why);
    }
    for (server, got) in seen {
        let pod = pods.iter().find(|pod| pod.addresses.iter().any(|address| *address == server.ip().to_string()));
        let subject = pod.map_or_else(|| Subject::address(server.ip()), |pod| subject(pod));
        let refused = got.iter().all(|got| matches!(got, Err(Fault::Refused)));
        let silent = got.iter().all(|got| matches!(got, Err(Fault::TimedOut)));
        match got.iter().find_map(|got| got.as_ref().ok()) {
            Some(metrics) => {
                judge_counters(verdict, &subject, metrics, known);
                judge_upstreams(verdict, &subject, metrics.upstreams_broken, &outside(reports, server.ip()), known);
            }
            // A network policy that admits only DNS to the server drops requests to its other ports.
            None if refused || silent && answers(reports, server.ip()) => verdict.note_about(
                subject,
                "it serves no metrics: the Corefile lacks the plugin prometheus, or a network policy blocks them",
            ),
            None => {
                let fault = got.iter().find_map(|got| got.as_ref().err()).map(ToString::to_string).unwrap_or_default();
                verdict.unseen(subject, &Unobserved::unreachable(format!("http://{server}/metrics"), fault));
            }
        }
    }
}

/// Whether any probe gets answers to its lookups from this server.
fn answers(reports: &ProbeReports, server: IpAddr) -> bool {
    let answers = reports.0.values().filter_map(|report| report.answers.as_ref().ok());
    let mut lookups = answers.flat_map(|answers| &answers.dns).filter(|(at, _)| at.ip() == server);
    lookups.any(|(_, dns)| dns.udp.answered > 0)
}

fn judge_counters(verdict: &mut Verdict, subject: &Subject, metrics: &DnsMetrics, known: &Known) {
    let Known { edit, has_rights, .. } = known;
    let DnsMetrics { panics, responses, failures, failed_reloads, api_refusals, .. } = *metrics;
    verdict.expect(subject.clone(), panics == 0, || {
        Finding::new("no panic since it started", "it panicked")
            .evidence([format!("{subject}: coredns_panics_total is {panics}")])
            .impact("some lookups got no answer")
            .fix(format!("find the cause, and upgrade CoreDNS if a later release fixes it: {LOGS} | grep -i panic"))
            .severity(Severity::Minor)
    });
    verdict.expect(subject.clone(), failed_reloads == 0, || {
        Finding::new("every changed Corefile was loaded", "it could not load a changed Corefile")
            .evidence([format!("{subject}: coredns_reload_failed_total is {failed_reloads}")])
            .impact("unless it loaded a later one, it serves an old Corefile and will not start with the current one")
            .fix(format!(
                "find the error: {LOGS} | grep 'reload failed'; if the Corefile still has it: {edit}. The \
                 counter returns to 0 when the pod restarts"
            ))
            .severity(Severity::Minor)
    });
    // An API server that has just started refuses everyone until it has read the roles, and the counter keeps that.
    if api_refusals > 0 && *has_rights {
        let since = "since it started, the API server refused some of its requests, as one that has just started does; it \
                     has the rights now";
        verdict.note_about(subject.clone(), since);
    }
    verdict.expect(subject.clone(), api_refusals == 0 || *has_rights, || {
        Finding::new("the API server permits its requests", "some requests were answered with HTTP 403")
            .evidence([format!("{subject}: {api_refusals} requests")])
            .impact("it does not see some Services or endpoints, so their names do not resolve (see DN-08)")
            .fix(format!("find the missing permission: {LOGS} | grep forbidden; DN-08 shows how to grant it"))
    });
    let many = responses >= FAILURES.1 && failures * 100 > responses * FAILURES.0;
    verdict.expect(subject.clone(), !many, || {
        Finding::new(
            format!("at most {} % of its answers are failures", FAILURES.0),
            "more of them are SERVFAIL or REFUSED since it started",
        )
        .evidence([format!("{subject}: {failures} of {responses} answers")])
        .impact("that share of lookups fails or is slow")
        .fix(format!(
            "find the failing queries: {LOGS} --since=1h | grep ERROR; if the errors name upstream servers, correct \
             `forward` in the Corefile: {edit}"
        ))
        .severity(Severity::Minor)
    });
}

/// What a server answered to each probe that asked it for a name outside of the cluster.
fn outside(reports: &ProbeReports, server: IpAddr) -> Vec<&RecordAnswer> {
    let answers = reports.0.values().filter_map(|report| report.answers.as_ref().ok());
    let lookups =
        answers.flat_map(|answers| &answers.dns).filter(|(at, dns)| at.ip() == server && dns.udp.answered > 0);
    let asked = lookups.filter_map(|(_, dns)| dns.record(Purpose::Upstream));
    asked.filter(|answer| answer.got != Err(Fault::Unanswered)).collect()
}

/// Its counter shows that all servers to which it forwards failed at once, at some time since it started; lookups show
/// whether they still do.
fn judge_upstreams(verdict: &mut Verdict, subject: &Subject, broken: u64, outside: &[&RecordAnswer], known: &Known) {
    if broken == 0 {
        return;
    }
    let is_dead = |answer: &&RecordAnswer| match &answer.got {
        Ok(records) => records.code == "SERVFAIL",
        Err(fault) => fault.is_silence(),
    };
    if outside.is_empty() || !outside.iter().all(is_dead) {
        return verdict.note_about(
            subject.clone(),
            format!("since it started, all servers that it forwards to failed at once {broken} times"),
        );
    }
    let said = |answer: &RecordAnswer| match &answer.got {
        Ok(records) => records.code.clone(),
        Err(fault) => fault.to_string(),
    };
    verdict.find(
        subject.clone(),
        Finding::new("a server that CoreDNS forwards to answers", "all servers that it forwards to are down")
            .evidence(outside.iter().map(|answer| format!("{subject}: {}: {}", answer.asked, said(answer))))
            .evidence([format!("{subject}: coredns_forward_healthcheck_broken_total is {broken}")])
            .impact("pods resolve no name outside of the cluster, and each such lookup fails or takes seconds")
            .fix(format!(
                "on the node of this pod, ask each server of `forward`: {}; and allow UDP and TCP 53 to one that answers, or \
                 name another: {}",
                known.ask, known.edit
            )),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::access_review::{Review, Who, testing as review};
    use crate::fact::facts::cluster_dns::DnsServer;
    use crate::fact::facts::pods::Container;
    use crate::fact::facts::probe_reports::answers::{Answers, DnsAnswer, Kind, Lookups, Record, Records};
    use crate::fact::facts::probe_reports::testing::reports;
    use crate::object_ref::testing::named;

    fn judged(container: Container, got: Got<DnsMetrics>) -> Verdict {
        judged_with(container, got, BTreeMap::new())
    }

    fn judged_with(
        container: Container,
        got: Got<DnsMetrics>,
        dns_answers: BTreeMap<SocketAddr, DnsAnswer>,
    ) -> Verdict {
        judged_by(container, got, dns_answers, Err(&Unobserved::Interrupted))
    }

    fn judged_by(
        container: Container,
        got: Got<DnsMetrics>,
        dns_answers: BTreeMap<SocketAddr, DnsAnswer>,
        reviews: Result<&CorednsReviews, &Unobserved>,
    ) -> Verdict {
        let server = DnsServer {
            address: [10, 244, 1, 2].into(),
            port: 53,
            ready: true,
            pod: Some("coredns-x".into()),
            node: Some("n1".into()),
        };
        let dns = ClusterDns {
            name: "kube-dns".into(),
            addresses: vec![[10, 96, 0, 10].into()],
            labels: BTreeMap::new(),
            ports: Vec::new(),
            servers: Ok(vec![server]),
            manager: None,
        };
        let pod = Pod {
            namespace: "kube-system".into(),
            name: "coredns-x".into(),
            addresses: vec!["10.244.1.2".into()],
            containers: vec![container],
            ..Pod::default()
        };
        let metrics = [("10.244.1.2:9153".parse().unwrap(), got)].into();
        let answers = Answers { dns_metrics: metrics, dns: dns_answers, ..Answers::default() };
        let reports = reports([("n1", answers)]);
        let pods = Pods([(named("kube-system/coredns-x"), pod)].into());
        judge(&dns, &pods, Ok(&reports), Err(&Unobserved::Interrupted), reviews)
    }

    #[test]
    fn refusals_of_an_account_that_has_its_rights_are_history() {
        let question = || Who::service_account("kube-system", "coredns").may("list", "services");
        let found = |review| {
            let reviews = CorednsReviews([("services".to_owned(), review)].into());
            let metrics = DnsMetrics { responses: 10, api_refusals: 3, ..DnsMetrics::default() };
            let verdict = judged_by(running(), Ok(metrics), BTreeMap::new(), Ok(&reviews));
            (verdict.findings(Severity::Major).len(), verdict.notes().len())
        };
        assert_eq!(found(review::allowed(question(), "RBAC: system:coredns")), (0, 1));
        assert_eq!(found(review::denied(question(), "")), (1, 0));
        assert_eq!(found(Review { question: question(), answer: Err(Unobserved::Interrupted) }), (1, 0));
    }

    fn running() -> Container {
        Container { name: "coredns".into(), restarts: 1, ..Container::default() }
    }

    fn well() -> DnsMetrics {
        DnsMetrics { responses: 1000, failures: 3, ..DnsMetrics::default() }
    }

    fn evidence(container: Container, metrics: DnsMetrics) -> Vec<String> {
        judged(container, Ok(metrics)).findings(Severity::Major).into_iter().flat_map(|found| found.evidence).collect()
    }

    #[test]
    fn a_steady_server_passes() {
        let verdict = judged(running(), Ok(well()));
        assert_eq!((verdict.observations(), verdict.findings(Severity::Major)), (6, vec![]));
    }

    #[test]
    fn a_server_that_crashes_is_found() {
        let crashing = Container { waiting: Some(CRASHING.into()), restarts: 4, ..running() };
        assert_eq!(evidence(crashing, well()), ["coredns-x: CrashLoopBackOff, 4 restarts"]);
        let ended = Container { failed: Some(2), restarts: 2, ..running() };
        assert_eq!(evidence(ended, well()), ["coredns-x: exit code 2, 2 restarts"]);
        assert!(evidence(Container { failed: Some(2), ..running() }, well()).is_empty(), "once may be an accident");
        assert_eq!(evidence(Container { restarts: 40, ..running() }, well()), ["coredns-x: 40 restarts"]);
    }

    #[test]
    fn what_a_server_counts_is_judged() {
        let metrics = DnsMetrics {
            panics: 1,
            failed_reloads: 2,
            api_refusals: 9,
            failures: 300,
            responses: 1000,
            upstreams_broken: 1,
        };
        assert_eq!(
            evidence(running(), metrics),
            ["9 requests", "coredns_panics_total is 1", "coredns_reload_failed_total is 2", "300 of 1000 answers",]
                .map(|counted| format!("Pod kube-system/coredns-x: {counted}"))
        );
        let few = DnsMetrics { failures: 20, responses: 30, ..DnsMetrics::default() };
        assert!(evidence(running(), few).is_empty());
    }

    #[test]
    fn upstream_servers_that_are_down_now_are_found_and_those_that_were_are_a_note() {
        let broken = DnsMetrics { upstreams_broken: 4, ..well() };
        let asked = Record { purpose: Purpose::Upstream, kind: Kind::A, name: "seaworthy-x7f4k.invalid.".into() };
        let judged = |got: Option<Got<Records>>| {
            let records = got.into_iter().map(|got| RecordAnswer { asked: asked.clone(), got }).collect();
            let udp = Lookups { asked: 5, answered: 5, ..Lookups::default() };
            let answer = DnsAnswer { udp, tcp: Lookups::default(), records };
            judged_with(running(), Ok(broken), [("10.244.1.2:53".parse().unwrap(), answer)].into())
        };
        let answered = |code: &str| Some(Ok(Records { code: code.into(), ..Records::default() }));
        for dead in [answered("SERVFAIL"), Some(Err(Fault::TimedOut))] {
            assert_eq!(
                crate::check::testing::seen_of(&judged(dead)),
                ["Pod kube-system/coredns-x: all servers that it forwards to are down"]
            );
        }
        for other in [answered("NXDOMAIN"), answered("REFUSED"), Some(Err(Fault::Unanswered)), None] {
            let verdict = judged(other);
            assert_eq!((verdict.findings(Severity::Major), crate::check::testing::notes(&verdict).len()), (vec![], 1));
        }
    }

    #[test]
    fn metrics_that_are_closed_are_a_note_and_those_out_of_reach_a_gap() {
        assert_eq!(crate::check::testing::notes(&judged(running(), Err(Fault::Refused))).len(), 1);
        assert_eq!(judged(running(), Err(Fault::TimedOut)).gaps().len(), 1);
        let serves = |answered| {
            let udp = Lookups { asked: 5, answered, ..Lookups::default() };
            [("10.244.1.2:53".parse().unwrap(), DnsAnswer { udp, tcp: Lookups::default(), records: Vec::new() })].into()
        };
        let verdict = judged_with(running(), Err(Fault::TimedOut), serves(5));
        assert_eq!(
            (crate::check::testing::notes(&verdict).len(), verdict.gaps().len()),
            (1, 0),
            "only its metrics are closed"
        );
        assert_eq!(judged_with(running(), Err(Fault::TimedOut), serves(0)).gaps().len(), 1);
    }
}
