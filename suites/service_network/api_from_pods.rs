//! # Pods on every node reach the API server at its ClusterIP, with a certificate that they can verify
//!
//! ## Why
//! Every operator, DNS server and sidecar reaches the API this way. A broken proxy or network on one node, a
//! certificate without the Service address, or an egress rule stops them one node at a time.
//!
//! ## Fix
//! On the node that is named: does kube-proxy run (`kubectl -n kube-system get pods -o wide -l k8s-app=kube-proxy`),
//! does its rule exist (`iptables-save | grep KUBERNETES` or `nft list table ip kube-proxy`), does anything drop the
//! address? When one API server of several answers no pod, something on the way to its own address blocks pods. When
//! the issuer is not trusted, the pods' `ca.crt` is wrong, and PK-06 shows why. When the certificate lacks a name: add
//! it to `apiServer.certSANs`, move `apiserver.crt` and `apiserver.key` away and run
//! `kubeadm init phase certs apiserver --config kubeadm.yaml`, as PK-02 shows.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/util/pkiutil/pki_helpers.go` (GetAPIServerAltNames), `pkg/kubelet/envvars`;
//! <https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/>. The certificate is verified with the pod's
//! own `ca.crt`, for the address and for both names, on every connection.

use std::net::{IpAddr, SocketAddr};

use crate::certificate::Distrust;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::kubernetes_service::KubernetesService;
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::{Answers, ApiAnswer, Fault};
use crate::seen::Unobserved;
use crate::suites::pki::distrust::remedy;
use crate::suites::{rights, shortfall};

crate::check!(
    "SN-04",
    "api-from-pods",
    Critical,
    judge,
    builds_on: ["AA-24", "CN-04", "CP-01", "KL-01", "PK-02", "PK-03", "PK-06", "SN-01", "SN-03", "SN-05", "SN-07"]
);

/// How to fix the pods' ca.crt.
const OF_ANOTHER_CA: &str = "on each control-plane node, set --root-ca-file in \
     /etc/kubernetes/manifests/kube-controller-manager.yaml to the CA that signed the API servers' certificates (PK-06 \
     compares them)";
/// How to find out why an API server fails.
const LOG: &str = "read the log of the API servers: kubectl -n kube-system logs -l component=kube-apiserver --prefix";
const UNUSABLE: &str = "pods there cannot use the Kubernetes API";
const UNRELIABLE: &str = "some of the requests that pods there send to the Kubernetes API fail";
/// The checks of the API servers behind the Service.
const INSTANCES: &[&str] = &["CP-01", "SN-03"];
/// The checks of the certificates that pods get to see at the Service.
const CERTIFICATES: &[&str] = &["PK-02", "PK-03", "PK-04", "PK-06"];
const DISTRUSTED: &str = "clients in pods that verify the certificate cannot use the Kubernetes API";

fn judge(reports: &ProbeReports, service: &KubernetesService) -> Verdict {
    let mut verdict = Verdict::new();
    for (node, report) in &reports.0 {
        let Some(answers) = verdict.seen(|| Subject::node(node), &report.answers) else { continue };
        environment(&mut verdict, node, answers, service);
        match answers.api() {
            Ok(api) => {
                let all_succeed = connections(&mut verdict, node, api, service.cluster_ip);
                certificate_and_answer(&mut verdict, node, api, service.cluster_ip, all_succeed);
            }
            Err(why) => verdict.unseen(Subject::node(node), &why),
        }
    }
    verdict
}

fn environment(verdict: &mut Verdict, node: &str, answers: &Answers, service: &KubernetesService) {
    let expected = service.cluster_ip.to_string();
    let seen = match answers.api_host() {
        Ok(host) => host,
        Err(why) => return verdict.unseen(Subject::node(node), &why),
    };
    // The kubelet writes an address; an admission webhook of the platform may replace it by a name, as Gardener's does.
    if let Some(host) = seen.filter(|host| host.parse::<IpAddr>().is_err()) {
        let seen = format!("KUBERNETES_SERVICE_HOST is {host} in pods: an admission webhook has set it");
        return verdict.note_about(Subject::node(node), seen);
    }
    verdict.expect(Subject::node(node), seen == Some(expected.as_str()), || {
        Finding::new(
            format!("KUBERNETES_SERVICE_HOST in pods is {expected}, the address of Service default/kubernetes"),
            seen.map_or_else(|| "it is not set".to_owned(), |host| format!("it is {host}")),
        )
        .impact("clients in pods dial another address than the Service's")
        .fix(
            "on each of these nodes: systemctl restart kubelet; if new pods still get it, find the admission webhook \
             that sets it: kubectl get mutatingwebhookconfigurations",
        )
    });
}

/// Judges whether connections succeed, and returns it.
fn connections(verdict: &mut Verdict, node: &str, api: &ApiAnswer, address: IpAddr) -> bool {
    let lost = api.tried - api.connected;
    let shortfall = shortfall::severity(lost, api.tried);
    // Where each instance was met by its certificate, none of them is closed to pods: it was too slow now and then.
    let all_met = api.serials.len() >= api.instances.len();
    let closed: Vec<(&SocketAddr, &Fault)> = if api.connected > 0 && shortfall.is_some() && !all_met {
        api.instances.iter().filter_map(|(instance, got)| Some((instance, got.as_ref().err()?))).collect()
    } else {
        Vec::new()
    };
    for (instance, fault) in &closed {
        verdict.find(
            Subject::node(node),
            Finding::new(
                format!("every API server that {address} leads to accepts connections from pods"),
                format!("{instance} accepts no connection from pods: {fault}"),
            )
            .impact(UNRELIABLE)
            .same_as(INSTANCES)
            .fix(format!(
                "find what drops or refuses connections from pods to {instance}: a firewall on its node \
                 (iptables-save; nft list ruleset), or one between the networks"
            )),
        );
    }
    if !closed.is_empty() {
        return false;
    }
    verdict.expect(Subject::node(node), shortfall.is_none(), || {
        let fault = api.fault.as_ref().map_or_else(|| "the cause is unknown".into(), ToString::to_string);
        let expected = format!("every connection to {address} succeeds");
        let finding = if api.connected == 0 {
            Finding::new(expected, format!("none succeeds: {fault}")).impact(UNUSABLE).fix(format!(
                "on each of these nodes, check that kube-proxy is healthy (SN-07), and what its rules and firewalls do \
                 with the address: iptables-save | grep -w {address}; nft list ruleset | grep -w {address}"
            ))
        } else {
            let urls = api.instances.keys().map(|instance| format!(" https://{instance}/livez"));
            let finding = Finding::new(expected, format!("some fail: {fault}")).impact(UNRELIABLE);
            finding.same_as(INSTANCES).fix(format!(
                "on each of these nodes, run several times: curl -k https://{address}/livez{}; if one API server \
                 fails, find what drops its packets; if none does, look for packet loss (CN-04)",
                urls.collect::<String>()
            ))
        };
        finding
            .evidence([format!("{node}: {lost} of {} failed", api.tried)])
            .severity(shortfall.unwrap_or(Severity::Critical))
    })
}

fn certificate_and_answer(verdict: &mut Verdict, node: &str, api: &ApiAnswer, address: IpAddr, all_succeed: bool) {
    if api.connected == 0 {
        // Without a connection there is no certificate to verify and no answer.
        return;
    }
    if api.names.is_empty() {
        // A probe that has no CA says so in place of an answer, and its connections prove nothing more.
        let why = api.version.as_ref().err().map_or_else(|| "no name was verified".into(), ToString::to_string);
        return verdict.unseen(Subject::node(node), &Unobserved::invalid("the CA that pods trust", why));
    }
    if let Some(distrust) = api.names.values().find_map(of_another_ca) {
        // No name is valid then, and no request succeeds: one cause, one finding.
        return verdict.find(
            Subject::node(node),
            Finding::new(
                format!("the certificate at {address} is signed by the CA in the pods' ca.crt"),
                distrust.to_string(),
            )
            .impact(DISTRUSTED)
            .fix(OF_ANOTHER_CA)
            .same_as(CERTIFICATES),
        );
    }
    for (name, verified) in &api.names {
        match verified {
            Ok(()) => verdict.confirm(),
            Err(distrust) => {
                let (expected, fix) = match distrust {
                    Distrust::NameMismatch { .. } => (
                        format!("the certificate at {address} is valid for {name}"),
                        format!("if SN-01 fails, fix that first; otherwise, {}", remedy(distrust)),
                    ),
                    _ => (format!("the certificate at {address} is valid"), remedy(distrust)),
                };
                let finding =
                    Finding::new(expected, distrust.to_string()).impact(DISTRUSTED).fix(fix).same_as(CERTIFICATES);
                verdict.find(Subject::node(node), finding);
            }
        }
    }
    if let Err(fault @ Fault::Unanswered) = &api.version {
        let why = Unobserved::unreachable(format!("GET /version at {address}"), fault);
        return verdict.unseen(Subject::node(node), &why);
    }
    let is_explained = !all_succeed || api.names.values().any(Result::is_err);
    if is_explained && api.version.is_err() {
        // The request failed for a reason that is a finding already.
        return;
    }
    verdict.expect(Subject::node(node), api.version == Ok(200), || {
        let (seen, fix) = match &api.version {
            Ok(401) => (
                "HTTP 401".to_owned(),
                "let the API servers verify tokens with the key that signs them: AA-24 compares \
                 --service-account-key-file and --service-account-signing-key-file",
            ),
            Ok(403) => ("HTTP 403".to_owned(), rights::RESTART),
            Ok(status) => (format!("HTTP {status}"), LOG),
            Err(fault) => (fault.to_string(), LOG),
        };
        Finding::new(format!("GET /version at {address} with a pod's token returns HTTP 200"), seen)
            .impact(UNUSABLE)
            .fix(fix)
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
    fn a_name_in_the_environment_is_accepted_and_another_address_is_found() {
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
        assert_eq!(findings[0].seen, "none succeeds: no answer");
    }

    #[test]
    fn an_instance_that_is_closed_to_pods_is_named() {
        let mut reports = healthy();
        for (node, connected) in [("n1", 14), ("n2", 11)] {
            let api = api(&mut reports, node);
            (api.connected, api.fault, api.version) = (connected, Some(Fault::Refused), Err(Fault::Refused));
            api.instances = [(11, Ok(())), (12, Err(Fault::Refused))]
                .map(|(host, got)| (([10, 77, 0, host], 6443).into(), got))
                .into();
        }
        let findings = judge(&reports, &service()).findings(Severity::Critical);
        assert_eq!(findings.len(), 1);
        assert_eq!(crate::check::subject::listed(&findings[0].subjects), "Node n1, n2");
        assert_eq!(findings[0].seen, "10.77.0.12:6443 accepts no connection from pods: connection refused");
    }

    #[test]
    fn an_instance_that_was_met_and_is_slow_is_not_blamed() {
        let mut reports = healthy();
        let api = api(&mut reports, "n1");
        (api.connected, api.fault) = (15, Some(Fault::TimedOut));
        api.instances = [(([10, 77, 0, 11], 6443).into(), Err(Fault::TimedOut))].into();
        let findings = judge(&reports, &service()).findings(Severity::Critical);
        assert_eq!(findings[0].seen, "some fail: no answer");
        assert_eq!(findings[0].evidence, ["n1: 5 of 20 failed"]);
    }

    #[test]
    fn an_instance_that_no_connection_needs_is_not_judged() {
        let mut reports = healthy();
        api(&mut reports, "n1").instances = [(([10, 77, 0, 12], 6443).into(), Err(Fault::TimedOut))].into();
        assert!(judge(&reports, &service()).findings(Severity::Critical).is_empty());
    }

    #[test]
    fn a_certificate_without_the_service_address_is_one_finding_for_all_nodes() {
        let mut reports = healthy();
        for node in ["n1", "n2"] {
            let distrust = Distrust::NameMismatch { name: "10.96.0.1".into(), presented: vec!["n1".into()] };
            let api = api(&mut reports, node);
            api.names.insert("10.96.0.1".into(), Err(distrust));
            api.version = Err(Fault::Other("invalid peer certificate".into()));
        }
        let findings = judge(&reports, &service()).findings(Severity::Critical);
        assert_eq!(findings.len(), 1);
        assert_eq!(crate::check::subject::listed(&findings[0].subjects), "Node n1, n2");
        assert!(findings[0].expected.contains("10.96.0.1"));
    }

    #[test]
    fn a_probe_that_did_not_answer_is_a_gap() {
        let mut reports = healthy();
        reports.0.get_mut("n1").unwrap().answers = Err(Unobserved::Interrupted);
        assert_eq!(judge(&reports, &service()).gaps().len(), 1);
    }
}
