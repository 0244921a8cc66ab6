//! Reads the log of a watching pod while the pod writes it.

use k8s_openapi::api::core::v1::Pod;
use tokio::io::AsyncBufReadExt;
use tokio::sync::mpsc;

use super::ask::watch::Try;
use crate::cluster::{Call, Cluster};
use crate::seen::{Seen, Unobserved};

/// The most characters of a line that is quoted.
const LENGTH: usize = 200;

/// Passes on every try that a pod reports, and at last why it reports no more. Ends when the receiver is dropped. A log that
/// breaks is read again from its beginning, as long as more of it comes each time.
pub async fn follow<T>(
    cluster: &Cluster,
    namespace: &str,
    pod: &str,
    tries: mpsc::Sender<T>,
    wrap: impl Fn(Seen<Try>) -> T,
) {
    let call = Call::get_in::<Pod>(namespace, pod).subresource("log").with("follow", "true");
    let mut passed_on = 0;
    loop {
        let before = passed_on;
        let ended = async {
            let mut lines = cluster.stream(&call).await?.lines();
            let mut read = 0;
            while let Some(line) = lines.next_line().await.map_err(|e| Unobserved::unreachable(call.to_string(), e))? {
                read += 1;
                if read <= passed_on {
                    continue;
                }
                let done = serde_json::from_str(&line).map_err(|_| foreign(&call, &line))?;
                passed_on = read;
                if tries.send(wrap(Ok(done))).await.is_err() {
                    return Ok(());
                }
            }
            Err(Unobserved::unreachable(format!("the pod {pod}"), "it reports nothing more"))
        };
        match ended.await {
            Ok(()) => return,
            Err(_) if passed_on > before => {}
            Err(why) => {
                // A receiver that is dropped needs no reason.
                let _ = tries.send(wrap(Err(why))).await;
                return;
            }
        }
    }
}

/// A line that the pod did not write. A kubelet that cannot follow a log writes the reason into it, under a status of 200:
/// `failed to create fsnotify watcher: too many open files`.
fn foreign(call: &Call, line: &str) -> Unobserved {
    let line: String = line.chars().take(LENGTH).collect();
    Unobserved::invalid(call.to_string(), format!("the probe does not write {line:?}; it may come from the kubelet"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::testing::{answer, answering, cluster};

    #[tokio::test]
    async fn a_log_that_breaks_is_read_again_as_long_as_more_of_it_comes() {
        let line = |at: u64| format!("{{\"target\":\"service\",\"at_ms\":{at},\"fault\":null}}\n");
        let (first, second) = (line(1), line(1) + &line(2));
        let half = format!("{second}{}", &line(3)[..9]);
        let answers = [first, half, second].map(|log| answer("200 OK", "", &log));
        let (url, requests) = answering(answers.to_vec()).await;
        let (sender, mut receiver) = mpsc::channel(9);
        follow(&cluster(&url, 1, Duration::from_secs(20)), "a", "b", sender, |tried| tried).await;
        let mut seen = Vec::new();
        while let Some(tried) = receiver.recv().await {
            seen.push(tried.map(|tried| tried.at_ms).map_err(|why| why.to_string()));
        }
        let end = "the pod b cannot be reached: it reports nothing more".to_owned();
        assert_eq!((seen, requests.lock().unwrap().len()), (vec![Ok(1), Ok(2), Err(end)], 3));
    }

    #[tokio::test]
    async fn what_a_kubelet_writes_into_a_log_is_the_reason() {
        let log = "failed to create fsnotify watcher: too many open files";
        let (url, _) = answering(vec![answer("200 OK", "", log)]).await;
        let (sender, mut receiver) = mpsc::channel(9);
        follow(&cluster(&url, 1, Duration::from_secs(20)), "a", "b", sender, |tried| tried).await;
        let why = receiver.recv().await.unwrap().unwrap_err().to_string();
        assert!(why.contains("log?follow=true: the probe does not write \"failed to create fsnotify watcher"), "{why}");
    }
}
