//! Services that DNS servers did not resolve for probes, although they exist.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::cluster_domain::ClusterDomain;
use super::probe_reports::ProbeReports;
use super::probe_reports::answers::{Purpose, Records};
use super::probe_reports::dns_questions::Names;
use super::service_exposure::ServiceExposure;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::object_ref::NamespacedName;
use crate::seen::{Access, Seen};

/// The Services whose names a server answered with NXDOMAIN, and which still existed after that, with the servers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct UnresolvedServices(pub BTreeMap<NamespacedName, Vec<IpAddr>>);

impl Observe for UnresolvedServices {
    type Needs<'a> = (&'a ProbeReports, &'a ServiceExposure, &'a ClusterDomain);
    const NAME: &'static str = "unresolved-services";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::cluster("", "services", &["list"])];

    async fn observe(Live { cluster, .. }: &Live, (reports, before, domain): Self::Needs<'_>) -> Seen<Self> {
        let mut unresolved = unresolved(reports, before, &domain.name);
        if !unresolved.is_empty() {
            // One that was deleted meanwhile does not resolve, and should not.
            let still = ServiceExposure::list(cluster).await?;
            unresolved.retain(|name, _| still.0.contains_key(name));
        }
        Ok(Self(unresolved))
    }
}

fn unresolved(
    reports: &ProbeReports,
    services: &ServiceExposure,
    domain: &str,
) -> BTreeMap<NamespacedName, Vec<IpAddr>> {
    let names: BTreeMap<String, &NamespacedName> =
        services.0.keys().map(|service| (Names::of_service(domain, service), service)).collect();
    let mut unresolved: BTreeMap<NamespacedName, Vec<IpAddr>> = BTreeMap::new();
    for answers in reports.0.values().filter_map(|report| report.answers.as_ref().ok()) {
        for (server, answer) in &answers.dns {
            let asked = answer.records.iter().filter(|answer| answer.asked.purpose == Purpose::Existing);
            for answer in asked.filter(|answer| answer.got.as_ref().is_ok_and(Records::is_nxdomain)) {
                if let Some(service) = names.get(&answer.asked.name) {
                    unresolved.entry((*service).clone()).or_default().push(server.ip());
                }
            }
        }
    }
    for servers in unresolved.values_mut() {
        servers.sort_unstable();
        servers.dedup();
    }
    unresolved
}

crate::observed!(UnresolvedServices);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::probe_reports::answers::{
        Answers, DnsAnswer, Got, Kind, Lookups, Record, RecordAnswer, Records,
    };
    use crate::fact::facts::probe_reports::testing::reports;
    use crate::fact::facts::service_exposure::Exposure;

    #[test]
    fn only_a_name_that_a_server_denies_is_unresolved() {
        let service = NamespacedName::new("shop", "web");
        let services = ServiceExposure([(service.clone(), Exposure::default())].into());
        let seen = |purpose, name: &str, code: &str| {
            let asked = Record { purpose, kind: Kind::A, name: name.into() };
            let got: Got<Records> = Ok(Records { code: code.into(), ..Records::default() });
            let records = vec![RecordAnswer { asked, got }];
            let answer = DnsAnswer { udp: Lookups::default(), tcp: Lookups::default(), records };
            let answers = Answers { dns: [("10.244.1.2:53".parse().unwrap(), answer)].into(), ..Answers::default() };
            let reports = reports([("n1", answers.clone()), ("n2", answers)]);
            unresolved(&reports, &services, "cluster.local")
        };
        let name = "web.shop.svc.cluster.local.";
        let denied = seen(Purpose::Existing, name, "NXDOMAIN");
        assert_eq!(denied, [(service, vec![[10, 244, 1, 2].into()])].into());
        assert!(seen(Purpose::Existing, name, "NOERROR").is_empty());
        assert!(seen(Purpose::Existing, "other.shop.svc.cluster.local.", "NXDOMAIN").is_empty());
        assert!(seen(Purpose::Nonexistent, name, "NXDOMAIN").is_empty());
    }
}
