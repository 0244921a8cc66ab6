//! # A new pod is admitted without delay
//!
//! ## Why
//! The API server waits for an admission webhook that does not answer until its timeout, ten seconds by default. With
//! `failurePolicy: Ignore` it then goes on, so that nothing fails: every pod, and with it every rollout, drain and scale-up,
//! is late by as much, and clients with shorter time-outs give up.
//!
//! ## Fix
//! See why the webhook does not answer (`kubectl -n NAMESPACE get pods,endpointslices`; its log; a firewall between the
//! control plane and its pods), restart it, or delete the configuration if it was uninstalled. Set `timeoutSeconds` of a
//! webhook that may be ignored to 1 or 2.
//!
//! ## Source
//! <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#timeouts>,
//! <https://kubernetes.io/docs/concepts/cluster-administration/admission-webhooks-good-practices/>. The pods of the run's
//! probes are timed, and the fastest counts. The metrics `apiserver_admission_webhook_fail_open_count` and
//! `apiserver_admission_webhook_admission_duration_seconds` show which webhook it is.

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::admission_webhooks::{AdmissionWebhooks, Webhook};
use crate::fact::facts::probe_reports::{ProbeReport, ProbeReports};
use crate::seen::Unobserved;

crate::check!("CP-15", "pod-admission", Major, judge);

/// The shortest timeout that a webhook can have, in milliseconds.
const SHORTEST: u64 = 1000;

fn judge(reports: &ProbeReports, webhooks: Result<&AdmissionWebhooks, &Unobserved>) -> Verdict {
    let mut verdict = Verdict::new();
    let timed = reports.0.values().filter_map(|report| Some((report.created_ms?, report)));
    let Some((took, fastest)) = timed.min_by_key(|(took, _)| *took) else {
        let why = Unobserved::invalid("the probes", "it was not measured how long their creation took");
        verdict.unseen(Subject::cluster(), &why);
        return verdict;
    };
    if took < SHORTEST {
        verdict.confirm();
        return verdict;
    }
    let Some(webhooks) = verdict.known(Subject::cluster, webhooks) else { return verdict };
    let suspects: Vec<&Webhook> = webhooks.0.iter().filter(|webhook| may_delay(webhook, took, fastest)).collect();
    let took = seconds(took);
    if suspects.is_empty() {
        verdict.note(format!("the creation of a pod took {took}, and no webhook delays it by as much"));
        verdict.confirm();
        return verdict;
    }
    let services = suspects.iter().filter_map(|webhook| webhook.service.as_ref());
    let looks: Vec<String> = services
        .map(|service| {
            format!(
                "kubectl -n {} get endpointslices -l kubernetes.io/service-name={}",
                service.namespace, service.name
            )
        })
        .collect();
    let deletes = suspects.iter().map(|webhook| {
        let delete = format!("kubectl delete {} {}", webhook.kind.to_lowercase(), webhook.configuration);
        webhook.manager.as_ref().map_or(delete.clone(), |manager| manager.add_to(&delete))
    });
    let finding = Finding::new(
        "the API server accepts a new pod within a second",
        format!("it took {took}, about the timeout of {}", that_match_pods(suspects.len())),
    )
    .evidence_of(suspects.iter().map(|webhook| {
        let policy = if webhook.fails_closed { "fails closed" } else { "fails open" };
        let Webhook { configuration, name, timeout_seconds, .. } = webhook;
        (subject(webhook), format!("{configuration}: webhook {name} waits up to {timeout_seconds} s and {policy}"))
    }))
    .impact("each pod creation is delayed by that long: rollouts, drains and scaling take minutes, and clients with short time-outs fail")
    .fix(format!(
        "see why it does not answer: {}; until it does, stop calling it: {}",
        if looks.is_empty() { "call its URL from a control-plane node".to_owned() } else { looks.join("; ") },
        deletes.collect::<Vec<_>>().join(" or ")
    ));
    verdict.find_together(suspects.into_iter().map(subject), 1, finding);
    verdict
}

fn that_match_pods(webhooks: usize) -> String {
    match webhooks {
        1 => "an admission webhook that matches pods".into(),
        many => format!("{many} admission webhooks that match pods"),
    }
}

fn subject(webhook: &Webhook) -> Subject {
    Subject::cluster_object(&webhook.kind, &webhook.configuration)
}

/// Whether a webhook sees new pods, and waiting for it may have taken so long: as long as its timeout, or as long as the run
/// waited for its own request.
fn may_delay(webhook: &Webhook, took: u64, fastest: &ProbeReport) -> bool {
    let sees_pods = webhook.rules.iter().any(|rule| rule.scope != "Cluster" && rule.covers("CREATE", "", "pods"));
    let gave_up = matches!(fastest.answers, Err(Unobserved::TimedOut { .. }));
    sees_pods && (gave_up || u64::try_from(webhook.timeout_seconds).is_ok_and(|timeout| timeout * 1000 <= took))
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::check::testing::{notes, seen_of};
    use crate::fact::facts::admission_webhooks::WebhookRule;
    use crate::fact::facts::probe_reports::answers::Answers;
    use crate::fact::facts::probe_reports::testing::reports;
    use crate::object_ref::testing::named;
    use crate::seen::Seen;

    fn webhook(timeout_seconds: i32, resource: &str) -> Webhook {
        let rule = WebhookRule {
            groups: vec![String::new()],
            resources: vec![resource.into()],
            operations: vec!["CREATE".into()],
            scope: "*".into(),
        };
        Webhook {
            kind: "MutatingWebhookConfiguration".into(),
            configuration: "sidecars".into(),
            name: "pods.sidecars.example.org".into(),
            timeout_seconds,
            service: Some(named("mesh/injector")),
            rules: vec![rule],
            ..Webhook::default()
        }
    }

    fn judged(created: [Option<u64>; 2], answers: Seen<Answers>, webhooks: &[Webhook]) -> Verdict {
        let mut reports = reports([("n1", Answers::default()), ("n2", Answers::default())]);
        for (report, created_ms) in reports.0.values_mut().zip(created) {
            (report.created_ms, report.answers) = (created_ms, answers.clone());
        }
        judge(&reports, Ok(&AdmissionWebhooks(webhooks.to_vec())))
    }

    #[test]
    fn a_pod_that_is_accepted_at_once_passes_and_the_fastest_counts() {
        let verdict = judged([Some(9000), Some(80)], Ok(Answers::default()), &[webhook(5, "pods")]);
        assert_eq!((verdict.observations(), seen_of(&verdict)), (1, vec![]));
    }

    #[test]
    fn a_delay_as_long_as_a_timeout_is_found() {
        let slow = |webhooks: &[Webhook]| judged([Some(3100), Some(3090)], Ok(Answers::default()), webhooks);
        let found = slow(&[webhook(3, "pods"), webhook(10, "pods"), webhook(2, "services")]).findings(Severity::Major);
        assert_eq!(found[0].seen, "it took 3.0 s, about the timeout of an admission webhook that matches pods");
        assert_eq!(found[0].evidence, ["sidecars: webhook pods.sidecars.example.org waits up to 3 s and fails open"]);
        assert!(found[0].fix.contains("kubectl -n mesh get endpointslices"), "{}", found[0].fix);
        assert_eq!(notes(&slow(&[webhook(10, "pods")])).len(), 1, "the machine is slow");
    }

    #[test]
    fn a_request_that_was_given_up_may_be_any_webhook() {
        let gave_up = Err(Unobserved::TimedOut { target: "POST".into(), after_ms: 5000 });
        assert_eq!(seen_of(&judged([Some(5000), Some(5001)], gave_up, &[webhook(10, "pods")])).len(), 1);
    }

    #[test]
    fn without_a_time_nothing_passes() {
        assert_eq!(judged([None, None], Ok(Answers::default()), &[]).gaps().len(), 1);
        let mut slow = reports([("n1", Answers::default())]);
        slow.0.get_mut("n1").unwrap().created_ms = Some(4000);
        assert_eq!(judge(&slow, Err(&Unobserved::Interrupted)).gaps().len(), 1);
    }
}
