//! # Admission webhooks that must answer can answer
//!
//! ## Why
//! With `failurePolicy: Fail` every request that a webhook is asked about is refused while it does not answer. One whose
//! backend was uninstalled, or whose CA has expired, stops creation and change of whatever it watches; one that watches
//! the pods of kube-system, or its own pods, keeps the cluster from coming back after a node was lost.
//!
//! ## Fix
//! Bring the backend back (the finding names its Service), or delete the configuration that was left behind. Renew its
//! certificate and `caBundle` (cert-manager's CA injector does so by itself). Leave kube-system and the webhook's own
//! namespace out: `namespaceSelector` with `kubernetes.io/metadata.name` NotIn.
//!
//! ## Source
//! <https://kubernetes.io/docs/concepts/cluster-administration/admission-webhooks-good-practices/>; kubernetes/kubernetes
//! `staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook`. A CA is due for a month before its end, or for the last
//! third of a life of less than 90 days. A scope over kube-system is a remark; one that conditions or object labels
//! narrow is not judged.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::{Finding, Severity, Subject, Verdict, names};
use crate::fact::facts::admission_webhooks::{AdmissionWebhooks, Webhook};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::namespaces::Namespaces;
use crate::fact::facts::webhook_backends::{WebhookBackend, WebhookBackends};
use crate::object_ref::NamespacedName;
use crate::seen::{Seen, Unobserved};
use crate::suites::pki::lifetime::{least, left, length, remainder};

crate::check!("CP-11", "admission-webhooks", Major, judge);

/// What a node needs to come back: operation, API group, resource, the namespace that it is in, if it is in one.
const VITAL: [(&str, &str, &str, Option<&str>); 4] = [
    ("CREATE", "", "pods", Some("kube-system")),
    ("UPDATE", "", "nodes", None),
    ("UPDATE", "coordination.k8s.io", "leases", Some("kube-system")),
    ("UPDATE", "discovery.k8s.io", "endpointslices", Some("default")),
];

fn judge(webhooks: &AdmissionWebhooks, backends: &WebhookBackends, namespaces: &Namespaces, clock: &Clock) -> Verdict {
    let closed: Vec<&Webhook> = webhooks.0.iter().filter(|webhook| webhook.fails_closed).collect();
    if closed.is_empty() {
        return Verdict::not_applicable(match webhooks.0.len() {
            0 => "there is no admission webhook".into(),
            all => format!("none of the {all} admission webhooks fails closed"),
        });
    }
    let mut verdict = Verdict::new();
    for webhook in closed {
        judge_backend(&mut verdict, webhook, &backends.0);
        judge_authorities(&mut verdict, webhook, clock);
        judge_scope(&mut verdict, webhook, namespaces);
    }
    if verdict.observations() == 0 && verdict.saw_everything() {
        return Verdict::not_applicable(format!(
            "nothing of them can be seen: {}",
            verdict.notes().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        ));
    }
    verdict
}

fn subject(webhook: &Webhook) -> Subject {
    Subject::cluster_object(&webhook.kind, format!("{}, webhook {}", webhook.configuration, webhook.name))
}

fn watched(webhook: &Webhook) -> String {
    names(webhook.rules.iter().map(|rule| format!("{} of {}", rule.operations.join("/"), rule.resources.join("/"))))
}

fn delete(webhook: &Webhook) -> String {
    format!("kubectl delete {} {}", webhook.kind.to_lowercase(), webhook.configuration)
}

fn judge_backend(verdict: &mut Verdict, webhook: &Webhook, backends: &BTreeMap<NamespacedName, Seen<WebhookBackend>>) {
    let Some(service) = &webhook.service else {
        verdict.note(format!("{}: answered by a URL, which was not called", webhook.name));
        return;
    };
    let unknown = Err(Unobserved::invalid(format!("Service {service}"), "it is not among the observed ones"));
    let Some(backend) = verdict.seen(|| subject(webhook), backends.get(service).unwrap_or(&unknown)) else { return };
    let seen = match &backend.ports {
        None => Some("there is no such Service".to_owned()),
        // Endpoints elsewhere are not to be seen from here.
        Some(_) if backend.external_name.is_some() => None,
        Some(ports) if !ports.contains(&webhook.port) => Some(format!("it has the ports {}", names(ports))),
        Some(_) if backend.ready == 0 => {
            Some(format!("it has no ready endpoint, and {} that are not", backend.not_ready))
        }
        Some(_) => None,
    };
    verdict.expect(subject(webhook), seen.is_none(), || {
        Finding::new(format!("Service {service} answers at port {}", webhook.port), seen.unwrap_or_default())
            .so(format!("refused until then: {}", watched(webhook)))
            .mend(format!("bring Service {service} back; if it is gone for good: {}", delete(webhook)))
    });
}

fn judge_authorities(verdict: &mut Verdict, webhook: &Webhook, clock: &Clock) {
    let bundle = match &webhook.authorities {
        Some(Ok(bundle)) => bundle,
        Some(Err(why)) => {
            let consequence = "the webhook is verified by nothing, so that every call to it fails";
            return verdict.find(subject(webhook), Finding::new("certificates in caBundle", why).so(consequence));
        }
        None if webhook.service.is_some() => {
            let seen = "no caBundle: its certificate is verified by the authorities of the API server's host";
            return verdict.find(
                subject(webhook),
                Finding::new("the CA of its certificate in caBundle", seen)
                    .so(format!("no public CA signs names of Services: refused is {}", watched(webhook))),
            );
        }
        None => return,
    };
    let mut described = Vec::new();
    for certificate in bundle {
        match certificate.describe() {
            Ok(description) => described.push(description),
            Err(malformed) => {
                return verdict.find(subject(webhook), Finding::new("certificates in caBundle", malformed.to_string()));
            }
        }
    }
    // Of several the longest counts: an old one stands beside its successor for a while.
    let Some(last) = described.iter().max_by_key(|authority| authority.not_after) else { return };
    let due = least(last, 30, 3);
    verdict.expect(subject(webhook), left(last, clock.server) >= due, || {
        let finding = Finding::new(
            format!("a caBundle that lasts for at least {}", length(due)),
            format!("{} {}", last.subject, remainder(last, clock.server)),
        )
        .so(format!("from then on refused: {}", watched(webhook)));
        if left(last, clock.server).is_negative() { finding.severity(Severity::Critical) } else { finding }
    });
}

fn judge_scope(verdict: &mut Verdict, webhook: &Webhook, namespaces: &Namespaces) {
    if webhook.conditions > 0 || !webhook.objects.is_empty() {
        verdict
            .note(format!("{}: narrowed by conditions or labels of objects, which were not evaluated", webhook.name));
        return;
    }
    let own = webhook.service.as_ref().map(|service| ("CREATE", "", "pods", Some(service.namespace.as_ref())));
    let mut blocked = Vec::new();
    for (operation, group, resource, namespace) in VITAL.into_iter().chain(own) {
        let scope = if namespace.is_some() { "Cluster" } else { "Namespaced" };
        let rules = || webhook.rules.iter().filter(|rule| rule.scope != scope);
        if !rules().any(|rule| rule.covers(operation, group, resource)) {
            continue;
        }
        let Some(namespace) = namespace else {
            // Labels of namespaces do not narrow what is in none.
            blocked.push((resource, None));
            continue;
        };
        // A namespace that is gone has no pods to block.
        let Some(known) = namespaces.0.get(namespace) else { continue };
        if webhook.namespaces.iter().all(|requirement| requirement.is_met(&known.labels)) {
            blocked.push((resource, Some(namespace)));
        }
    }
    blocked.dedup();
    verdict.expect(subject(webhook), blocked.is_empty(), || {
        let told = blocked.iter().map(|(resource, namespace)| match namespace {
            Some(namespace) => format!("{resource} of {namespace}"),
            None => (*resource).to_owned(),
        });
        Finding::new("what the cluster needs to come back is left out", format!("it decides about {}", names(told)))
            .so("when its backend is down, what would bring it back is refused")
            .mend(narrow(webhook, &blocked))
            .info()
    });
}

/// How to leave out what it should not decide about.
fn narrow(webhook: &Webhook, blocked: &[(&str, Option<&str>)]) -> String {
    let namespaces: BTreeSet<&str> = blocked.iter().filter_map(|(_, namespace)| *namespace).collect();
    let outside = blocked.iter().filter(|(_, namespace)| namespace.is_none()).map(|(resource, _)| *resource);
    let mut ways: Vec<String> = outside.map(|resource| format!("leave {resource} out of its rules")).collect();
    if !namespaces.is_empty() {
        let namespaces: Vec<&str> = namespaces.into_iter().collect();
        let list = namespaces.join(", ");
        ways.push(format!("a namespaceSelector with kubernetes.io/metadata.name NotIn [{list}]"));
    }
    format!("kubectl edit {} {}: {}", webhook.kind.to_lowercase(), webhook.configuration, ways.join("; "))
}

#[cfg(test)]
mod tests {
    use rcgen::date_time_ymd;

    use super::*;
    use crate::certificate::testing::Authority;
    use crate::fact::facts::admission_webhooks::{Requirement, WebhookRule};
    use crate::fact::facts::namespaces::Namespace;
    use crate::object_ref::testing::named;
    use crate::suites::pki::testing::clock;

    fn until(year: i32) -> Authority {
        Authority::with("webhook", |params| {
            params.not_before = date_time_ymd(2017, 7, 1);
            params.not_after = date_time_ymd(year, 1, 1);
        })
    }

    fn webhook() -> Webhook {
        let words = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        Webhook {
            kind: "ValidatingWebhookConfiguration".into(),
            configuration: "policy".into(),
            name: "pods.policy.example.com".into(),
            fails_closed: true,
            timeout_seconds: 10,
            service: Some(named("policy/webhook")),
            port: 443,
            authorities: Some(Ok(vec![until(2036).certificate])),
            rules: vec![WebhookRule {
                groups: words(&[""]),
                resources: words(&["pods"]),
                operations: words(&["CREATE"]),
                scope: "*".into(),
            }],
            namespaces: vec![Requirement {
                key: "kubernetes.io/metadata.name".into(),
                operator: "NotIn".into(),
                values: words(&["kube-system", "policy"]),
            }],
            objects: Vec::new(),
            conditions: 0,
        }
    }

    fn backend(ready: usize) -> WebhookBackend {
        WebhookBackend { ports: Some(BTreeSet::from([443])), external_name: None, ready, not_ready: 1 }
    }

    fn judged(webhook: Webhook, backend: Seen<WebhookBackend>) -> Verdict {
        let namespace = |name: &str| {
            let labels = [("kubernetes.io/metadata.name".to_owned(), name.to_owned())].into();
            (name.to_owned(), Namespace { labels, ..Namespace::default() })
        };
        judge(
            &AdmissionWebhooks(vec![webhook]),
            &WebhookBackends([(named("policy/webhook"), backend)].into()),
            &Namespaces(["kube-system", "policy", "default"].map(namespace).into()),
            &clock(),
        )
    }

    #[test]
    fn a_live_backend_with_a_narrow_scope_passes() {
        let verdict = judged(webhook(), Ok(backend(1)));
        assert_eq!((verdict.observations(), verdict.findings(Severity::Major)), (3, vec![]));
    }

    #[test]
    fn dead_backends_are_found() {
        let seen = |backend| judged(webhook(), Ok(backend)).findings(Severity::Major)[0].seen.clone();
        assert_eq!(seen(backend(0)), "it has no ready endpoint, and 1 that are not");
        assert_eq!(seen(WebhookBackend::default()), "there is no such Service");
        let other_port = WebhookBackend { ports: Some(BTreeSet::from([8443])), ..backend(1) };
        assert_eq!(seen(other_port), "it has the ports 8443");
        let elsewhere = WebhookBackend { external_name: Some("hooks.example.com".into()), ..backend(0) };
        assert!(judged(webhook(), Ok(elsewhere)).findings(Severity::Major).is_empty());
        assert_eq!(judged(webhook(), Err(Unobserved::Interrupted)).gaps().len(), 1);
    }

    #[test]
    fn bundles_that_verify_nothing_are_found() {
        let with = |authorities| judged(Webhook { authorities, ..webhook() }, Ok(backend(1))).findings(Severity::Major);
        let expired = with(Some(Ok(vec![until(2026).certificate])));
        assert_eq!(expired[0].severity, Severity::Critical);
        assert!(expired[0].impact.as_deref().unwrap().contains("CREATE of pods"));
        assert!(with(Some(Ok(vec![until(2026).certificate, until(2036).certificate]))).is_empty());
        assert_eq!(with(Some(Err("it is no text".into())))[0].seen, "it is no text");
        assert!(with(None)[0].seen.starts_with("no caBundle"));
    }

    #[test]
    fn a_scope_over_what_brings_the_cluster_back_is_a_remark() {
        let wide = Webhook { namespaces: Vec::new(), ..webhook() };
        let findings = judged(wide.clone(), Ok(backend(1))).findings(Severity::Major);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Info));
        assert_eq!(findings[0].seen, "it decides about pods of kube-system, pods of policy");
        assert!(findings[0].fix.ends_with("NotIn [kube-system, policy]"));
        let all = WebhookRule {
            groups: vec!["*".into()],
            resources: vec!["*".into()],
            operations: vec!["*".into()],
            scope: "*".into(),
        };
        let everything = judged(Webhook { rules: vec![all], ..wide.clone() }, Ok(backend(1)));
        let mend = everything.findings(Severity::Major)[0].fix.clone();
        assert!(mend.contains("leave nodes out of its rules; a"), "{mend}");
        assert!(mend.ends_with("NotIn [default, kube-system, policy]"), "{mend}");
        let narrowed = judged(Webhook { conditions: 1, ..wide }, Ok(backend(1)));
        assert!(narrowed.findings(Severity::Major).is_empty() && crate::check::testing::notes(&narrowed).len() == 1);
    }

    #[test]
    fn one_that_answers_at_a_url_and_is_narrowed_shows_nothing() {
        let url = Webhook { service: None, authorities: None, conditions: 1, ..webhook() };
        assert!(judged(url, Ok(backend(1))).reason().unwrap().contains("answered by a URL"));
    }

    #[test]
    fn without_one_that_fails_closed_there_is_nothing_to_judge() {
        let open = Webhook { fails_closed: false, ..webhook() };
        assert!(judged(open, Ok(backend(0))).reason().unwrap().contains("none of the 1"));
    }
}
