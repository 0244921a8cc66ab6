//! # Services that exist resolve at every DNS server
//!
//! ## Why
//! A client that looks a Service up before it is created makes the server remember that the name does not exist. With a
//! long `denial` in the plugin cache, or with a server that has lost its watch of the API, the Service is not found for
//! as long: by some pods and not by others, and nothing is wrong with the Service.
//!
//! ## Fix
//! `kubectl -n kube-system rollout restart deployment coredns` makes the servers forget. Then remove the third and fourth
//! number of `denial` from the plugin cache in the Corefile (`kubectl -n kube-system edit configmap coredns`): kubeadm
//! writes `cache 30`. If a server that has just been started has the name and an old one has not, the old one has lost
//! the API (DN-08, DN-09).
//!
//! ## Source
//! <https://coredns.io/plugins/cache/> (`denial CAPACITY [TTL] [MINTTL]`), RFC 2308. Two probes ask every server for some
//! Services, others in each run. A Service that was deleted during the run does not count.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::corefile::Corefile;
use crate::fact::facts::dns_deployment::DnsDeployment;
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::{Fault, Purpose};
use crate::fact::facts::unresolved_services::UnresolvedServices;
use crate::seen::Unobserved;
use crate::suites::dns::helpers::config_map;

crate::check!("DN-10", "existing-services", Major, judge, builds_on: ["DN-04"], blocked_by: ["KL-16"]);

fn judge(
    reports: &ProbeReports,
    unresolved: &UnresolvedServices,
    corefile: Result<&Corefile, &Unobserved>,
    deployment: Result<&DnsDeployment, &Unobserved>,
) -> Verdict {
    let mut verdict = Verdict::new();
    let mut asked: BTreeSet<&str> = BTreeSet::new();
    for answers in reports.0.values().filter_map(|report| report.answers.as_ref().ok()) {
        for (server, answer) in &answers.dns {
            for answer in answer.records.iter().filter(|answer| answer.asked.purpose == Purpose::Existing) {
                asked.insert(&answer.asked.name);
                match &answer.got {
                    Ok(got) if got.is_nxdomain() => {}
                    Ok(got) if got.code == "NOERROR" => verdict.confirm(),
                    Ok(got) => {
                        let why = Unobserved::invalid(answer.asked.to_string(), &got.code);
                        verdict.unseen(subject(server.ip()), &why);
                    }
                    // A server that is out of reach is the subject of DN-04.
                    Err(Fault::Unanswered) => {}
                    Err(fault) => {
                        let why = Unobserved::unreachable(answer.asked.to_string(), fault);
                        verdict.unseen(subject(server.ip()), &why);
                    }
                }
            }
        }
    }
    if asked.is_empty() {
        let why = Unobserved::invalid("the probes", "none of them asked for a Service that existed before");
        verdict.unseen(Subject::cluster(), &why);
        return verdict;
    }
    for (service, servers) in &unresolved.0 {
        verdict.find_together(
            [Subject::object("Service", &*service.namespace, &*service.name)],
            servers.len(),
            Finding::new("the Service exists, and its name resolves", "a DNS server returns NXDOMAIN")
                .evidence(servers.iter().map(|server| format!("{service}: NXDOMAIN from {server}")))
                .impact("clients whose lookups reach this server cannot connect to the Service")
                .fix(format!(
                    "kubectl -n kube-system rollout restart deployment {}; to expire negative answers sooner, replace the \
                     cache block with `cache 30`: {}",
                    deployment.map_or("coredns", |deployment| &deployment.name),
                    config_map::edit(corefile)
                )),
        );
    }
    for name in asked {
        verdict.note_about(service(name), "its name was looked up");
    }
    verdict
}

/// The Service with a DNS name.
fn service(name: &str) -> Subject {
    let mut labels = name.split('.');
    match (labels.next(), labels.next()) {
        (Some(service), Some(namespace)) => Subject::object("Service", namespace, service),
        _ => Subject::cluster_object("DNS name", name),
    }
}

fn subject(server: IpAddr) -> Subject {
    Subject::cluster_object("DNS server", server.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::seen_of;
    use crate::fact::facts::probe_reports::answers::{
        Answers, DnsAnswer, Got, Kind, Lookups, Record, RecordAnswer, Records,
    };
    use crate::fact::facts::probe_reports::testing::reports;
    use crate::object_ref::testing::named;

    fn judged(got: &[Got<Records>], unresolved: &UnresolvedServices) -> Verdict {
        let asked = Record { purpose: Purpose::Existing, kind: Kind::A, name: "web.shop.svc.cluster.local.".into() };
        let servers = got.iter().zip(1..).map(|(got, last)| {
            let records = vec![RecordAnswer { asked: asked.clone(), got: got.clone() }];
            let answer = DnsAnswer { udp: Lookups::default(), tcp: Lookups::default(), records };
            (([10, 244, 1, last], 53).into(), answer)
        });
        let answers = Answers { dns: servers.collect(), ..Answers::default() };
        judge(&reports([("n1", answers)]), unresolved, Err(&Unobserved::Interrupted), Err(&Unobserved::Interrupted))
    }

    #[expect(clippy::unnecessary_wraps, reason = "a server may not answer")]
    fn answer(code: &str) -> Got<Records> {
        Ok(Records { code: code.into(), ..Records::default() })
    }

    #[test]
    fn a_service_that_a_server_denies_is_found() {
        let denied = UnresolvedServices([(named("shop/web"), vec![[10, 244, 1, 2].into()])].into());
        let verdict = judged(&[answer("NOERROR"), answer("NXDOMAIN")], &denied);
        assert_eq!(seen_of(&verdict), ["Service shop/web: a DNS server returns NXDOMAIN"]);
        assert_eq!(verdict.observations(), 2);
    }

    #[test]
    fn a_service_that_was_deleted_meanwhile_does_not_count() {
        let verdict = judged(&[answer("NOERROR"), answer("NXDOMAIN")], &UnresolvedServices::default());
        assert_eq!((verdict.observations(), seen_of(&verdict)), (1, vec![]));
    }

    #[test]
    fn what_did_not_answer_or_was_not_asked_is_inconclusive() {
        let none = UnresolvedServices::default();
        assert_eq!(judged(&[answer("SERVFAIL"), Err(Fault::TimedOut)], &none).gaps().len(), 2);
        assert_eq!(judged(&[], &none).gaps().len(), 1);
    }
}
