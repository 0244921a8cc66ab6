//! Whether the API server reaches the kubelets: the log of one pod on each node.

pub(crate) use crate::cluster::Came;
pub(crate) use crate::cluster::reply::UNKNOWN_TO_KUBELET;
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::api::core::v1 as core;
use serde::{Deserialize, Serialize};

use super::nodes::{Node, Nodes};
use super::pods::{Container, Pod, Pods};
use crate::cluster::reply::is_our_refusal;
use crate::cluster::{Call, Cluster, Reply, until};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// The namespace of the pods whose logs are requested: nearly every node runs one.
const NAMESPACE: &str = "kube-system";
/// The most nodes that are asked about: each takes a request.
const MOST: usize = 20;

/// For how long a kubelet may not have the pod: one that has just started does not know its pods yet.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_secs(1);

/// The outcome of a request for the log of one pod on each node, by node. The log itself is not kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct KubeletLogs {
    /// The nodes that were tried. What is absent is a pod that was deleted meanwhile.
    pub asked: BTreeMap<String, Seen<LogAnswer>>,
    /// How many other nodes there are.
    pub others: usize,
}

/// The answer of the API server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogAnswer {
    /// The pod.
    pub pod: String,
    /// The outcome.
    pub came: Came,
}

impl Observe for KubeletLogs {
    type Needs<'a> = (&'a Nodes, &'a Pods);
    const NAME: &'static str = "kubelet-logs";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::namespaced(NAMESPACE, "", "pods/log", &["get"])];

    async fn observe(Live { cluster, .. }: &Live, (nodes, pods): Self::Needs<'_>) -> Seen<Self> {
        // A node without such a pod has no log that can be requested.
        let with_log: BTreeMap<&str, (&Pod, &Container)> = pods
            .of_namespace(NAMESPACE)
            .filter_map(|pod| Some((pod.node.as_deref()?, (pod, with_log(pod)?))))
            .collect();
        let at: Vec<_> =
            nodes.0.iter().filter_map(|(name, node)| Some((name, node, *with_log.get(name.as_str())?))).collect();
        if at.is_empty() {
            return Err(Unobserved::absent(format!("no pod of {NAMESPACE} runs")));
        }
        let some = at.iter().step_by(at.len().div_ceil(MOST));
        let asked = some.map(async |(name, node, of)| ((*name).clone(), ask(cluster, name, node, *of).await));
        let asked: BTreeMap<_, _> = join_all(asked).await.into_iter().collect();
        Ok(Self { others: nodes.0.len() - asked.len(), asked })
    }
}

async fn ask(cluster: &Cluster, name: &str, node: &Node, (pod, container): (&Pod, &Container)) -> Seen<LogAnswer> {
    if !node.is_ready() {
        return Err(Unobserved::unreachable(format!("the kubelet of {name}"), "the node is not Ready"));
    }
    let call = Call::get_in::<core::Pod>(NAMESPACE, &pod.name)
        .subresource("log")
        .with("container", container.name.clone())
        .with("tailLines", "1")
        .with("limitBytes", "1");
    let ask = || cluster.send(&call);
    let came = match until(PATIENCE, PAUSE, ask, |reply| !is_unknown_to_kubelet(reply, &pod.name)).await {
        Ok(reply) if reply.status == 200 => Came::Wanted,
        // A refusal of our own credential is not the kubelet's refusal of the API server.
        Ok(reply) if is_our_refusal(reply.status, &reply.message()) => {
            return reply.accepted(&call).and(Err(Unobserved::invalid(call.to_string(), reply.message())));
        }
        Ok(reply) if is_deleted(&reply, &pod.name) => {
            return Err(Unobserved::absent(format!("pod {} was deleted while the run went on", pod.name)));
        }
        Ok(reply) => Came::Error { status: reply.status, message: reply.message() },
        Err(Unobserved::TimedOut { after_ms, .. }) => Came::Nothing { after_ms },
        Err(why) => return Err(why),
    };
    Ok(LogAnswer { pod: pod.name.clone(), came })
}

/// Whether the API server does not have the pod. A kubelet without it answers in other words.
fn is_deleted(reply: &Reply, pod: &str) -> bool {
    reply.status == 404 && reply.message().contains(&format!("pods \"{pod}\" not found"))
}

fn is_unknown_to_kubelet(reply: &Seen<Reply>, pod: &str) -> bool {
    reply.as_ref().is_ok_and(|reply| reply.status == 404 && !is_deleted(reply, pod))
}

/// The container of a running pod that writes a log.
fn with_log(pod: &Pod) -> Option<&Container> {
    let runs = pod.phase == "Running" && !pod.deleting;
    pod.containers.iter().find(|container| runs && container.ready)
}

crate::observed!(KubeletLogs);

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, message: &str) -> Reply {
        let body = serde_json::json!({"kind": "Status", "message": message, "reason": "NotFound"});
        Reply { status, date: None, content_type: String::new(), body: body.to_string().into() }
    }

    #[test]
    fn a_pod_that_was_deleted_is_told_from_one_that_its_kubelet_does_not_have() {
        let deleted = reply(404, "pods \"kube-proxy-x\" not found");
        assert!(is_deleted(&deleted, "kube-proxy-x") && !is_unknown_to_kubelet(&Ok(deleted), "kube-proxy-x"));
        let unknown = reply(404, "the server could not find the requested resource ( pods/log kube-proxy-x)");
        assert!(!is_deleted(&unknown, "kube-proxy-x") && is_unknown_to_kubelet(&Ok(unknown), "kube-proxy-x"));
        assert!(!is_unknown_to_kubelet(&Ok(reply(200, "")), "kube-proxy-x"));
    }
}
