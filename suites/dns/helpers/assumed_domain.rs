//! The cluster's domain where nothing shows it.

use crate::check::{Subject, Verdict};
use crate::fact::facts::cluster_domain::{ClusterDomain, DomainSource};
use crate::fact::facts::probe_reports::ProbeReports;
use crate::seen::Unobserved;

/// Whether names in the domain can be judged: it is known, or a server answered for a name in the assumed one. A wrong
/// domain would look like a server that fails.
pub(crate) fn is_certain(verdict: &mut Verdict, domain: &ClusterDomain, reports: &ProbeReports) -> bool {
    let DomainSource::Assumed { because } = &domain.source else { return true };
    verdict.note(format!("the cluster's domain is assumed to be {domain}: {because}"));
    let answers = reports.0.values().filter_map(|report| report.answers.as_ref().ok());
    let answered = answers.flat_map(|answers| answers.dns.values()).any(|server| server.udp.answered > 0);
    if !answered {
        let cause = format!("{domain} is only assumed, and no server answered for a name in it");
        verdict.unseen(Subject::cluster(), &Unobserved::invalid("the cluster's domain", cause));
    }
    answered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::cluster_domain::testing::cluster_local;
    use crate::fact::facts::probe_reports::answers::{Answers, DnsAnswer, Lookups};
    use crate::fact::facts::probe_reports::testing::reports;

    fn certain(source: DomainSource, answered: u32) -> (bool, Verdict) {
        let server =
            DnsAnswer { udp: Lookups { answered, ..Lookups::default() }, tcp: Lookups::default(), records: [].into() };
        let answers = Answers { dns: [("10.96.0.10:53".parse().unwrap(), server)].into(), ..Answers::default() };
        let mut verdict = Verdict::new();
        let certain =
            is_certain(&mut verdict, &ClusterDomain { source, ..cluster_local() }, &reports([("n1", answers)]));
        (certain, verdict)
    }

    #[test]
    fn an_assumed_domain_is_judged_only_where_a_server_answered_for_it() {
        let (is_certain, verdict) = certain(DomainSource::Corefile, 0);
        assert!(is_certain && verdict.saw_everything());
        let assumed = || DomainSource::Assumed { because: "not permitted".into() };
        let (is_certain, verdict) = certain(assumed(), 1);
        assert!(is_certain && verdict.saw_everything());
        let (is_certain, verdict) = certain(assumed(), 0);
        assert_eq!((is_certain, verdict.gaps().len()), (false, 1));
    }
}
