//! # Conversion webhooks can answer
//!
//! ## Why
//! A custom resource with several versions is converted by a webhook whenever a client asks for another version than the
//! one in which an object is stored. While the webhook does not answer, such objects can be neither read nor listed nor
//! deleted: the operator that owns them stops, `kubectl get` fails, and the namespace cannot be deleted.
//!
//! ## Fix
//! Restore the backend (the finding names its Service). If the operator was uninstalled for good, delete its custom
//! resource definitions too: `kubectl delete crd NAME` deletes all objects of this kind. To keep the objects, set
//! `spec.conversion.strategy: None` if the versions have the same fields.
//!
//! ## Source
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#webhook-conversion>.
//! A definition with one version that is both the served and the stored one is not converted.

use std::collections::BTreeSet;

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::conversion_webhooks::{Conversion, ConversionWebhooks};
use crate::fact::facts::webhook_backends::WebhookBackend;
use crate::object_ref::NamespacedName;

crate::check!("CP-14", "conversion-webhooks", Major, judge, builds_on: ["KL-01"]);

fn judge(webhooks: &ConversionWebhooks) -> Verdict {
    if webhooks.0.is_empty() {
        return Verdict::not_applicable("no custom resource definition is converted by a webhook");
    }
    let mut verdict = Verdict::new();
    for (name, conversion) in &webhooks.0 {
        let subject = || Subject::cluster_object("CustomResourceDefinition", name);
        match (&conversion.service, &conversion.backend) {
            (Some(service), Some(backend)) => {
                if !is_converted(conversion) {
                    verdict.confirm();
                    verdict.note_about(
                        subject(),
                        "it has a conversion webhook, and only one version: nothing is converted",
                    );
                } else if let Some(backend) = verdict.seen(subject, backend) {
                    judge_backend(&mut verdict, name, conversion, service, backend);
                }
            }
            _ => verdict.note_about(subject(), "its conversion webhook is called at a URL, which was not called"),
        }
    }
    if verdict.observations() == 0 && verdict.saw_everything() {
        return verdict.does_not_apply("all conversion webhooks are called at URLs, which were not called");
    }
    verdict
}

/// Whether clients may ask for another version than one in which objects are stored.
fn is_converted(conversion: &Conversion) -> bool {
    conversion.served.union(&conversion.stored).count() > 1
}

fn judge_backend(
    verdict: &mut Verdict,
    name: &str,
    conversion: &Conversion,
    service: &NamespacedName,
    backend: &WebhookBackend,
) {
    let seen = match &backend.ports {
        None => Some("the Service does not exist".to_owned()),
        // Endpoints outside the cluster are not visible from here.
        Some(_) if backend.external_name.is_some() => None,
        Some(ports) if !ports.contains(&conversion.port) => Some("the Service has other ports".to_owned()),
        Some(_) if backend.ready == 0 => {
            Some(format!("the Service has no ready endpoint, and {} that are not ready", backend.not_ready))
        }
        Some(_) => None,
    };
    verdict.expect(Subject::cluster_object("CustomResourceDefinition", name), seen.is_none(), || {
        let versions = |what: &str, versions: &BTreeSet<String>| {
            format!("{name}: {what} {}", versions.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
        };
        Finding::new(format!("Service {service} converts it, at port {}", conversion.port), seen.unwrap_or_default())
            .evidence([versions("served as", &conversion.served), versions("stored as", &conversion.stored)])
            .impact(
                "objects that are stored in another version than the one that a client asks for can be neither read, listed \
                 nor deleted, and their namespaces hang in Terminating",
            )
            .fix(format!(
                "restore Service {service} and its pods; if it was uninstalled for good, and the objects are not needed \
                 either: kubectl delete crd {name}, which deletes all of them"
            ))
            .managed_by(conversion.manager.as_ref())
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::seen_of;
    use crate::object_ref::testing::named;
    use crate::seen::{Seen, Unobserved};

    fn judged(backend: Option<Seen<WebhookBackend>>, served: &[&str]) -> Verdict {
        let conversion = Conversion {
            service: backend.is_some().then(|| named("shop/conversion")),
            port: 443,
            backend,
            served: served.iter().map(ToString::to_string).collect(),
            stored: ["v1".to_owned()].into(),
            manager: None,
        };
        judge(&ConversionWebhooks([("orders.shop.example.org".to_owned(), conversion)].into()))
    }

    fn backend(ready: usize) -> WebhookBackend {
        WebhookBackend { ports: Some([443].into()), ready, not_ready: 1, ..WebhookBackend::default() }
    }

    #[test]
    fn a_webhook_with_an_endpoint_passes() {
        let verdict = judged(Some(Ok(backend(1))), &["v1", "v1beta1"]);
        assert_eq!((verdict.observations(), seen_of(&verdict)), (1, vec![]));
    }

    #[test]
    fn a_dead_webhook_is_found_where_something_is_converted() {
        let dead = || Some(Ok(backend(0)));
        assert_eq!(
            seen_of(&judged(dead(), &["v1", "v1beta1"])),
            [
                "CustomResourceDefinition orders.shop.example.org: the Service has no ready endpoint, and 1 that are not ready"
            ]
        );
        assert!(seen_of(&judged(dead(), &["v1"])).is_empty(), "one version");
        assert_eq!(seen_of(&judged(dead(), &["v1beta1"])).len(), 1, "stored in another version than served");
        let missing = Some(Ok(WebhookBackend::default()));
        assert!(seen_of(&judged(missing, &["v1", "v1beta1"]))[0].ends_with("the Service does not exist"));
        let other = Some(Ok(WebhookBackend { ports: Some([8443].into()), ..backend(1) }));
        assert!(seen_of(&judged(other, &["v1", "v1beta1"]))[0].ends_with("other ports"));
    }

    #[test]
    fn what_cannot_be_seen_is_not_a_pass() {
        assert_eq!(judged(Some(Err(Unobserved::Interrupted)), &["v1", "v1beta1"]).gaps().len(), 1);
        assert!(judged(None, &["v1", "v1beta1"]).reason().is_some(), "called at a URL");
        assert!(judge(&ConversionWebhooks::default()).reason().is_some());
    }
}
