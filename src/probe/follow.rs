//! Reads what a watching pod tells while it tells it.

use k8s_openapi::api::core::v1::Pod;
use tokio::io::AsyncBufReadExt;
use tokio::sync::mpsc;

use super::ask::watch::Try;
use crate::cluster::{Call, Cluster};
use crate::seen::{Seen, Unobserved};

/// Passes on every try that a pod tells, and at last why it tells no more. Ends when nobody listens.
pub async fn follow<T>(
    cluster: &Cluster,
    namespace: &str,
    pod: &str,
    told: mpsc::Sender<T>,
    as_told: impl Fn(Seen<Try>) -> T,
) {
    let call = Call::get_in::<Pod>(namespace, pod).subresource("log").with("follow", "true");
    let ended = async {
        let mut lines = cluster.stream(&call).await?.lines();
        while let Some(line) = lines.next_line().await.map_err(|e| Unobserved::unreachable(call.to_string(), e))? {
            let done = serde_json::from_str(&line).map_err(|e| Unobserved::invalid(call.to_string(), e))?;
            if told.send(as_told(Ok(done))).await.is_err() {
                break;
            }
        }
        Err::<(), _>(Unobserved::unreachable(format!("the pod {pod}"), "it stopped to tell what it sees"))
    };
    if let Err(why) = ended.await {
        // Who no longer listens needs no reason.
        let _ = told.send(as_told(Err(why))).await;
    }
}
