//! # Pods on every node reach the API server at its ClusterIP, with a certificate that they can verify
//!
//! ## Why
//! Every operator, DNS server and sidecar reaches the API this way. A broken proxy or network on one node, a
//! certificate without the Service address, or an egress rule stops them one node at a time.
//!
//! ## Fix
//! On the node that is named: is kube-proxy there (`kubectl -n kube-system get pods -o wide -l k8s-app=kube-proxy`), does
//! its rule exist (`iptables-save | grep KUBERNETES` or `nft list table ip kube-proxy`), does anything drop the address?
//! When one API server of several answers no pod, something on the way to its own address does not let pods through.
//! When the issuer is not trusted, the pods' `ca.crt` is at fault, and PK-06 shows why. When the certificate lacks a name: add it to `apiServer.certSANs`, move `apiserver.crt` and `apiserver.key` away
//! and run `kubeadm init phase certs apiserver --config kubeadm.yaml`, as PK-01 shows.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/util/pkiutil/pki_helpers.go` (GetAPIServerAltNames), `pkg/kubelet/envvars`;
//! <https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/>. The certificate is verified with the pod's own
//! `ca.crt`, for the address and for both names, on every connection.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::certificate::Distrust;
use crate::check::{Finding, Severity, Subject, Verdict, names};
use crate::fact::facts::kubernetes_service::KubernetesService;
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::{Answers, ApiAnswer, Fault};
use crate::seen::Unobserved;
use crate::suites::shortfall;

crate::check!("SN-04", "api-from-pods", Critical, judge);

/// How to mend pods' ca.crt.
const OF_ANOTHER_CA: &str = "the pods' ca.crt must be that of the CA that signed the API servers' certificates: see PK-06, and \
     --root-ca-file in /etc/kubernetes/manifests/kube-controller-manager.yaml";
const TURNED_AWAY: &str = "every client in a pod that verifies it is turned away";
const SO: &str = "pods there cannot use the Kubernetes API";

fn judge(reports: &ProbeReports, service: &KubernetesService) -> Verdict {
    let mut verdict = Verdict::new();
    for (node, report) in &reports.0 {
        let Some(answers) = verdict.seen(|| Subject::node(node), &report.answers) else { continue };
        environment(&mut verdict, node, answers, service);
        match answers.api() {
            Ok(api) => connections(&mut verdict, node, api, service),
            Err(why) => verdict.unseen(Subject::node(node), &why),
        }
    }
    let hosts: BTreeSet<&str> =
        reports.0.values().filter_map(|report| host_name(report.answers.as_ref().ok()?)).collect();
    if !hosts.is_empty() {
        verdict.note(format!("KUBERNETES_SERVICE_HOST is {} in pods: admission has set it", names(hosts)));
    }
    verdict
}

/// What KUBERNETES_SERVICE_HOST says if it is no address. The kubelet writes one; a name is what an admission webhook of the
/// platform writes over it, as Gardener's.
fn host_name(answers: &Answers) -> Option<&str> {
    answers.api_host().ok()?.filter(|host| host.parse::<IpAddr>().is_err())
}

fn environment(verdict: &mut Verdict, node: &str, answers: &Answers, service: &KubernetesService) {
    let expected = service.cluster_ip.to_string();
    let seen = match answers.api_host() {
        Ok(host) => host.unwrap_or("nothing"),
        Err(why) => return verdict.unseen(Subject::node(node), &why),
    };
    if host_name(answers).is_some() {
        return;
    }
    verdict.expect(Subject::node(node), seen == expected, || {
        Finding::new(
            format!("KUBERNETES_SERVICE_HOST is {expected}, the address of Service default/kubernetes"),
            format!("it is {seen}"),
        )
        .impact("clients in pods dial another address than the Service's")
    });
}

fn connections(verdict: &mut Verdict, node: &str, api: &ApiAnswer, service: &KubernetesService) {
    let address = service.cluster_ip;
    let deaf = api.instances.iter().filter_map(|(instance, got)| Some((instance, got.as_ref().err()?)));
    let shortfall = shortfall::severity(api.tried - api.connected, api.tried);
    let some = api.connected > 0 && shortfall.is_some();
    // Where each instance was met by its certificate, none of them is closed to pods: it was too slow now and then.
    let all_met = api.serials.len() >= api.instances.len();
    let mut is_explained = false;
    for (instance, fault) in deaf.filter(|_| some && !all_met) {
        is_explained = true;
        verdict.expect(Subject::node(node), false, || {
            Finding::new(
                format!("connections to {address} are answered, whichever API server they are led to"),
                format!("{instance} answers none: {fault}"),
            )
            .impact("a part of all that pods there ask of the Kubernetes API fails")
            .fix(format!("see what drops or refuses connections from pods to {instance} (a firewall of its node, a rule of the network)"))
        });
    }
    if !is_explained {
        verdict.expect(Subject::node(node), shortfall.is_none(), || {
            let fault = api.fault.as_ref().map_or_else(|| "no reason".into(), ToString::to_string);
            let lost = api.tried - api.connected;
            let seen = match api.connected {
                0 => format!("no connection to {address} gets a certificate: {fault}"),
                _ => format!("{lost} of {} connections to {address} get no certificate: {fault}", api.tried),
            };
            Finding::new(format!("{} connections to {address} are answered", api.tried), seen)
                .impact(SO)
                .severity(shortfall.unwrap_or(Severity::Critical))
        });
    }
    if api.connected == 0 {
        // Without a connection there is no certificate to verify and nobody to ask.
        return;
    }
    if api.names.is_empty() {
        // A probe that has no CA says so in place of an answer, and its connections prove nothing more.
        let why = api.version.as_ref().err().map_or_else(|| "no name was asked for".into(), ToString::to_string);
        return verdict.unseen(Subject::node(node), &Unobserved::invalid("the CA that pods trust", why));
    }
    if let Some(distrust) = api.names.values().find_map(of_another_ca) {
        // No name is valid then, and no request gets through: one cause, told once.
        return verdict.find(
            Subject::node(node),
            Finding::new(
                format!("the certificate at {address} is of the CA in the pods' ca.crt"),
                distrust.to_string(),
            )
            .impact(TURNED_AWAY)
            .fix(OF_ANOTHER_CA),
        );
    }
    for (name, verified) in &api.names {
        verdict.expect(Subject::node(node), verified.is_ok(), || {
            let distrust = verified.as_ref().err().map(ToString::to_string).unwrap_or_default();
            Finding::new(format!("the certificate at {address} is valid for {name} with the pods' ca.crt"), distrust)
                .impact(TURNED_AWAY)
        });
    }
    if let Err(fault @ Fault::Unanswered) = &api.version {
        let why = Unobserved::unreachable(format!("GET /version at {address}"), fault);
        return verdict.unseen(Subject::node(node), &why);
    }
    verdict.expect(Subject::node(node), api.version == Ok(200), || {
        let seen = match &api.version {
            Ok(status) => format!("HTTP {status}"),
            Err(fault) => fault.to_string(),
        };
        Finding::new(format!("GET /version at {address} with the pod's token answers 200"), seen).impact(SO)
    });
}

fn of_another_ca(verified: &Result<(), Distrust>) -> Option<&Distrust> {
    verified.as_ref().err().filter(|why| matches!(why, Distrust::UnknownIssuer { .. } | Distrust::BadSignature))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fact::facts::probe_reports::testing::reports;

    fn service() -> KubernetesService {
        KubernetesService {
            kind: "ClusterIP".into(),
            cluster_ip: IpAddr::from([10, 96, 0, 1]),
            cluster_ips: vec!["10.96.0.1".into()],
            labels: Vec::new(),
            has_selector: false,
            ports: vec![("https".into(), 443, "6443".into())],
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "a probe answers with it or without")]
    fn host(host: &str) -> Option<BTreeMap<String, String>> {
        Some([("KUBERNETES_SERVICE_HOST".to_owned(), host.to_owned())].into())
    }

    fn healthy() -> ProbeReports {
        let api = ApiAnswer {
            connected: 20,
            tried: 20,
            fault: None,
            serials: vec!["1".into()],
            names: BTreeMap::from([("10.96.0.1".to_owned(), Ok(())), ("kubernetes.default.svc".to_owned(), Ok(()))]),
            version: Ok(200),
            large: None,
            latency: None,
            instances: BTreeMap::new(),
        };
        let answers = Answers { environment: host("10.96.0.1"), api: Some(api), ..Answers::default() };
        reports(["n1", "n2"].map(|node| (node, answers.clone())))
    }

    fn api<'a>(reports: &'a mut ProbeReports, node: &str) -> &'a mut ApiAnswer {
        reports.0.get_mut(node).unwrap().answers.as_mut().unwrap().api.as_mut().unwrap()
    }

    #[test]
    fn an_api_that_every_pod_can_verify_passes() {
        let verdict = judge(&healthy(), &service());
        assert_eq!((verdict.observations(), verdict.findings(Severity::Critical).len()), (10, 0));
    }

    #[test]
    fn a_name_in_the_environment_is_a_platform_s_and_another_address_is_told() {
        for (host, findings) in [("api.shoot.example.org", 0), ("10.96.0.2", 1)] {
            let mut reports = healthy();
            reports.0.get_mut("n1").unwrap().answers.as_mut().unwrap().environment = self::host(host);
            assert_eq!(judge(&reports, &service()).findings(Severity::Critical).len(), findings, "{host}");
        }
    }

    #[test]
    fn a_node_that_cannot_connect_is_named_with_the_reason_and_nothing_else() {
        let mut reports = healthy();
        let api = api(&mut reports, "n2");
        (api.connected, api.fault, api.version) = (0, Some(Fault::TimedOut), Err(Fault::TimedOut));
        let findings = judge(&reports, &service()).findings(Severity::Critical);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].subjects[0].to_string(), "Node n2");
        assert_eq!(findings[0].seen, "no connection to 10.96.0.1 gets a certificate: no answer");
    }

    #[test]
    fn an_instance_that_answers_no_pod_is_named() {
        let mut reports = healthy();
        for (node, connected) in [("n1", 14), ("n2", 11)] {
            let api = api(&mut reports, node);
            (api.connected, api.fault) = (connected, Some(Fault::Refused));
            api.instances = [(11, Ok(())), (12, Err(Fault::Refused))]
                .map(|(host, got)| (([10, 77, 0, host], 6443).into(), got))
                .into();
        }
        let findings = judge(&reports, &service()).findings(Severity::Critical);
        assert_eq!(findings.len(), 1);
        assert_eq!(crate::check::subject::listed(&findings[0].subjects), "Node n1, n2");
        assert_eq!(findings[0].seen, "10.77.0.12:6443 answers none: connection refused");
    }

    #[test]
    fn an_instance_that_was_met_and_is_slow_is_not_blamed() {
        let mut reports = healthy();
        let api = api(&mut reports, "n1");
        (api.connected, api.fault) = (15, Some(Fault::TimedOut));
        api.instances = [(([10, 77, 0, 11], 6443).into(), Err(Fault::TimedOut))].into();
        let findings = judge(&reports, &service()).findings(Severity::Critical);
        assert_eq!(findings[0].seen, "5 of 20 connections to 10.96.0.1 get no certificate: no answer");
    }

    #[test]
    fn an_instance_to_which_no_pod_is_led_is_no_matter() {
        let mut reports = healthy();
        api(&mut reports, "n1").instances = [(([10, 77, 0, 12], 6443).into(), Err(Fault::TimedOut))].into();
        assert!(judge(&reports, &service()).findings(Severity::Critical).is_empty());
    }

    #[test]
    fn a_certificate_without_the_service_address_is_one_finding_for_all_nodes() {
        let mut reports = healthy();
        for node in ["n1", "n2"] {
            let distrust = Distrust::NameMismatch { name: "10.96.0.1".into(), presented: vec!["n1".into()] };
            api(&mut reports, node).names.insert("10.96.0.1".into(), Err(distrust));
        }
        let findings = judge(&reports, &service()).findings(Severity::Critical);
        assert_eq!(findings.len(), 1);
        assert_eq!(crate::check::subject::listed(&findings[0].subjects), "Node n1, n2");
        assert!(findings[0].expected.contains("10.96.0.1"));
    }

    #[test]
    fn a_probe_that_did_not_answer_is_undecided() {
        let mut reports = healthy();
        reports.0.get_mut("n1").unwrap().answers = Err(Unobserved::Interrupted);
        assert_eq!(judge(&reports, &service()).gaps().len(), 1);
    }
}
