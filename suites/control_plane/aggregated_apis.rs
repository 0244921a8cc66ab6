//! # Every aggregated API answers
//!
//! ## Why
//! The API server forwards requests for an aggregated API to a Service. If it does not answer, its clients fail (`kubectl top`
//! and autoscaling, for metrics), discovery is slow for everyone, and no namespace can be deleted, because its contents cannot
//! be listed. A broken front-proxy certificate shows here first.
//!
//! ## Fix
//! `kubectl describe apiservice NAME` shows the reason. Repair the Service's pods (`kubectl -n NAMESPACE get
//! pods,endpointslices`). If the server was uninstalled: `kubectl delete apiservice NAME`.
//!
//! ## Source
//! kubernetes/kubernetes `staging/src/k8s.io/kube-aggregator/pkg/controllers/status/remote`;
//! <https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/>

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::api_services::{AggregatedApi, ApiServices};

crate::check!("CP-10", "aggregated-apis", Major, judge, builds_on: ["CN-04", "SN-09"]);

fn judge(services: &ApiServices) -> Verdict {
    let mut verdict = Verdict::new();
    if services.aggregated.is_empty() {
        return verdict.does_not_apply(format!(
            "there are no aggregated APIs: the API server serves all {} APIServices itself",
            services.local
        ));
    }
    for (name, api) in &services.aggregated {
        judge_api(&mut verdict, name, api);
    }
    verdict
}

fn judge_api(verdict: &mut Verdict, name: &str, api: &AggregatedApi) {
    let subject = || Subject::cluster_object("APIService", name);
    let is_available = api.available.as_ref().is_some_and(|condition| condition.status == "True");
    let impact = "clients of this API fail, and no namespace can be deleted";
    let fix = format!(
        "repair the pods of Service {}; if it was uninstalled for good: kubectl delete apiservice {name}",
        api.service
    );
    if !verdict.expect(subject(), is_available, || {
        let seen = match &api.available {
            Some(condition) => format!("Available={} ({}: {})", condition.status, condition.reason, condition.message),
            None => "it has no condition Available".into(),
        };
        Finding::new(format!("Available=True, served by Service {}", api.service), seen)
            .impact(impact)
            .fix(&fix)
            .managed_by(api.manager.as_ref())
    }) {
        return;
    }
    let Some(answer) = verdict.seen(subject, &api.answer) else { return };
    verdict.expect(subject(), answer.status == 200, || {
        Finding::new("discovery of the API answers 200", format!("HTTP {}: {}", answer.status, answer.message))
            .impact(impact)
            .fix(&fix)
            .managed_by(api.manager.as_ref())
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::answered::Answered;
    use crate::fact::facts::nodes::Condition;
    use crate::manager::Manager;
    use crate::object_ref::testing::named;
    use crate::seen::{Seen, Unobserved};

    fn judged(status: &str, answer: Seen<u16>) -> Verdict {
        let api = AggregatedApi {
            service: named("kube-system/metrics-server"),
            available: Some(Condition {
                status: status.into(),
                reason: "MissingEndpoints".into(),
                message: "endpoints for service/metrics-server have no addresses".into(),
            }),
            answer: answer.map(|status| Answered { status, message: "service unavailable".into() }),
            manager: Some(Manager::FluxHelmRelease(named("ops/metrics-server"))),
        };
        judge(&ApiServices { local: 22, aggregated: [("v1beta1.metrics.k8s.io".to_owned(), api)].into() })
    }

    #[test]
    fn an_api_that_is_available_and_answers_passes() {
        let verdict = judged("True", Ok(200));
        assert_eq!((verdict.observations(), verdict.findings(Severity::Major)), (2, vec![]));
    }

    #[test]
    fn a_dead_one_is_found_once_with_its_reason() {
        let findings = judged("False", Ok(503)).findings(Severity::Major);
        assert_eq!(findings.len(), 1);
        assert!(
            findings[0].seen.starts_with("Available=False (MissingEndpoints: endpoints for"),
            "{}",
            findings[0].seen
        );
        let fix = "kubectl delete apiservice v1beta1.metrics.k8s.io; change it in Flux HelmRelease ops/metrics-server \
                   (values or chart), because the next upgrade overwrites an edit in place";
        assert!(findings[0].fix.ends_with(fix), "{}", findings[0].fix);
    }

    #[test]
    fn one_that_says_it_is_available_and_does_not_answer_is_found() {
        assert_eq!(judged("True", Ok(503)).findings(Severity::Major)[0].seen, "HTTP 503: service unavailable");
        let refused = Unobserved::Refused { missing: "get on /apis".into(), message: "no".into() };
        assert_eq!(judged("True", Err(refused)).gaps().len(), 1);
    }

    #[test]
    fn nothing_aggregated_is_said() {
        assert!(judge(&ApiServices { local: 22, ..ApiServices::default() }).reason().unwrap().contains("all 22"));
    }
}
