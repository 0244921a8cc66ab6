//! Whether Pod Security is enforced, tried with `dryRun=All`.

use std::collections::BTreeMap;

use futures_util::future::{join, join_all};
use k8s_openapi::api::core::v1::{self as core, Pod};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::namespaces::Namespaces;
use super::node_under_test::NONE;
use super::probe_reports::ProbeReports;
use crate::cluster::{Call, Cluster};
use crate::fact::answered::Answered;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// The number of tried namespaces, in addition to that of the probes.
const SAMPLE: usize = 5;
/// The label with the Pod Security Standard that a namespace enforces.
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
/// The levels at which a privileged pod is refused.
const ENFORCED: [&str; 2] = ["baseline", "restricted"];

/// The answers to pods in namespaces that enforce a Pod Security Standard, by namespace. All are sent with
/// `dryRun=All`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PodSecurity {
    /// The answers, by namespace.
    pub tried: BTreeMap<String, Seen<Tried>>,
    /// How many such namespaces were left out.
    pub untried: usize,
}

/// The answers to two pods in a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tried {
    /// The level of the namespace.
    pub level: String,
    /// To a privileged pod.
    pub privileged: Answered,
    /// To a pod that meets every standard.
    pub modest: Answered,
}

impl Tried {
    /// Whether a pod that meets every standard is admitted. Where it is not, something else refuses both.
    pub(crate) fn admits_pods(&self) -> bool {
        (200..300).contains(&self.modest.status)
    }
}

impl Observe for PodSecurity {
    // The namespace of the probes has the label; without probes, only existing namespaces are tried.
    type Needs<'a> = (&'a Namespaces, Result<&'a ProbeReports, &'a Unobserved>);
    const NAME: &'static str = "pod-security";
    const ACCESS: Access = Access::DryRun;
    // It is tried in other namespaces as far as pods may be created there.
    const RULES: &'static [Rule] = &[Rule::probes("", "pods", &["create"]), Rule::cluster("", "namespaces", &["list"])];

    async fn observe(Live { cluster, inputs, .. }: &Live, (namespaces, probes): Self::Needs<'_>) -> Seen<Self> {
        let own = inputs.place();
        let ours = match (inputs.namespace.is_none(), probes) {
            (true, Ok(_)) => Some((own.clone(), "restricted".to_owned())),
            _ => None,
        };
        let asking =
            namespaces.0.iter().filter(|(name, namespace)| !namespace.deleting && **name != own || ours.is_none());
        let asking: Vec<_> = asking
            .filter_map(|(name, namespace)| Some((name.clone(), namespace.labels.get(ENFORCE)?.clone())))
            .filter(|(_, level)| ENFORCED.contains(&level.as_str()))
            .collect();
        let untried = asking.len().saturating_sub(SAMPLE);
        let tried =
            join_all(ours.into_iter().chain(asking.into_iter().take(SAMPLE)).map(async |(namespace, level)| {
                let tried = try_in(cluster, &namespace, level).await;
                // A namespace that another client deletes meanwhile shows nothing.
                let admits = tried.as_ref().map_or(true, Tried::admits_pods);
                let is_deleted = !admits && is_deleted(cluster, &namespace).await;
                (!is_deleted).then_some((namespace, tried))
            }))
            .await;
        let tried: BTreeMap<_, _> = tried.into_iter().flatten().collect();
        if tried.is_empty() {
            return Err(match probes {
                // Theirs has the label.
                Err(why) if inputs.namespace.is_none() && !why.is_skip() => why.clone(),
                _ => Unobserved::absent(
                    "no namespace has the label pod-security.kubernetes.io/enforce with baseline or restricted",
                ),
            });
        }
        Ok(Self { tried, untried })
    }
}

async fn try_in(cluster: &Cluster, namespace: &str, level: String) -> Seen<Tried> {
    let send = async |pod: Value| {
        let call = Call::create::<Pod>(pod).in_namespace(namespace).dry_run();
        let reply = cluster.send(&call).await?;
        reply.permitted(&call)?;
        Answered::of(&call, &reply)
    };
    let (privileged, modest) = join(
        send(pod(json!({"privileged": true}))),
        send(pod(json!({
            "runAsNonRoot": true, "runAsUser": 65534, "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
        }))),
    )
    .await;
    Ok(Tried { level, privileged: privileged?, modest: modest? })
}

/// Whether a namespace is being deleted, or deleted. One that cannot be looked at is not known to be.
async fn is_deleted(cluster: &Cluster, namespace: &str) -> bool {
    let call = Call::list::<core::Namespace>().with("fieldSelector", format!("metadata.name={namespace}"));
    let listed = cluster.list(call, |namespace: core::Namespace| namespace.metadata.deletion_timestamp.is_some()).await;
    listed.is_ok_and(|found| found.into_iter().all(|is_being_deleted| is_being_deleted))
}

fn pod(security: Value) -> Value {
    json!({
        "metadata": {"name": NONE},
        "spec": {
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "none", "image": NONE, "securityContext": security,
                // Quotas and limits ask for these.
                "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "1m", "memory": "1Mi"}},
            }],
        },
    })
}

crate::observed!(PodSecurity);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::testing::{answer, answering, cluster};

    async fn deleted(items: &str) -> bool {
        let list = format!(r#"{{"kind":"NamespaceList","apiVersion":"v1","metadata":{{}},"items":[{items}]}}"#);
        let (url, _) = answering(vec![answer("200 OK", "", &list)]).await;
        is_deleted(&cluster(&url, 1, Duration::from_secs(20)), "a").await
    }

    #[tokio::test]
    async fn a_namespace_that_is_missing_or_being_deleted_shows_nothing() {
        assert!(deleted("").await);
        assert!(deleted(r#"{"metadata":{"name":"a","deletionTimestamp":"2026-12-01T00:00:00Z"}}"#).await);
        assert!(!deleted(r#"{"metadata":{"name":"a"}}"#).await);
        let (url, _) = answering(vec![answer("403 Forbidden", "", "no")]).await;
        assert!(!is_deleted(&cluster(&url, 1, Duration::from_secs(20)), "a").await, "it is not known");
    }
}
