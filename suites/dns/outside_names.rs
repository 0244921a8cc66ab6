//! # Pods resolve the external names that the profile expects
//!
//! ## Why
//! CoreDNS forwards names outside the cluster. If its upstream is blocked, or is a resolver without the company's own
//! zones, everything inside works but nothing outside resolves: image registries, databases, identity providers.
//!
//! ## Fix
//! Look at `forward` in the Corefile (`kubectl -n kube-system get configmap coredns -o yaml`) and query its servers
//! from the node of a CoreDNS pod (`dig @SERVER NAME`); the usual `/etc/resolv.conf` is that of the node when CoreDNS
//! started. Allow UDP and TCP 53 out to them. For single zones, add a server block that forwards them.
//!
//! ## Source
//! <https://kubernetes.io/docs/tasks/administer-cluster/dns-custom-nameservers/>; the profile, as `expect:
//! {external-names: {db.example.org: [192.0.2.10]}, unresolved-names: [example.com]}`. Two probes ask the DNS Service
//! and its pods.

use std::net::{IpAddr, SocketAddr};

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::corefile::Corefile;
use crate::fact::facts::expectations::Expectations;
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::{Fault, Got, Record, Records};
use crate::fact::facts::probe_reports::dns_questions::outside;
use crate::seen::Unobserved;
use crate::suites::dns::helpers::{config_map, upstreams};

crate::check!("DN-07", "outside-names", Minor, judge, builds_on: ["DN-03", "DN-04"]);

fn judge(
    reports: Result<&ProbeReports, &Unobserved>,
    expectations: &Expectations,
    corefile: Result<&Corefile, &Unobserved>,
) -> Verdict {
    if expectations.external_names.is_empty() && expectations.unresolved_names.is_empty() {
        return Verdict::not_applicable(
            "the profile expects no names outside of the cluster (external-names, unresolved-names)",
        );
    }
    let mut verdict = Verdict::new();
    let reports = match reports {
        Ok(reports) => reports,
        Err(why) => {
            verdict.unseen(Subject::cluster(), why);
            return verdict;
        }
    };
    for (name, addresses) in &expectations.external_names {
        let judged = each_server(&mut verdict, reports, &outside(name, addresses), |verdict, server, got| {
            let found: Vec<IpAddr> = got.iter().flat_map(Records::addresses).collect();
            let holds = !found.is_empty() && (addresses.is_empty() || found.iter().all(|one| addresses.contains(one)));
            verdict.expect(subject(server), holds, || {
                let (seen, impact) = match got {
                    Ok(_) if !found.is_empty() => ("it has another address".into(), "pods connect to another server"),
                    Ok(got) => (format!("{} without an address", got.code), "pods cannot reach it by this name"),
                    Err(fault) => (fault.to_string(), "pods cannot reach it by this name"),
                };
                let which = if addresses.is_empty() { "" } else { " to the addresses in the profile" };
                Finding::new(format!("{name} resolves{which}"), seen)
                    .evidence(addresses.iter().map(|address| format!("profile: {address}")))
                    .evidence(answered(server, got))
                    .impact(impact)
                    .fix(format!(
                        "on the node of a CoreDNS pod, ask the servers of `forward`: {}. Allow UDP and TCP 53 to them, or \
                         forward the zone to a server that has the name: {}",
                        upstreams::ask(corefile, name),
                        config_map::edit(corefile)
                    ))
            });
        });
        unasked(&mut verdict, name, judged);
    }
    for name in &expectations.unresolved_names {
        let judged = each_server(&mut verdict, reports, &outside(name, &[]), |verdict, server, got| {
            let resolved = got.as_ref().is_ok_and(|got| !got.data.is_empty());
            verdict.expect(subject(server), !resolved, || {
                Finding::new(format!("{name} does not resolve, as the profile requires"), "it resolves")
                    .evidence(answered(server, got))
                    .impact("pods can send data out of the cluster in DNS queries")
                    .fix(format!(
                        "forward only the zones that pods need, instead of `forward .` in the Corefile: {}; and block \
                         UDP and TCP 53 from pods to other resolvers",
                        config_map::edit(corefile)
                    ))
            });
        });
        unasked(&mut verdict, name, judged);
    }
    verdict
}

fn subject(server: &SocketAddr) -> Subject {
    Subject::cluster_object("DNS server", server.ip().to_string())
}

/// Judges the answer of every server that resolves the cluster's own names; returns how many there were.
fn each_server(
    verdict: &mut Verdict,
    reports: &ProbeReports,
    asked: &Record,
    mut judge: impl FnMut(&mut Verdict, &SocketAddr, &Got<Records>),
) -> usize {
    let mut judged = 0;
    for report in reports.0.values() {
        let Ok(answers) = &report.answers else { continue };
        for (server, answer) in answers.dns.iter().filter(|(_, answer)| answer.udp.answered > 0) {
            let Some(answer) = answer.records.iter().find(|answer| answer.asked == *asked) else { continue };
            judged += 1;
            match &answer.got {
                Err(fault @ Fault::Unanswered) => {
                    verdict.unseen(subject(server), &Unobserved::unreachable(asked.to_string(), fault));
                }
                got => judge(verdict, server, got),
            }
        }
    }
    judged
}

fn unasked(verdict: &mut Verdict, name: &str, judged: usize) {
    if judged == 0 {
        let cause = format!("no server that resolves the cluster's names was asked for {name}");
        verdict.unseen(Subject::cluster(), &Unobserved::invalid("the probes", cause));
    }
}

/// The records that a server answered.
fn answered(server: &SocketAddr, got: &Got<Records>) -> Vec<String> {
    got.iter().flat_map(|got| &got.data).map(|record| format!("{}: {record}", server.ip())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::probe_reports::answers::{Answers, DnsAnswer, Lookups, RecordAnswer};
    use crate::fact::facts::probe_reports::testing::reports;

    fn judged(got: Got<Records>, expectations: &Expectations) -> Verdict {
        let records = vec![RecordAnswer { asked: outside("db.example.org", &[]), got }];
        let udp = Lookups { asked: 1, answered: 1, ..Lookups::default() };
        let server: SocketAddr = "10.96.0.10:53".parse().unwrap();
        let answer = DnsAnswer { udp, tcp: Lookups::default(), records };
        let answers = Answers { dns: [(server, answer)].into(), ..Answers::default() };
        judge(Ok(&reports([("n1", answers)])), expectations, Err(&Unobserved::Interrupted))
    }

    fn seen(got: Got<Records>, expectations: &Expectations) -> Vec<String> {
        let findings = judged(got, expectations).findings(Severity::Minor).into_iter();
        findings.flat_map(|finding| [vec![finding.seen], finding.evidence].concat()).collect()
    }

    fn resolves(addresses: &[[u8; 4]]) -> Expectations {
        let addresses = addresses.iter().map(|address| IpAddr::from(*address)).collect();
        Expectations { external_names: [("db.example.org".to_owned(), addresses)].into(), ..Expectations::default() }
    }

    fn records(code: &str, data: &[&str]) -> Records {
        Records { code: code.into(), data: data.iter().map(ToString::to_string).collect(), ..Records::default() }
    }

    #[test]
    fn a_name_with_its_address_passes() {
        assert!(seen(Ok(records("NOERROR", &["a 192.0.2.10"])), &resolves(&[[192, 0, 2, 10]])).is_empty());
        assert!(seen(Ok(records("NOERROR", &["a 192.0.2.10"])), &resolves(&[])).is_empty());
    }

    #[test]
    fn a_name_without_its_address_is_found() {
        assert_eq!(seen(Ok(records("NXDOMAIN", &[])), &resolves(&[])), ["NXDOMAIN without an address"]);
        assert_eq!(
            seen(Ok(records("NOERROR", &["a 203.0.113.1"])), &resolves(&[[192, 0, 2, 10]])),
            ["it has another address", "10.96.0.10: a 203.0.113.1", "profile: 192.0.2.10"]
        );
        assert_eq!(seen(Err(Fault::TimedOut), &resolves(&[])), ["no answer"]);
    }

    #[test]
    fn a_name_that_must_not_resolve_is_found_when_it_does() {
        let sealed = Expectations { unresolved_names: vec!["db.example.org".into()], ..Expectations::default() };
        assert!(seen(Ok(records("NXDOMAIN", &[])), &sealed).is_empty());
        let resolved = seen(Ok(records("NOERROR", &["a 192.0.2.10"])), &sealed);
        assert_eq!(resolved, ["it resolves", "10.96.0.10: a 192.0.2.10"]);
    }

    #[test]
    fn without_expectations_nothing_is_judged_and_without_questions_there_is_a_gap() {
        assert!(judged(Ok(records("NXDOMAIN", &[])), &Expectations::default()).reason().is_some());
        let other = Expectations { unresolved_names: vec!["example.com".into()], ..Expectations::default() };
        assert_eq!(judged(Ok(records("NXDOMAIN", &[])), &other).gaps().len(), 1);
    }
}
