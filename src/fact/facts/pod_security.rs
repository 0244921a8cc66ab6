//! Whether Pod Security is enforced, tried with `dryRun=All`.

use std::collections::BTreeMap;

use futures_util::future::{join, join_all};
use k8s_openapi::api::core::v1::Pod;
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

/// How the API server refuses what is to be created in a namespace that is being deleted, whatever it is.
const DELETED: &str = "because it is being terminated";

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
    /// Whether the namespace was being deleted.
    fn is_over(&self) -> bool {
        [&self.privileged, &self.modest].iter().any(|answer| answer.message.contains(DELETED))
    }
}

impl Observe for PodSecurity {
    // The namespace of the probes has the label; without probes, only existing namespaces are tried.
    type Needs<'a> = (&'a Namespaces, Result<&'a ProbeReports, &'a Unobserved>);
    const NAME: &'static str = "pod-security";
    const ACCESS: Access = Access::DryRun;
    // It is tried in other namespaces as far as pods may be created there.
    const RULES: &'static [Rule] = &[Rule::probes("", "pods", &["create"])];

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
                (namespace, tried)
            }))
            .await;
        // A namespace that another client deletes meanwhile shows nothing.
        let tried: BTreeMap<_, _> =
            tried.into_iter().filter(|(_, tried)| !tried.as_ref().is_ok_and(Tried::is_over)).collect();
        if tried.is_empty() {
            return Err(Unobserved::absent(
                "no namespace has the label pod-security.kubernetes.io/enforce with baseline or restricted",
            ));
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
    use super::*;

    #[test]
    fn a_namespace_that_is_being_deleted_shows_nothing() {
        let tried = |message: &str| Tried {
            level: "restricted".into(),
            privileged: Answered { status: 403, message: message.into() },
            modest: Answered { status: 201, message: String::new() },
        };
        let over =
            "pods \"none\" is forbidden: unable to create new content in namespace a because it is being terminated";
        assert!(tried(over).is_over() && !tried("pods \"none\" is forbidden: violates PodSecurity").is_over());
    }
}
