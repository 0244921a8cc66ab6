//! # Admission webhooks that fail closed can answer
//!
//! ## Why
//! With `failurePolicy: Fail`, the API server refuses every matching request while the webhook does not answer. If its backend
//! was uninstalled or its CA has expired, the objects that it watches cannot be created or changed. If it watches the pods of
//! kube-system or its own pods, the cluster may not recover after the loss of a node.
//!
//! ## Fix
//! Restore the backend (the finding names its Service), or delete the leftover configuration. Renew its certificate and
//! `caBundle` (cert-manager's CA injector does that by itself). Exclude kube-system and the webhook's own namespace with a
//! `namespaceSelector` on `kubernetes.io/metadata.name` NotIn.
//!
//! ## Source
//! <https://kubernetes.io/docs/concepts/cluster-administration/admission-webhooks-good-practices/>; kubernetes/kubernetes
//! `staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook`. A CA is due a month before it expires, or in the
//! last third of a lifetime of less than 90 days. A scope that includes kube-system is informational; a scope that match
//! conditions or object labels narrow is not judged.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::finding::Difference;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::admission_webhooks::{AdmissionWebhooks, Webhook};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::namespaces::Namespaces;
use crate::fact::facts::webhook_backends::{WebhookBackend, WebhookBackends};
use crate::object_ref::NamespacedName;
use crate::seen::{Seen, Unobserved};
use crate::suites::pki::lifetime::{least, left, length, remainder};

crate::check!("CP-11", "admission-webhooks", Major, judge);

/// What the cluster needs to recover: operation, API group, resource, and its namespace, if it has one.
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
            0 => "there are no admission webhooks".into(),
            all => format!("none of the {all} admission webhooks fails closed"),
        });
    }
    let mut verdict = Verdict::new();
    for webhook in closed {
        judge_backend(&mut verdict, webhook, &backends.0);
        judge_ca_bundle(&mut verdict, webhook, clock);
        judge_scope(&mut verdict, webhook, namespaces);
    }
    if verdict.observations() == 0 && verdict.saw_everything() {
        let why = verdict.notes().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        return verdict.does_not_apply(format!("none of them can be judged: {why}"));
    }
    verdict
}

fn subject(webhook: &Webhook) -> Subject {
    Subject::cluster_object(&webhook.kind, format!("{}, webhook {}", webhook.configuration, webhook.name))
}

/// The requests that fail while the webhook does not answer.
fn watched(webhook: &Webhook) -> impl Iterator<Item = String> {
    let refused = "refused while it does not answer";
    let rules = webhook.rules.iter();
    rules.map(move |rule| format!("{refused}: {} of {}", rule.operations.join("/"), rule.resources.join("/")))
}

/// The consequence of a webhook that fails closed and does not answer.
const REFUSED: &str = "the API server refuses every request that the webhook matches";

fn delete(webhook: &Webhook) -> String {
    format!("kubectl delete {} {}", webhook.kind.to_lowercase(), webhook.configuration)
}

fn judge_backend(verdict: &mut Verdict, webhook: &Webhook, backends: &BTreeMap<NamespacedName, Seen<WebhookBackend>>) {
    let Some(service) = &webhook.service else {
        verdict.note_about(subject(webhook), "its URL was not called");
        return;
    };
    let unknown = Err(Unobserved::invalid(format!("Service {service}"), "it is not among the observed ones"));
    let Some(backend) = verdict.seen(|| subject(webhook), backends.get(service).unwrap_or(&unknown)) else { return };
    let seen = match &backend.ports {
        None => Some("the Service does not exist".to_owned()),
        // Endpoints outside the cluster are not visible from here.
        Some(_) if backend.external_name.is_some() => None,
        Some(ports) if !ports.contains(&webhook.port) => Some("the Service has other ports".to_owned()),
        Some(_) if backend.ready == 0 => {
            Some(format!("the Service has no ready endpoint, and {} that are not ready", backend.not_ready))
        }
        Some(_) => None,
    };
    verdict.expect(subject(webhook), seen.is_none(), || {
        Finding::new(format!("Service {service} answers at port {}", webhook.port), seen.unwrap_or_default())
            .evidence(watched(webhook))
            .impact(REFUSED)
            .fix(format!("restore Service {service} and its pods; if it was uninstalled for good: {}", delete(webhook)))
            .managed_by(webhook.manager.as_ref())
    });
}

fn judge_ca_bundle(verdict: &mut Verdict, webhook: &Webhook, clock: &Clock) {
    let bundle = match &webhook.authorities {
        Some(Ok(bundle)) => bundle,
        Some(Err(why)) => {
            return verdict.find(subject(webhook), unusable(webhook, why));
        }
        None if webhook.service.is_some() => {
            let seen = "no caBundle, so the API server verifies the certificate with its host's CAs";
            return verdict.find(
                subject(webhook),
                Finding::new("caBundle contains the CA of the webhook's certificate", seen)
                    .evidence(watched(webhook))
                    .impact("public CAs do not sign Service names, so every call fails")
                    .fix(set_bundle(webhook))
                    .managed_by(webhook.manager.as_ref()),
            );
        }
        None => return,
    };
    let mut described = Vec::new();
    for certificate in bundle {
        match certificate.describe() {
            Ok(description) => described.push(description),
            Err(malformed) => {
                return verdict.find(subject(webhook), unusable(webhook, &malformed.to_string()));
            }
        }
    }
    // The one that expires last counts: an old CA stays beside its successor for a while.
    let Some(last) = described.iter().max_by_key(|authority| authority.not_after) else { return };
    let due = least(last, 30, 3);
    verdict.expect(subject(webhook), left(last, clock.server) >= due, || {
        let finding = Finding::new(
            format!("caBundle is valid for at least {}", length(due)),
            format!("{} {}", last.subject, remainder(last, clock.server)),
        )
        .evidence(watched(webhook))
        .impact("once it has expired, the API server refuses every request that the webhook matches")
        .fix(set_bundle(webhook))
        .managed_by(webhook.manager.as_ref());
        if left(last, clock.server).is_negative() { finding.severity(Severity::Critical) } else { finding }
    });
}

/// A caBundle from which the API server cannot read certificates.
fn unusable(webhook: &Webhook, why: &str) -> Difference {
    Finding::new("caBundle contains certificates", why)
        .evidence(watched(webhook))
        .impact("the API server cannot verify the webhook, so every call fails")
        .fix(set_bundle(webhook))
        .managed_by(webhook.manager.as_ref())
}

fn set_bundle(webhook: &Webhook) -> String {
    let kind = webhook.kind.to_lowercase();
    format!("set caBundle to the current CA of the webhook: kubectl edit {kind} {}", webhook.configuration)
}

fn judge_scope(verdict: &mut Verdict, webhook: &Webhook, namespaces: &Namespaces) {
    if webhook.conditions > 0 || !webhook.objects.is_empty() {
        verdict
            .note_about(subject(webhook), "match conditions or object labels narrow its scope and were not evaluated");
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
            // Namespace labels do not narrow cluster-scoped resources.
            blocked.push((resource, None));
            continue;
        };
        // A deleted namespace has no pods to block.
        let Some(known) = namespaces.0.get(namespace) else { continue };
        if webhook.namespaces.iter().all(|requirement| requirement.is_met(&known.labels)) {
            blocked.push((resource, Some(namespace)));
        }
    }
    blocked.dedup();
    verdict.expect(subject(webhook), blocked.is_empty(), || {
        let vital = blocked.iter().map(|(resource, namespace)| match namespace {
            Some(namespace) => format!("{resource} of {namespace}"),
            None => (*resource).to_owned(),
        });
        Finding::new(
            "the webhook leaves out the resources that the cluster needs to recover",
            format!("it matches {} of them", blocked.len()),
        )
        .evidence(vital)
        .impact("while its backend is down, the API server refuses the requests that would restore it")
        .fix(narrow(webhook, &blocked))
        .managed_by(webhook.manager.as_ref())
        .info()
    });
}

/// How to exclude the resources that it should not match.
fn narrow(webhook: &Webhook, blocked: &[(&str, Option<&str>)]) -> String {
    let namespaces: BTreeSet<&str> = blocked.iter().filter_map(|(_, namespace)| *namespace).collect();
    let outside = blocked.iter().filter(|(_, namespace)| namespace.is_none()).map(|(resource, _)| *resource);
    let mut ways: Vec<String> = outside.map(|resource| format!("remove {resource} from its rules")).collect();
    if !namespaces.is_empty() {
        let namespaces: Vec<&str> = namespaces.into_iter().collect();
        let list = namespaces.join(", ");
        ways.push(format!("add a namespaceSelector with kubernetes.io/metadata.name NotIn [{list}]"));
    }
    format!("kubectl edit {} {}: {}", webhook.kind.to_lowercase(), webhook.configuration, ways.join("; "))
}

#[cfg(test)]
mod tests {
    use rcgen::date_time_ymd;

    use super::*;
    use crate::certificate::testing::Authority;
    use crate::fact::facts::admission_webhooks::WebhookRule;
    use crate::fact::facts::label_selector::Requirement;
    use crate::fact::facts::namespaces::Namespace;
    use crate::manager::Manager;
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
            manager: None,
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
        assert_eq!(seen(backend(0)), "the Service has no ready endpoint, and 1 that are not ready");
        assert_eq!(seen(WebhookBackend::default()), "the Service does not exist");
        let other_port = WebhookBackend { ports: Some(BTreeSet::from([8443])), ..backend(1) };
        assert_eq!(seen(other_port), "the Service has other ports");
        let elsewhere = WebhookBackend { external_name: Some("hooks.example.com".into()), ..backend(0) };
        assert!(judged(webhook(), Ok(elsewhere)).findings(Severity::Major).is_empty());
        assert_eq!(judged(webhook(), Err(Unobserved::Interrupted)).gaps().len(), 1);
    }

    #[test]
    fn the_fix_shows_what_manages_the_configuration() {
        let manager = Some(Manager::HelmRelease(named("policy/guard")));
        let findings = judged(Webhook { manager, ..webhook() }, Ok(backend(0))).findings(Severity::Major);
        assert_eq!(
            findings[0].fix,
            "restore Service policy/webhook and its pods; if it was uninstalled for good: kubectl delete \
             validatingwebhookconfiguration policy; change it in Helm release guard in namespace policy (values or \
             chart), because the next upgrade overwrites an edit in place"
        );
    }

    #[test]
    fn bundles_that_verify_nothing_are_found() {
        let with = |authorities| judged(Webhook { authorities, ..webhook() }, Ok(backend(1))).findings(Severity::Major);
        let expired = with(Some(Ok(vec![until(2026).certificate])));
        assert_eq!(expired[0].severity, Severity::Critical);
        assert!(expired[0].evidence[0].ends_with("CREATE of pods"));
        assert!(with(Some(Ok(vec![until(2026).certificate, until(2036).certificate]))).is_empty());
        assert_eq!(with(Some(Err("it is not text".into())))[0].seen, "it is not text");
        assert!(with(None)[0].seen.starts_with("no caBundle"));
    }

    #[test]
    fn a_scope_over_what_brings_the_cluster_back_is_a_note() {
        let wide = Webhook { namespaces: Vec::new(), ..webhook() };
        let findings = judged(wide.clone(), Ok(backend(1))).findings(Severity::Major);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Info));
        assert_eq!(findings[0].seen, "it matches 2 of them");
        assert!(findings[0].fix.ends_with("NotIn [kube-system, policy]"));
        let all = WebhookRule {
            groups: vec!["*".into()],
            resources: vec!["*".into()],
            operations: vec!["*".into()],
            scope: "*".into(),
        };
        let everything = judged(Webhook { rules: vec![all], ..wide.clone() }, Ok(backend(1)));
        let fix = everything.findings(Severity::Major)[0].fix.clone();
        assert!(fix.contains("remove nodes from its rules; add a"), "{fix}");
        assert!(fix.ends_with("NotIn [default, kube-system, policy]"), "{fix}");
        let narrowed = judged(Webhook { conditions: 1, ..wide }, Ok(backend(1)));
        assert!(narrowed.findings(Severity::Major).is_empty() && crate::check::testing::notes(&narrowed).len() == 1);
    }

    #[test]
    fn one_that_answers_at_a_url_and_is_narrowed_shows_nothing() {
        let url = Webhook { service: None, authorities: None, conditions: 1, ..webhook() };
        assert!(judged(url, Ok(backend(1))).reason().unwrap().contains("its URL was not called"));
    }

    #[test]
    fn without_one_that_fails_closed_there_is_nothing_to_judge() {
        let open = Webhook { fails_closed: false, ..webhook() };
        assert!(judged(open, Ok(backend(0))).reason().unwrap().contains("none of the 1"));
    }
}
