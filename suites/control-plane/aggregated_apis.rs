//! # Every aggregated API answers
//!
//! ## Why
//! The API server passes requests for an aggregated API on to a Service. When nobody answers there, `kubectl top` and
//! autoscaling stop, discovery is slow for everybody, and no namespace can be deleted any more, since nobody can tell
//! what is in it. A broken front-proxy certificate shows here first.
//!
//! ## Fix
//! `kubectl describe apiservice NAME` says why. Mend the Service's pods (`kubectl -n NAMESPACE get pods,endpointslices`);
//! where what served it was uninstalled, `kubectl delete apiservice NAME`.
//!
//! ## Source
//! kubernetes/kubernetes `staging/src/k8s.io/kube-aggregator/pkg/controllers/status/remote`;
//! <https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/>

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::api_services::{AggregatedApi, ApiServices};

crate::check!("CP-10", "aggregated-apis", Major, judge);

fn judge(services: &ApiServices) -> Verdict {
    let mut verdict = Verdict::new();
    if services.aggregated.is_empty() {
        return Verdict::not_applicable(format!(
            "no API is aggregated: the API server serves all {} APIServices itself",
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
    let consequence = "whoever uses it fails, and no namespace can be deleted";
    let mend = format!("mend Service {}, or, if it is gone for good: kubectl delete apiservice {name}", api.service);
    if !verdict.expect(subject(), is_available, || {
        let seen = match &api.available {
            Some(condition) => format!("Available={} ({}: {})", condition.status, condition.reason, condition.message),
            None => "no condition Available".into(),
        };
        Finding::new(format!("Available=True, served by Service {}", api.service), seen).so(consequence).mend(&mend)
    }) {
        return;
    }
    let Some(answer) = verdict.seen(subject, &api.answer) else { return };
    verdict.expect(subject(), answer.status == 200, || {
        Finding::new("its list of resources", format!("HTTP {}: {}", answer.status, answer.message))
            .so(consequence)
            .mend(&mend)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::fact::answered::Answered;
    use crate::fact::facts::nodes::Condition;
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
        assert!(findings[0].fix.contains("kubectl delete apiservice v1beta1.metrics.k8s.io"));
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
