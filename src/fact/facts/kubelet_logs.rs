//! Whether the API server reaches the kubelets: the log of one pod on each node.

pub(crate) use crate::cluster::Came;
pub(crate) use crate::cluster::reply::UNKNOWN_TO_KUBELET;
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::{join_all, join3};
use k8s_openapi::api::core::v1 as core;
use serde::{Deserialize, Serialize};

use super::nodes::{Node, Nodes};
use super::pods::{Container, Pod, Pods};
use crate::cluster::reply::is_about_kubelet;
use crate::cluster::{Call, Cluster, Reply, until};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// The namespace of the pods whose logs are requested: nearly every node runs one.
const NAMESPACE: &str = "kube-system";
/// The most nodes that are asked about: each takes a request.
const MOST: usize = 20;
/// After how long without an answer the log is requested once more: an answer may have been lost on the way to us.
const PATIENCE: Duration = Duration::from_secs(2);
/// For how long a kubelet may not have the pod: one that has just started does not know its pods yet.
const PATIENCE_WITH_STARTS: Duration = Duration::from_secs(8);
/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_secs(1);
/// No pod has a container of this name. The API server refuses a request for its log by itself.
const NO_CONTAINER: &str = "seaworthy-none";

/// The outcome of a request for the log of one pod on each node, by node. The log itself is not kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct KubeletLogs {
    /// The nodes that were tried.
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
        // What is not answered by then is missing for that reason; the rest is kept.
        let limit = cluster.deadline(Self::DEADLINE) * 9 / 10;
        let asked = some.map(async |(name, node, of)| {
            let answer = tokio::time::timeout(limit, ask(cluster, name, node, *of)).await;
            let late = |_| Err(Unobserved::timed_out(format!("the kubelet of {name}"), limit));
            ((*name).clone(), answer.unwrap_or_else(late))
        });
        let asked: BTreeMap<_, _> = join_all(asked).await.into_iter().collect();
        Ok(Self { others: nodes.0.len() - asked.len(), asked })
    }
}

async fn ask(cluster: &Cluster, name: &str, node: &Node, (pod, container): (&Pod, &Container)) -> Seen<LogAnswer> {
    if !node.is_ready() {
        return Err(Unobserved::unreachable(format!("the kubelet of {name}"), "the node is not Ready"));
    }
    let ask = || request(cluster, &pod.name, &container.name);
    let is_unknown = |came: &Seen<Came>| matches!(came, Ok(Came::Error { status: 404, .. }));
    let came = until(PATIENCE_WITH_STARTS, PAUSE, ask, |came| !is_unknown(came)).await?;
    Ok(LogAnswer { pod: pod.name.clone(), came })
}

/// Requests the last byte of a container's log.
async fn request(cluster: &Cluster, pod: &str, container: &str) -> Seen<Came> {
    let of = |container: &str| {
        Call::get_in::<core::Pod>(NAMESPACE, pod)
            .subresource("log")
            .with("container", container)
            .with("tailLines", "1")
            .with("limitBytes", "1")
    };
    let (call, control) = (of(container), of(NO_CONTAINER));
    let mut first = Box::pin(cluster.send(&call));
    if let Ok(reply) = tokio::time::timeout(PATIENCE, &mut first).await {
        return came(&call, &reply?);
    }
    // Only the kubelet is to blame if the API server answers the same request as long as no kubelet is part of it.
    let (first, second, control) = join3(first, cluster.send(&call), cluster.send(&control)).await;
    match (first, second, control) {
        (Ok(reply), _, _) | (_, Ok(reply), _) => came(&call, &reply),
        (Err(Unobserved::TimedOut { after_ms, .. }), Err(Unobserved::TimedOut { .. }), Ok(control))
            if control.status == 400 =>
        {
            Ok(Came::Nothing { after_ms })
        }
        (Err(why), _, _) => Err(why),
    }
}

/// What the answer shows about the kubelet. An error of the API server about anything else shows nothing.
fn came(call: &Call, reply: &Reply) -> Seen<Came> {
    let message = reply.message();
    match reply.status {
        200 if reply.is_html() => Err(Unobserved::invalid(call.to_string(), "the answer is an HTML page")),
        200 => Ok(Came::Wanted),
        404 if reply.reason() == "NotFound" && !is_about_kubelet(&message) => {
            Err(Unobserved::absent(format!("{call}: the pod was deleted while the run went on")))
        }
        status if is_about_kubelet(&message) => Ok(Came::Error { status, message }),
        _ => reply.accepted(call).and(Err(Unobserved::invalid(call.to_string(), message))),
    }
}

/// The container of a running pod that writes a log.
fn with_log(pod: &Pod) -> Option<&Container> {
    let runs = pod.phase == "Running" && !pod.deleting;
    pod.containers.iter().find(|container| runs && container.ready)
}

crate::observed!(KubeletLogs);

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;

    use super::*;
    use crate::cluster::testing::cluster;

    fn answered(status: u16, body: &str) -> Seen<Came> {
        let call = Call::get_in::<core::Pod>(NAMESPACE, "kube-proxy-1").subresource("log");
        let body = Bytes::from(body.to_owned());
        came(&call, &Reply { status, body, ..Reply::default() })
    }

    fn status(code: u16, reason: &str, message: &str) -> Seen<Came> {
        let status =
            json!({ "kind": "Status", "apiVersion": "v1", "code": code, "reason": reason, "message": message });
        answered(code, &status.to_string())
    }

    #[test]
    fn only_what_the_api_server_states_about_a_kubelet_is_a_finding() {
        for (code, message) in [
            (
                500,
                "Get \"https://10.77.0.12:10250/containerLogs/kube-system/x/y\": dial tcp 10.77.0.12:10250: connect: refused",
            ),
            (500, "Get \"https://n2:10250/containerLogs/kube-system/x/y\": tls: failed to verify certificate: x509"),
            (
                403,
                "Forbidden (user=kube-apiserver-kubelet-client, verb=get, resource=nodes, subresource=proxy) ( pods/log x)",
            ),
            (401, "the server has asked for the client to provide credentials ( pods/log x)"),
        ] {
            let blamed =
                matches!(status(code, "InternalError", message), Ok(Came::Error { status, .. }) if status == code);
            assert!(blamed, "{message}");
        }
        for (code, message) in [
            (429, "too many requests"),
            (410, "the provided continue parameter is too old"),
            (500, "etcdserver: request timed out"),
            (504, "context deadline exceeded"),
            (400, "container \"y\" in pod \"x\" is waiting to start: ContainerCreating"),
        ] {
            assert!(matches!(status(code, "x", message), Err(Unobserved::Invalid { .. })), "{message}");
        }
        let refused = "pods \"x\" is forbidden: User \"a\" cannot get resource \"pods/log\" in API group \"\"";
        assert!(matches!(status(403, "Forbidden", refused), Err(Unobserved::Refused { .. })));
        assert!(matches!(answered(302, "<html>log in</html>"), Err(Unobserved::Invalid { .. })));
        assert!(matches!(answered(200, "<html>log in</html>"), Err(Unobserved::Invalid { .. })));
        assert_eq!(answered(200, "x"), Ok(Came::Wanted));
    }

    /// An API server that answers requests for the log of a container that no pod has, or nothing at all.
    async fn silent(but_for_the_control: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut line = String::new();
                    BufReader::new(&mut stream).read_line(&mut line).await.unwrap();
                    if but_for_the_control && line.contains(NO_CONTAINER) {
                        let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
                        stream.write_all(answer).await.unwrap();
                    }
                    std::future::pending::<()>().await;
                });
            }
        });
        url
    }

    #[tokio::test]
    async fn a_silent_kubelet_is_distinguished_from_a_silent_api_server() {
        let deadline = PATIENCE + Duration::from_millis(300);
        let of_kubelet = cluster(&silent(true).await, 4, deadline);
        let came = request(&of_kubelet, "kube-proxy-1", "kube-proxy").await;
        assert!(matches!(came, Ok(Came::Nothing { .. })), "{came:?}");
        let of_server = cluster(&silent(false).await, 4, deadline);
        let came = request(&of_server, "kube-proxy-1", "kube-proxy").await;
        assert!(matches!(came, Err(Unobserved::TimedOut { .. })), "{came:?}");
    }
}
