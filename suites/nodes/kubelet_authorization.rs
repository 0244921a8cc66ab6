//! # Kubelets accept tokens and authorize each request
//!
//! ## Why
//! Every pod has a token. A kubelet with `AlwaysAllow` lets each of them read and run commands in all pods of the node. One that
//! does not accept tokens locks out metrics-server and monitoring. One without fine-grained rights forces you to give
//! monitoring `nodes/proxy`, which also allows running commands in pods.
//!
//! ## Fix
//! In `/var/lib/kubelet/config.yaml` on the node that is named, set `authorization.mode: Webhook` and
//! `authentication.webhook.enabled: true`, and restart the kubelet. If both are set, look for the binding that grants
//! the right to service accounts: `kubectl get clusterrolebindings -o wide | grep system:serviceaccounts`. If an account that
//! has a right is refused, remove `KubeletFineGrainedAuthz: false` from the kubelet's `featureGates`; if it is not set, one of
//! the API server's authorizers denies what RBAC allows: see its `--authorization-config` or
//! `--authorization-webhook-config-file`.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/kubelet/server/auth.go`;
//! <https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/>. A probe sends requests to the kubelet
//! of its own node with the token of a service account that has no rights. 403: authenticated and refused. 401: tokens are not
//! accepted. 200: authorized. The API server accepts the same token in the same run, which shows that it is valid. If the
//! profile allows it, another probe on each node uses an account that may get `nodes/configz`, `nodes/healthz` and
//! `nodes/metrics` during the run: 200 for these, 403 for `/pods`. Kubelets support these rights since 1.33 (KEP-2862; before,
//! only `nodes/metrics`).

use std::net::{IpAddr, SocketAddr};

use super::monitoring_rights;
use crate::check::finding::Difference;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::kubelet_monitoring::KubeletMonitoring;
use crate::fact::facts::nodes::{Node, Nodes};
use crate::fact::facts::probe_reports::ProbeReports;
use crate::fact::facts::probe_reports::answers::{Answers, Endpoint, Fault, Got, Met};
use crate::fact::facts::probe_reports::endpoints::KUBELET_PATHS;
use crate::ports::KUBELET;
use crate::seen::Unobserved;
use crate::suites::node_path::reaches;

crate::check!(
    "KL-04",
    "kubelet-authorization",
    Critical,
    judge,
    builds_on: ["AA-01", "AA-03", "KL-03"],
    blocked_by: ["AA-24", "KL-13", "PK-09"]
);

fn judge(nodes: &Nodes, reports: &ProbeReports, monitoring: Result<&KubeletMonitoring, &Unobserved>) -> Verdict {
    let mut verdict = Verdict::new();
    for (name, report) in &reports.0 {
        let Some(answers) = verdict.seen(|| Subject::node(name), &report.answers) else { continue };
        let addresses = nodes.0.get(name).into_iter().flat_map(Node::internal_addresses);
        for address in addresses {
            if let Some(blocked) = blocked(answers, address) {
                verdict.find(Subject::node(name), closed_to_pods(name, address, &blocked, reports));
                continue;
            }
            for path in KUBELET_PATHS {
                judge_path(&mut verdict, name, SocketAddr::new(address, KUBELET), path, answers);
            }
        }
    }
    match monitoring {
        Ok(monitoring) => {
            // If a token without rights is authorized, not accepted or unanswered, that is already reported above.
            for (name, statuses) in monitoring.0.iter().filter(|(name, _)| refuses(nodes, reports, name)) {
                monitoring_rights::judge(&mut verdict, name, nodes.0.get(name), statuses);
            }
        }
        Err(why) if why.is_skip() => {
            verdict.note(format!("fine-grained rights were not tested: {why}"));
        }
        Err(why) => verdict.unseen(Subject::cluster(), why),
    }
    verdict
}

/// How the kubelet's port fails for a pod that reaches the node itself: a packet filter keeps pods away from it.
fn blocked(answers: &Answers, address: IpAddr) -> Option<Fault> {
    let at = SocketAddr::new(address, KUBELET);
    let met = KUBELET_PATHS.map(|path| answers.reached.at(&Endpoint::get_with_token(at, path)));
    let is_blocked = |met: &&Got<Met>| matches!(met, Err(Fault::TimedOut | Fault::Refused | Fault::NoRoute));
    if !met.iter().all(|met| met.as_ref().is_some_and(is_blocked)) || !reaches(answers, address) {
        return None;
    }
    met.into_iter().flatten().find_map(|met| met.as_ref().err()).cloned()
}

/// The path that is closed, and what the pods of other nodes meet at its end.
fn closed_to_pods(node: &str, address: IpAddr, fault: &Fault, reports: &ProbeReports) -> Difference {
    let at = SocketAddr::new(address, KUBELET);
    let others = reports.0.iter().filter(|(from, _)| *from != node).filter_map(|(from, report)| {
        let met = report.answers.as_ref().ok()?.reached.at(&Endpoint::tcp(at))?;
        let what = met.as_ref().err().map_or_else(|| "open".to_owned(), ToString::to_string);
        Some(format!("from a pod on {from} to {at}: {what}"))
    });
    Finding::new(
        "pods reach the kubelet of their node at port 10250",
        format!("port 10250 of {node} does not answer pods of the node, while other ports of the node do"),
    )
    .evidence([format!("from a pod on {node} to {at}: {fault}")])
    .evidence(others)
    .impact(
        "metrics-server and monitoring that run in pods there get nothing from this kubelet, and it cannot be checked \
         which requests it accepts",
    )
    .fix(format!(
        "on {node}, find the rule that drops TCP port 10250 from pods: iptables-save | grep 10250; nft list ruleset | grep \
         10250; a NetworkPolicy or host firewall of the network plugin may do the same"
    ))
    .severity(Severity::Minor)
}

fn judge_path(verdict: &mut Verdict, node: &str, at: SocketAddr, path: &str, answers: &Answers) {
    let endpoint = Endpoint::get_with_token(at, path);
    let status = match answers.reached.status(&endpoint) {
        Ok(status) => status,
        Err(why) => return verdict.unseen(Subject::node(node), &why),
    };
    // A token that no server accepts shows nothing about the kubelet.
    let taken = answers.api.as_ref().is_some_and(|api| api.version == Ok(200));
    if status == 401 && !taken {
        let why = Unobserved::invalid(endpoint.to_string(), "401, and the API server did not accept the token either");
        return verdict.unseen(Subject::node(node), &why);
    }
    verdict.expect(Subject::node(node), status == 403, || {
        let finding = Finding::new(
            format!("GET {path} at port 10250 with the token of a service account without rights answers 403"),
            format!("it answers {status}"),
        );
        match status {
            200..=299 => finding
                .impact("every pod of the cluster can read the pods of these nodes and run commands in them")
                .fix("on these nodes, set authorization.mode: Webhook in /var/lib/kubelet/config.yaml, then systemctl restart kubelet"),
            401 => finding
                .impact("the kubelet does not accept tokens: metrics-server and monitoring get nothing from these nodes")
                .fix("on these nodes, set authentication.webhook.enabled: true in /var/lib/kubelet/config.yaml, then systemctl restart kubelet")
                .severity(Severity::Major),
            _ => finding
                .impact("the kubelet does not decide by the cluster's RBAC who may use it")
                .fix("read the log of the kubelet on these nodes: journalctl -u kubelet -e")
                .severity(Severity::Major),
        }
    });
}

/// Whether the kubelet of a node refused a token without rights every time.
fn refuses(nodes: &Nodes, reports: &ProbeReports, node: &str) -> bool {
    let Some(Ok(answers)) = reports.0.get(node).map(|report| &report.answers) else { return false };
    let addresses = nodes.0.get(node).into_iter().flat_map(Node::internal_addresses);
    let endpoints = addresses.flat_map(|address| {
        KUBELET_PATHS.map(|path| Endpoint::get_with_token(SocketAddr::new(address, KUBELET), path))
    });
    let met: Vec<&Met> = endpoints.filter_map(|endpoint| answers.reached.at(&endpoint)?.as_ref().ok()).collect();
    !met.is_empty() && met.iter().all(|met| **met == Met::Status(403))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::nodes::Node;
    use crate::fact::facts::probe_reports::answers::ApiAnswer;
    use crate::fact::facts::probe_reports::testing::reports;
    use crate::seen::Access;

    fn judged(met: Option<Got<Met>>, api: Got<u16>) -> Verdict {
        judged_with(met, api, Err(&Unobserved::NotAllowed { access: Access::Grant, profile: "post-install".into() }))
    }

    fn judged_with(
        met: Option<Got<Met>>,
        api: Got<u16>,
        monitoring: Result<&KubeletMonitoring, &Unobserved>,
    ) -> Verdict {
        let addresses = vec![("InternalIP".into(), "10.77.0.11".into())];
        let node = Node { addresses, kubelet_version: "v1.37.2".into(), ..Node::default() };
        let at: SocketAddr = "10.77.0.11:10250".parse().unwrap();
        let reached = met.map(|met| KUBELET_PATHS.map(|path| (Endpoint::get_with_token(at, path), met.clone())));
        let answers = Answers {
            api: Some(ApiAnswer {
                large: None,
                connected: 1,
                tried: 1,
                fault: None,
                serials: Vec::new(),
                names: [].into(),
                version: api,
                latency: None,
                instances: [].into(),
            }),
            reached: reached.into_iter().flatten().collect(),
            ..Answers::default()
        };
        judge(&Nodes([("n1".to_owned(), node)].into()), &reports([("n1", answers)]), monitoring)
    }

    #[test]
    fn a_port_that_pods_of_the_node_do_not_reach_is_a_path_to_open() {
        let at: SocketAddr = "10.77.0.11:10250".parse().unwrap();
        let asked = KUBELET_PATHS.map(|path| (Endpoint::get_with_token(at, path), Err(Fault::TimedOut)));
        let with = |control: Got<Met>| {
            let control = (Endpoint::tcp((at.ip(), 10255)), control);
            let reached = asked.clone().into_iter().chain([control]).collect();
            let own = Answers { reached, ..Answers::default() };
            let open = [(Endpoint::tcp(at), Ok(Met::Open))].into_iter().collect();
            let other = Answers { reached: open, ..Answers::default() };
            let node = Node { addresses: vec![("InternalIP".into(), "10.77.0.11".into())], ..Node::default() };
            let skipped = Unobserved::NotAllowed { access: Access::Grant, profile: "post-install".into() };
            let nodes = Nodes([("n1".to_owned(), node), ("n2".to_owned(), Node::default())].into());
            judge(&nodes, &reports([("n1", own), ("n2", other)]), Err(&skipped))
        };
        let found = with(Err(Fault::Refused)).findings(Severity::Critical);
        assert_eq!(
            found[0].evidence,
            ["from a pod on n1 to 10.77.0.11:10250: no answer", "from a pod on n2 to 10.77.0.11:10250: open"]
        );
        assert_eq!(found[0].severity, Severity::Minor);
        let silent = with(Err(Fault::TimedOut));
        assert_eq!((silent.findings(Severity::Critical).len(), silent.gaps().len()), (0, 2));
    }

    fn severities(verdict: &Verdict) -> Vec<Severity> {
        verdict.findings(Severity::Critical).into_iter().map(|finding| finding.severity).collect()
    }

    #[test]
    fn a_token_without_rights_is_refused() {
        let verdict = judged(Some(Ok(Met::Status(403))), Ok(200));
        assert_eq!(
            (verdict.observations(), severities(&verdict), crate::check::testing::notes(&verdict).len()),
            (2, vec![], 1)
        );
    }

    #[test]
    fn a_token_with_some_rights_is_judged_where_one_without_is_refused() {
        let all_refused = ["/configz", "/healthz", "/metrics", "/pods"].map(|path| (path.to_owned(), Ok(403)));
        let monitoring = KubeletMonitoring([("n1".to_owned(), Ok(all_refused.into()))].into());
        let with = |met| judged_with(Some(met), Ok(200), Ok(&monitoring));
        assert_eq!(severities(&with(Ok(Met::Status(403)))), [Severity::Major]);
        assert_eq!(severities(&with(Ok(Met::Status(200)))), [Severity::Critical; 2]);
        let silent = with(Err(Fault::TimedOut));
        assert_eq!((silent.observations(), silent.gaps().len()), (0, 2));
        let failed = Unobserved::Refused { missing: "create clusterroles".into(), message: "no".into() };
        let verdict = judged_with(Some(Ok(Met::Status(403))), Ok(200), Err(&failed));
        assert_eq!((verdict.observations(), verdict.gaps().len()), (2, 1));
    }

    #[test]
    fn a_kubelet_that_authorizes_everyone_is_critical_and_one_that_refuses_everyone_major() {
        assert_eq!(severities(&judged(Some(Ok(Met::Status(200))), Ok(200))), [Severity::Critical; 2]);
        assert_eq!(severities(&judged(Some(Ok(Met::Status(401))), Ok(200))), [Severity::Major; 2]);
    }

    #[test]
    fn a_bad_token_an_unreachable_kubelet_and_one_that_was_not_asked_do_not_pass() {
        for (met, api) in
            [(Some(Ok(Met::Status(401))), Ok(401)), (Some(Err(Fault::TimedOut)), Ok(200)), (None, Ok(200))]
        {
            let verdict = judged(met, api);
            assert_eq!((verdict.observations(), verdict.gaps().len()), (0, 2));
        }
    }
}
