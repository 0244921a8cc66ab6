//! Reads the log of a watching pod while the pod writes it.

use k8s_openapi::api::core::v1::Pod;
use tokio::io::AsyncBufReadExt;
use tokio::sync::mpsc;

use super::ask::watch::Try;
use crate::cluster::{Call, Cluster};
use crate::seen::{Seen, Unobserved};

/// Passes on every try that a pod reports, and at last why it reports no more. Ends when the receiver is dropped.
pub async fn follow<T>(
    cluster: &Cluster,
    namespace: &str,
    pod: &str,
    tries: mpsc::Sender<T>,
    wrap: impl Fn(Seen<Try>) -> T,
) {
    let call = Call::get_in::<Pod>(namespace, pod).subresource("log").with("follow", "true");
    let ended = async {
        let mut lines = cluster.stream(&call).await?.lines();
        while let Some(line) = lines.next_line().await.map_err(|e| Unobserved::unreachable(call.to_string(), e))? {
            let done = serde_json::from_str(&line).map_err(|e| Unobserved::invalid(call.to_string(), e))?;
            if tries.send(wrap(Ok(done))).await.is_err() {
                break;
            }
        }
        Err::<(), _>(Unobserved::unreachable(format!("the pod {pod}"), "it reports nothing more"))
    };
    if let Err(why) = ended.await {
        // A receiver that is gone needs no reason.
        let _ = tries.send(wrap(Err(why))).await;
    }
}
