//! What a cluster reports about a pod, in Events.

use k8s_openapi::api::core::v1::Event;

use crate::cluster::{Call, Cluster};
use crate::seen::Seen;

/// The most Events that are kept of one pod.
const MOST: usize = 5;
/// The most characters of one that are kept.
const LENGTH: usize = 300;

/// The reasons and messages of a pod's Events, the last ones first.
pub async fn events(cluster: &Cluster, namespace: &str, pod: &str) -> Seen<Vec<String>> {
    let call =
        Call::list::<Event>().in_namespace(namespace).with("fieldSelector", format!("involvedObject.name={pod}"));
    let mut events =
        cluster.list(call, |event: Event| (event.metadata.creation_timestamp.clone(), text(&event))).await?;
    events.sort_by(|(one, _), (other, _)| other.cmp(one));
    Ok(events.into_iter().map(|(_, text)| text).take(MOST).collect())
}

fn text(event: &Event) -> String {
    let first_line = event.message.as_deref().and_then(|message| message.lines().next()).unwrap_or_default();
    let text = format!("{}: {first_line}", event.reason.as_deref().unwrap_or_default());
    text.chars().take(LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_its_reason_and_the_first_line_of_its_message() {
        let event = Event {
            reason: Some("FailedCreatePodSandBox".into()),
            message: Some("plugin type=\"ptp\" failed\nmore".into()),
            ..Event::default()
        };
        assert_eq!(text(&event), "FailedCreatePodSandBox: plugin type=\"ptp\" failed");
        assert_eq!(text(&Event { message: Some("x".repeat(900)), ..event.clone() }).len(), LENGTH);
    }
}
