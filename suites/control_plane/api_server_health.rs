//! # Every API server instance is live and ready
//!
//! ## Why
//! Behind a load balancer or a Service, one unhealthy instance fails a share of all requests, which looks like a network
//! fault. If the only instance is not ready or hangs, the whole cluster is down.
//!
//! ## Fix
//! List the instance's health checks: `curl -k 'https://ADDRESS:6443/readyz?verbose'`, with `--cert`/`--key` or a token where
//! anonymous requests are refused. Then read its log on its node: `crictl logs $(crictl ps -aq --name kube-apiserver | head
//! -1)`. Usual causes: etcd has no quorum (`etcd`), a KMS plugin is down (`kms-providers`), the loopback certificate expired
//! because the API server was not restarted for a year (`loopback-serving-certificate`), or a firewall blocks the port.
//!
//! ## Source
//! kubernetes/kubernetes `staging/src/k8s.io/apiserver/pkg/server/healthz`,
//! `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go` (system:public-info-viewer),
//! `staging/src/k8s.io/apiserver/pkg/server/options/serving_with_loopback.go`;
//! <https://kubernetes.io/docs/reference/using-api/health-checks/>. An instance that a static pod advertises is asked even
//! if Service default/kubernetes does not list it, because a load balancer may send requests there.

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::api_server_health::{ApiServerHealth, Health};
use crate::fact::facts::nodes::Nodes;
use crate::seen::Unobserved;

crate::check!("CP-01", "api-server-health", Critical, judge, builds_on: ["HA-03", "KL-01"]);

fn judge(health: &ApiServerHealth, nodes: Result<&Nodes, &Unobserved>) -> Verdict {
    let mut verdict = Verdict::new();
    judge_answers(&mut verdict, &Subject::address(&health.endpoint), &health.configured);
    let Some(instances) = verdict.seen(|| Subject::object("EndpointSlice", "default", "kubernetes"), &health.instances)
    else {
        return verdict;
    };
    let reached = instances.values().any(Health::is_reached);
    // A managed control plane is reachable through its load balancer only.
    if !reached && nodes.is_ok_and(|nodes| nodes.control_plane().next().is_none()) {
        for address in instances.keys() {
            verdict.note_about(
                Subject::address(address),
                format!("does not answer here; the control plane is managed, so only {} was judged", health.endpoint),
            );
        }
        return verdict;
    }
    for (address, instance) in instances {
        let subject = Subject::address(address);
        match (&instance.live, &instance.ready) {
            // If other instances answer, the fault is with this one and not with our own network.
            (Err(why), Err(_)) if why.is_out_of_reach() && reached => {
                verdict.find(
                    subject,
                    Finding::new(
                        "the API server instance answers, as Service default/kubernetes or a static pod advertises it",
                        why.to_string(),
                    )
                    .impact("requests that are sent to this instance fail")
                    .fix(format!(
                        "on the node of {address}, check that the kube-apiserver container runs (crictl ps -a --name \
                         kube-apiserver), and that no firewall blocks the port"
                    )),
                );
            }
            _ => judge_answers(&mut verdict, &subject, instance),
        }
    }
    verdict
}

fn judge_answers(verdict: &mut Verdict, subject: &Subject, health: &Health) {
    for (path, answer) in health.answers() {
        let Some(answer) = verdict.seen(|| subject.clone(), answer) else { continue };
        verdict.expect(subject.clone(), answer.is_well(), || {
            let failed = answer.failed.len();
            Finding::new(
                format!("{path} answers 200"),
                format!("{path} answers {}, {failed} of its health checks failed", answer.status),
            )
            .evidence(&answer.failed)
            .impact("clients and kubelets that are routed to this instance fail")
            .fix(format!(
                "read the log of kube-apiserver on the node of {subject}: crictl logs $(crictl ps -aq --name \
                 kube-apiserver | head -1)"
            ))
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::check::Severity;
    use crate::fact::facts::api_server_health::HealthAnswer;
    use crate::fact::facts::nodes::Node;

    fn answer(status: u16, failed: &[&str]) -> HealthAnswer {
        HealthAnswer { status, failed: failed.iter().map(ToString::to_string).collect() }
    }

    fn well() -> Health {
        Health { live: Ok(answer(200, &[])), ready: Ok(answer(200, &[])) }
    }

    fn silent() -> Health {
        let why = Unobserved::unreachable("GET /livez?verbose", "connection refused");
        Health { live: Err(why.clone()), ready: Err(why) }
    }

    fn address(last: u8) -> SocketAddr {
        ([10, 77, 0, last], 6443).into()
    }

    fn health(instances: impl IntoIterator<Item = (u8, Health)>) -> ApiServerHealth {
        ApiServerHealth {
            endpoint: "api.bed.test:6443".into(),
            configured: well(),
            instances: Ok(instances.into_iter().map(|(last, health)| (address(last), health)).collect()),
        }
    }

    fn nodes(control_plane: bool) -> Nodes {
        let labels = control_plane.then(|| ("node-role.kubernetes.io/control-plane".to_owned(), String::new()));
        Nodes([("n1".to_owned(), Node { labels: labels.into_iter().collect(), ..Node::default() })].into())
    }

    #[test]
    fn healthy_instances_pass() {
        let verdict = judge(&health([(11, well()), (12, well())]), Ok(&nodes(true)));
        assert!(verdict.findings(Severity::Critical).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 6);
    }

    #[test]
    fn a_sick_instance_is_found_with_what_fails() {
        let sick =
            Health { live: Ok(answer(500, &["kms-providers"])), ready: Ok(answer(500, &["kms-providers", "etcd"])) };
        let verdict = judge(&health([(11, well()), (12, sick)]), Ok(&nodes(true)));
        let findings = verdict.findings(Severity::Critical);
        assert_eq!(findings.len(), 2);
        assert_eq!(findings[1].subjects[0], Subject::address("10.77.0.12:6443"));
        assert_eq!(findings[1].seen, "/readyz answers 500, 2 of its health checks failed");
    }

    #[test]
    fn a_silent_instance_is_found_when_another_answers() {
        let verdict = judge(&health([(11, well()), (12, silent())]), Ok(&nodes(true)));
        let findings = verdict.findings(Severity::Critical);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].seen.contains("connection refused"), "{}", findings[0].seen);
        assert!(verdict.saw_everything());
    }

    #[test]
    fn instances_none_of_which_answers_here_are_inconclusive() {
        for nodes in [Ok(&nodes(true)), Err(&Unobserved::Interrupted)] {
            let verdict = judge(&health([(11, silent()), (12, silent())]), nodes);
            assert!(verdict.findings(Severity::Critical).is_empty());
            assert_eq!(verdict.gaps().len(), 1);
        }
    }

    #[test]
    fn a_managed_control_plane_is_judged_by_its_url() {
        let verdict = judge(&health([(11, silent())]), Ok(&nodes(false)));
        assert!(verdict.findings(Severity::Critical).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 2);
        assert!(
            crate::check::testing::notes(&verdict)[0].contains("10.77.0.11:6443"),
            "{:?}",
            crate::check::testing::notes(&verdict)
        );
    }
}
