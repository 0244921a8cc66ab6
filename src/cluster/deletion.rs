//! Deletions that are confirmed: what a finalizer keeps is still there, whatever the status of the answer.

use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{Call, Cluster, Reply, until};
use crate::seen::{Seen, Unobserved};

/// How often objects that are being deleted are looked at.
const PAUSE: Duration = Duration::from_millis(100);

/// The part of an answer to a deletion that shows whether something is left.
#[derive(Deserialize)]
struct Deleted {
    kind: String,
    /// In a word if it is a `Status`. Objects have something else of this name, or nothing.
    #[serde(default)]
    status: Value,
    #[serde(default)]
    metadata: Kept,
    items: Option<Vec<IgnoredAny>>,
}

/// Why an object is not deleted at once.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Kept {
    finalizers: Vec<String>,
}

impl Cluster {
    /// Deletes an object. One that does not exist is as good; one that is kept by a finalizer is an error.
    pub async fn delete(&self, call: &Call) -> Seen<()> {
        let Some(Deleted { metadata, .. }) = self.deleted(call).await? else { return Ok(()) };
        match metadata.finalizers.as_slice() {
            [] => Ok(()),
            finalizers => Err(Unobserved::invalid(call.to_string(), format!("kept by {}", finalizers.join(", ")))),
        }
    }

    /// The same, again and again as long as it fails.
    pub async fn delete_within(&self, call: &Call, patience: Duration) -> Seen<()> {
        until(patience, PAUSE, || self.delete(call), Result::is_ok).await
    }

    /// Deletes all objects that a call selects, again until there is none any more: the answer lists those that there were.
    pub async fn delete_all(&self, call: &Call, patience: Duration) -> Seen<()> {
        let look = async || match self.deleted(call).await? {
            None => Ok(0),
            Some(Deleted { items: Some(items), .. }) => Ok(items.len()),
            Some(Deleted { kind, .. }) => Err(Unobserved::invalid(
                call.to_string(),
                format!("the answer is a {kind}, not the list of what was deleted"),
            )),
        };
        match until(patience, PAUSE, look, |seen| matches!(seen, Ok(0))).await? {
            0 => Ok(()),
            left => {
                let cause = format!("{left} of them are still being deleted after {} s", patience.as_secs());
                Err(Unobserved::invalid(call.to_string(), cause))
            }
        }
    }

    /// What the answer to a deletion shows; nothing where there was nothing to delete.
    async fn deleted(&self, call: &Call) -> Seen<Option<Deleted>> {
        let reply: Reply = self.send(call).await?;
        match reply.accepted(call) {
            Err(Unobserved::Absent { .. }) => Ok(None),
            Err(why) => Err(why),
            Ok(()) => {
                let deleted: Deleted =
                    serde_json::from_slice(&reply.body).map_err(|why| Unobserved::invalid(call.to_string(), why))?;
                if deleted.kind == "Status" && deleted.status != "Success" {
                    let cause = format!("the answer is a failure, with HTTP {}: {}", reply.status, reply.message());
                    return Err(Unobserved::invalid(call.to_string(), cause));
                }
                Ok(Some(deleted))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Pod, Secret};

    use super::*;
    use crate::cluster::testing::{answer, answering, cluster};

    const PATIENCE: Duration = Duration::from_secs(20);

    async fn delete(answered: String) -> Seen<()> {
        let (url, _) = answering(vec![answered]).await;
        cluster(&url, 1, PATIENCE).delete(&Call::delete::<Secret>("a").in_namespace("b")).await
    }

    #[tokio::test]
    async fn an_object_that_a_finalizer_keeps_is_not_deleted() {
        delete(answer("200 OK", "", r#"{"kind":"Status","status":"Success"}"#)).await.unwrap();
        delete(answer("200 OK", "", r#"{"kind":"Secret","metadata":{"name":"a"}}"#)).await.unwrap();
        delete(answer("404 Not Found", "", r#"{"kind":"Status","reason":"NotFound"}"#)).await.unwrap();
        let kept = r#"{"kind":"Secret","metadata":{"finalizers":["example.org/audit"]}}"#;
        let why = delete(answer("200 OK", "", kept)).await.unwrap_err();
        assert!(why.to_string().ends_with("kept by example.org/audit"), "{why}");
        delete(answer("200 OK", "", "<html>")).await.unwrap_err();
        delete(answer("200 OK", "", r#"{"kind":"Status","status":"Failure","message":"log in"}"#)).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_deletion_that_fails_is_tried_again() {
        let strange = answer("200 OK", "", "<html>");
        let done = answer("200 OK", "", r#"{"kind":"Status","status":"Success"}"#);
        let (url, requests) = answering(vec![strange.clone(), strange, done]).await;
        let call = Call::delete::<Secret>("a").in_namespace("b");
        cluster(&url, 1, PATIENCE).delete_within(&call, PATIENCE).await.unwrap();
        assert_eq!(requests.lock().unwrap().len(), 3);
    }

    #[tokio::test]
    async fn objects_are_deleted_until_there_is_none() {
        let list = |items: &str| answer("200 OK", "", &format!(r#"{{"kind":"PodList","items":[{items}]}}"#));
        let call = Call::delete_all::<Pod>().in_namespace("a");
        let (url, requests) = answering(vec![list("{},{}"), list("{}"), list("")]).await;
        cluster(&url, 1, PATIENCE).delete_all(&call, PATIENCE).await.unwrap();
        assert_eq!(requests.lock().unwrap().len(), 3);
        let (url, _) = answering(vec![list("{}")]).await;
        let why = cluster(&url, 1, PATIENCE).delete_all(&call, Duration::ZERO).await.unwrap_err();
        assert!(why.to_string().ends_with("1 of them are still being deleted after 0 s"), "{why}");
    }
}
