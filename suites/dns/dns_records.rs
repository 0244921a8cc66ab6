//! # Every DNS server follows the specification: SRV, PTR, CNAME, headless Services, long answers and NXDOMAIN
//!
//! ## Why
//! Programs depend on more than addresses: clustered databases find their members by the name of a headless Service and
//! by SRV records, mail and Kerberos by PTR. A server that answers NXDOMAIN for a type that a name does not have (AAAA
//! above all) makes clients with musl fail on names that exist. One that answers every name hides typing errors and
//! breaks search lists.
//!
//! ## Fix
//! Look at the plugin kubernetes in the Corefile (`kubectl -n kube-system get configmap coredns -o yaml`): it must
//! serve the cluster's domain and, for PTR, `in-addr.arpa ip6.arpa`; plugins `template`, `rewrite` and `autopath` in
//! front of it change its answers. When one server differs from the others, restart it: `kubectl -n kube-system delete
//! pod POD`.
//!
//! ## Source
//! <https://github.com/kubernetes/dns/blob/master/docs/specification.md>; RFC 2308 and RFC 8020 (NXDOMAIN is for names,
//! not for types); kubernetes/kubernetes `test/e2e/network/dns.go`. Two probes ask every server about the API, about
//! themselves, and about a name that does not exist. They also ask about a Service of so many ports that the answer
//! does not fit into a datagram: it is truncated there (RFC 1035, section 4.1.1, TC), and whole over TCP.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::helpers::assumed_domain::is_certain;
use crate::check::finding::Difference;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::cluster_domain::ClusterDomain;
use crate::fact::facts::corefile::Corefile;
use crate::fact::facts::kubernetes_service::KubernetesService;
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::{DnsAnswer, Fault, Got, MANY_PORTS, Purpose, RecordAnswer, Records};
use crate::seen::Unobserved;
use crate::suites::dns::helpers::config_map;

crate::check!(
    "DN-06",
    "dns-records",
    Minor,
    judge,
    builds_on: ["DN-02", "DN-03", "DN-04", "DN-08", "DN-10", "SN-09"],
    blocked_by: ["CP-08", "KL-16"]
);

fn judge(
    reports: &ProbeReports,
    service: &KubernetesService,
    domain: &ClusterDomain,
    corefile: Result<&Corefile, &Unobserved>,
) -> Verdict {
    let mut verdict = Verdict::new();
    let probes: BTreeMap<IpAddr, &str> =
        reports.0.iter().filter_map(|(node, report)| Some((report.address?, node.as_str()))).collect();
    if !is_certain(&mut verdict, domain, reports) {
        return verdict;
    }
    let mut asked = 0;
    for (node, report) in &reports.0 {
        let Some(answers) = verdict.seen(|| Subject::node(node), &report.answers) else { continue };
        let late: BTreeSet<&str> = reports
            .0
            .iter()
            .filter(|(_, probe)| reports.came_too_late(&probe.pod, node))
            .map(|(late, _)| late.as_str())
            .collect();
        let expected = Expected { service, domain: &domain.name, probes: &probes, late, corefile };
        // A server that does not even resolve the API's name is judged by DN-04.
        for (server, answer) in answers.dns.iter().filter(|(_, answer)| answer.udp.answered > 0) {
            asked += answer.records.len();
            expected.judge(&mut verdict, server, answer);
        }
    }
    if asked == 0 && verdict.saw_everything() {
        let why =
            Unobserved::invalid("the probes", "no server that resolves the API's name was asked for other records");
        verdict.unseen(Subject::cluster(), &why);
    }
    verdict
}

/// What servers should answer.
struct Expected<'a> {
    service: &'a KubernetesService,
    domain: &'a str,
    /// The node of each probe, by its address.
    probes: &'a BTreeMap<IpAddr, &'a str>,
    /// The nodes of those that may have begun to serve after the question.
    late: BTreeSet<&'a str>,
    corefile: Result<&'a Corefile, &'a Unobserved>,
}

impl Expected<'_> {
    /// The command that edits the Corefile.
    fn edit(&self) -> String {
        config_map::edit(self.corefile)
    }

    /// What to do about a record that the plugin kubernetes has by itself.
    fn rewritten(&self) -> String {
        format!(
            "in the Corefile, look for `template`, `rewrite` or `autopath`, which change such answers: {}. If only one \
             server is listed, delete its pod, which is created again: kubectl -n kube-system get pods -l \
             k8s-app=kube-dns -o wide",
            self.edit()
        )
    }

    fn judge(&self, verdict: &mut Verdict, server: &SocketAddr, answer: &DnsAnswer) {
        let subject = || Subject::cluster_object("DNS server", server.ip().to_string());
        for answer in &answer.records {
            if is_of_another_check(answer) {
                continue;
            }
            if let Err(fault @ Fault::Unanswered) = &answer.got {
                verdict.unseen(subject(), &Unobserved::unreachable(answer.asked.to_string(), fault));
            } else if has_no_long_answer(answer) {
                verdict.note_about(subject(), "it has no long answer: whether long answers arrive was not checked");
            } else if let Some((holds, finding)) = self.of(answer) {
                let records = answer.got.iter().flat_map(|got| &got.data);
                let records = records.map(|record| format!("{}: {record}", server.ip()));
                verdict.expect(subject(), holds, || finding.evidence(records));
            }
        }
    }

    /// Whether an answer is as expected, and what is wrong if not. None of what is not judged here.
    fn of(&self, answer: &RecordAnswer) -> Option<(bool, Difference)> {
        let RecordAnswer { asked, got } = answer;
        let api = format!("kubernetes.default.svc.{}.", self.domain);
        let any = |holds: &dyn Fn(&String) -> bool| got.as_ref().is_ok_and(|got| got.data.iter().any(holds));
        let port = self.service.ports.first().map_or(443, |port| port.1);
        let (wanted, holds, severity, impact, fix) = match asked.purpose {
            Purpose::LongAnswer => (
                format!("{MANY_PORTS} records, over TCP if a datagram does not hold them"),
                got.as_ref().is_ok_and(|got| got.data.len() == usize::from(MANY_PORTS)),
                Severity::Major,
                "answers that are too long for a datagram do not arrive: names with many addresses do not resolve",
                "allow TCP port 53 from the nodes to this server, as UDP is: look for firewalls and network policies; \
                 DN-04 lists the nodes that cannot use TCP"
                    .to_owned(),
            ),
            Purpose::ApiPort => (
                format!("port {port} of {api}"),
                any(&|record| record.ends_with(&format!(" {port} {api}"))),
                Severity::Minor,
                "clients that look up ports by name (SRV) do not find them",
                self.rewritten(),
            ),
            Purpose::ApiAddress => (
                api.clone(),
                any(&|record| *record == format!("ptr {api}")),
                Severity::Minor,
                "programs that look up the name of an address fail or wait",
                format!(
                    "name in-addr.arpa and ip6.arpa in the line of the plugin kubernetes and in its `fallthrough`: {}",
                    self.edit()
                ),
            ),
            Purpose::Alias => (
                format!("an alias of {api}"),
                any(&|record| *record == format!("cname {api}")),
                Severity::Minor,
                "Services of type ExternalName do not work",
                self.rewritten(),
            ),
            Purpose::Version => (
                "1.1.0, the version of the specification".into(),
                any(&|record| record.contains("1.1.0")),
                Severity::Info,
                "the server may follow another version of the specification",
                "none is needed for a server other than CoreDNS; upgrade CoreDNS otherwise: kubectl -n kube-system get \
                 pods -l k8s-app=kube-dns -o jsonpath='{.items[*].spec.containers[*].image}'"
                    .to_owned(),
            ),
            Purpose::OtherFamily => (
                "NOERROR, with or without an address".into(),
                got.as_ref().is_ok_and(|got| got.code == "NOERROR"),
                Severity::Major,
                "clients with the C library musl treat names without such an address as unknown",
                format!(
                    "in the Corefile, delete the `template` that answers such queries with NXDOMAIN, or let it answer \
                     with rcode NOERROR: {}",
                    self.edit()
                ),
            ),
            Purpose::Nonexistent => (
                "NXDOMAIN".into(),
                got.as_ref().is_ok_and(|got| got.is_nxdomain() && got.data.is_empty()),
                Severity::Minor,
                "search lists stop at names that do not exist, and clients connect to the wrong server",
                format!(
                    "in the Corefile, delete the `template` or `rewrite` that answers every name, and limit \
                     `fallthrough` of the plugin kubernetes to in-addr.arpa ip6.arpa: {}",
                    self.edit()
                ),
            ),
            Purpose::Probes => {
                let missing = self.missing(got);
                if !missing.is_empty() && missing.is_subset(&self.late) {
                    // Nothing is wrong, and nothing was seen to be right.
                    return None;
                }
                (
                    format!("the addresses of all {} probes", self.probes.len()),
                    missing.is_empty(),
                    Severity::Minor,
                    "StatefulSet members miss some of their peers",
                    "check that CoreDNS may watch EndpointSlices (DN-08). If only one server is listed, delete its \
                     pod, which is created again: kubectl -n kube-system get pods -l k8s-app=kube-dns -o wide"
                        .to_owned(),
                )
            }
            Purpose::Outside | Purpose::Upstream | Purpose::Existing => return None,
        };
        // What did not arrive says nothing about the server's records, except where its length is in question.
        let is_lost = got.is_err() && asked.purpose != Purpose::LongAnswer;
        let fix = if is_lost { "the answer was lost: see DN-04, and CN-04 for packet loss".into() } else { fix };
        let finding = Finding::new(format!("{asked} returns {wanted}"), summary(got));
        let finding = if asked.purpose == Purpose::OtherFamily && !is_lost {
            // Such an answer is configured: it is the same whatever endpoints the server has.
            finding.comes_from(config_map::subject(self.corefile))
        } else {
            finding.explains_only(&[])
        };
        Some((holds, finding.impact(impact).fix(fix).severity(severity)))
    }

    fn missing<'a>(&'a self, got: &Got<Records>) -> BTreeSet<&'a str> {
        let listed: BTreeSet<IpAddr> = got.iter().flat_map(Records::addresses).collect();
        self.probes.iter().filter(|(address, _)| !listed.contains(address)).map(|(_, node)| *node).collect()
    }
}

/// Names outside of the cluster belong to DN-07 and DN-09, and those of other Services to DN-10.
fn is_of_another_check(answer: &RecordAnswer) -> bool {
    matches!(answer.asked.purpose, Purpose::Outside | Purpose::Upstream | Purpose::Existing)
}

/// Whether a server has no long answer to the question for one, as those other than CoreDNS may not.
fn has_no_long_answer(answer: &RecordAnswer) -> bool {
    let is_short = |got: &Records| !got.truncated && got.data.len() < usize::from(MANY_PORTS);
    answer.asked.purpose == Purpose::LongAnswer && answer.got.as_ref().is_ok_and(is_short)
}

/// An answer in a few words.
fn summary(got: &Got<Records>) -> String {
    match got {
        Ok(got) if got.data.is_empty() => format!("{} without a record", got.code),
        Ok(got) if got.data.len() == 1 => format!("{} with 1 record", got.code),
        Ok(got) => format!("{} with {} records", got.code, got.data.len()),
        Err(fault) => fault.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::cluster_domain::testing::cluster_local;
    use crate::fact::facts::probe_reports::answers::{Answers, Kind, Lookups, Record, Times};
    use crate::fact::facts::probe_reports::{ProbeReport, testing};

    const ADDRESSES: [[u8; 4]; 2] = [[10, 244, 1, 9], [10, 244, 2, 9]];

    const LONG: (Purpose, Kind, &str) =
        (Purpose::LongAnswer, Kind::Srv, "seaworthy-x7f4k-many.seaworthy-x7f4k.svc.cluster.local.");

    fn answer((purpose, kind, name): (Purpose, Kind, &str), got: Got<Records>) -> RecordAnswer {
        RecordAnswer { asked: Record { purpose, kind, name: name.into() }, got }
    }

    fn records() -> Vec<RecordAnswer> {
        let api = "kubernetes.default.svc.cluster.local.";
        let own = "seaworthy-x7f4k.seaworthy-x7f4k.svc.cluster.local.";
        let is = |code: &str, data: &[&str]| {
            Ok(Records {
                code: code.into(),
                data: data.iter().map(ToString::to_string).collect(),
                ..Records::default()
            })
        };
        [
            (
                (Purpose::ApiPort, Kind::Srv, "_https._tcp.kubernetes.default.svc.cluster.local."),
                is("NOERROR", &["srv 0 100 443 kubernetes.default.svc.cluster.local."]),
            ),
            ((Purpose::OtherFamily, Kind::Aaaa, api), is("NOERROR", &[])),
            ((Purpose::Nonexistent, Kind::A, "seaworthy-nobody.default.svc.cluster.local."), is("NXDOMAIN", &[])),
            ((Purpose::Version, Kind::Txt, "dns-version.cluster.local."), is("NOERROR", &["txt \"1.1.0\""])),
            (
                (Purpose::Alias, Kind::Cname, "seaworthy-x7f4k-alias.seaworthy-x7f4k.svc.cluster.local."),
                is("NOERROR", &["cname kubernetes.default.svc.cluster.local."]),
            ),
            (
                (Purpose::ApiAddress, Kind::Ptr, "1.0.96.10.in-addr.arpa."),
                is("NOERROR", &["ptr kubernetes.default.svc.cluster.local."]),
            ),
            ((Purpose::Probes, Kind::A, own), is("NOERROR", &["a 10.244.1.9", "a 10.244.2.9"])),
            ((Purpose::Outside, Kind::A, "outside.example."), is("NXDOMAIN", &[])),
        ]
        .into_iter()
        .map(|(asked, got)| answer(asked, got))
        .collect()
    }

    /// Replaces the answer to the question of this purpose.
    fn replace(records: &mut [RecordAnswer], purpose: Purpose, got: Got<Records>) {
        records.iter_mut().find(|answer| answer.asked.purpose == purpose).unwrap().got = got;
    }

    fn judged(change: impl Fn(&mut Vec<RecordAnswer>)) -> Verdict {
        judged_at([None, None], change)
    }

    /// With these times of the two probes.
    fn judged_at(times: [Option<Times>; 2], change: impl Fn(&mut Vec<RecordAnswer>)) -> Verdict {
        let report = |(i, address): (usize, [u8; 4])| {
            let mut records = records();
            change(&mut records);
            let udp = Lookups { asked: 1, answered: 1, ..Lookups::default() };
            let answer = DnsAnswer { udp, tcp: Lookups::default(), records };
            let server: SocketAddr = "10.96.0.10:53".parse().unwrap();
            let answers = Answers { dns: [(server, answer)].into(), ..Answers::default() };
            let report = testing::report(&format!("p{i}"), Ok(answers));
            (format!("n{i}"), ProbeReport { address: Some(address.into()), times: times[i], ..report })
        };
        let service = KubernetesService {
            kind: "ClusterIP".into(),
            cluster_ip: [10, 96, 0, 1].into(),
            cluster_ips: Vec::new(),
            labels: Vec::new(),
            has_selector: false,
            ports: vec![("https".into(), 443, "6443".into())],
        };
        let reports = ProbeReports(ADDRESSES.into_iter().enumerate().map(report).collect());
        judge(&reports, &service, &cluster_local(), Err(&Unobserved::Interrupted))
    }

    fn changed(purpose: Purpose, got: &Got<Records>) -> Vec<String> {
        let verdict = judged(|records| replace(records, purpose, got.clone()));
        let findings = verdict.findings(Severity::Minor).into_iter();
        findings.flat_map(|finding| [vec![finding.seen], finding.evidence].concat()).collect()
    }

    fn empty(code: &str) -> Records {
        Records { code: code.into(), data: Vec::new(), ..Records::default() }
    }

    #[test]
    fn records_of_the_specification_pass() {
        let verdict = judged(|_| {});
        assert_eq!((verdict.observations(), verdict.findings(Severity::Minor)), (14, vec![]));
    }

    #[test]
    fn each_wrong_record_is_one_finding_of_all_probes() {
        assert_eq!(changed(Purpose::ApiPort, &Ok(empty("NXDOMAIN"))), ["NXDOMAIN without a record"]);
        assert_eq!(changed(Purpose::ApiAddress, &Err(Fault::TimedOut)), ["no answer"]);
        assert_eq!(changed(Purpose::OtherFamily, &Ok(empty("NXDOMAIN"))), ["NXDOMAIN without a record"]);
        let wildcard = Ok(Records { code: "NOERROR".into(), data: vec!["a 192.0.2.1".into()], ..Records::default() });
        assert_eq!(changed(Purpose::Nonexistent, &wildcard), ["NOERROR with 1 record", "10.96.0.10: a 192.0.2.1"]);
        let some = Ok(Records { code: "NOERROR".into(), data: vec!["a 10.244.1.9".into()], ..Records::default() });
        assert_eq!(changed(Purpose::Probes, &some), ["NOERROR with 1 record", "10.96.0.10: a 10.244.1.9"]);
    }

    #[test]
    fn what_there_was_no_time_to_ask_is_a_gap() {
        let verdict = judged(|records| replace(records, Purpose::Alias, Err(Fault::Unanswered)));
        assert_eq!((verdict.observations(), verdict.gaps().len()), (12, 1));
    }

    #[test]
    fn without_an_answer_to_any_question_there_is_a_gap() {
        assert_eq!(judged(Vec::clear).gaps().len(), 1);
    }

    #[test]
    fn a_long_answer_must_be_whole() {
        let with = |got: Got<Records>| {
            let verdict = judged(|records| records.push(answer(LONG, got.clone())));
            let severities: Vec<_> =
                verdict.findings(Severity::Minor).into_iter().map(|found| found.severity).collect();
            (verdict.observations() - judged(|_| ()).observations(), severities)
        };
        let of = |count: usize| Ok(Records { data: vec!["srv".into(); count], truncated: true, ..empty("NOERROR") });
        let whole = with(of(10));
        assert!(whole.0 > 0 && whole.1.is_empty());
        for few in [Vec::new(), vec!["srv 10 100 0 x.".to_owned()]] {
            let short = Ok(Records { data: few, ..empty("NOERROR") });
            assert_eq!(with(short), (0, vec![]), "a server need not return all ports at once");
        }
        for got in [of(6), Err(Fault::TimedOut)] {
            assert_eq!(with(got).1, [Severity::Major]);
        }
    }

    #[test]
    fn a_probe_that_began_after_the_question_is_not_missed() {
        let at = |served_ms, answered_ms| Some(Times { served_ms, answered_ms });
        let without_the_second = |records: &mut Vec<RecordAnswer>| {
            let one = Records { code: "NOERROR".into(), data: vec!["a 10.244.1.9".into()], ..Records::default() };
            replace(records, Purpose::Probes, Ok(one));
        };
        let late = judged_at([at(900, 9_800), at(15_000, 16_000)], without_the_second);
        let all = judged(|_| ()).observations();
        assert!(late.findings(Severity::Minor).is_empty() && late.observations() < all);
        assert_eq!(judged_at([at(900, 9_800), at(1000, 9_900)], without_the_second).findings(Severity::Minor).len(), 1);
    }
}
