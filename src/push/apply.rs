//! Server-side apply of a ClusterReport, with the run's own credential.

use std::time::Duration;

use k8s_openapi::{ClusterResourceScope, Resource};
use serde_json::Value;
use tokio::time::timeout;

use crate::cluster::{Call, Cluster};
use crate::report::{Format, Gathered};
use crate::rule::Rule;
use crate::seen::{Seen, Unobserved};

/// What it takes. The object's name contains the cluster's, so that a rule cannot name it.
pub(crate) const RULES: [Rule; 1] = [Rule::cluster("openreports.io", "clusterreports", &["create", "patch"])];

/// How long everything may take.
const TOTAL: Duration = Duration::from_secs(15);

/// The kind, of which the program needs no more: the report writes its fields.
struct ClusterReport;

impl Resource for ClusterReport {
    const API_VERSION: &'static str = "openreports.io/v1alpha1";
    const GROUP: &'static str = "openreports.io";
    const KIND: &'static str = "ClusterReport";
    const VERSION: &'static str = "v1alpha1";
    const URL_PATH_SEGMENT: &'static str = "clusterreports";
    type Scope = ClusterResourceScope;
}

/// Applies the report on this run. Returns why it could not be done.
pub(super) async fn apply(cluster: &Cluster, run: &Gathered) -> Result<(), String> {
    match timeout(TOTAL, applied(cluster, run)).await {
        Ok(Ok(())) => Ok(()),
        // An object that does not exist is created: what is missing is the kind.
        Ok(Err(Unobserved::Absent { .. })) => {
            Err("it has no ClusterReports: install the definitions of OpenReports".into())
        }
        Ok(Err(why)) => Err(why.to_string()),
        Err(_) => Err(format!("no answer within {} s", TOTAL.as_secs())),
    }
}

async fn applied(cluster: &Cluster, run: &Gathered) -> Seen<()> {
    let mut text = Vec::new();
    let write = Format::OpenReports.writer().expect("the object is written as a whole");
    write(run, &mut text).expect("memory takes everything");
    let body: Value = serde_json::from_slice(&text).map_err(|e| Unobserved::invalid("the ClusterReport", e))?;
    let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let call = Call::apply::<ClusterReport>(name, body, "seaworthy").with("force", "true");
    cluster.send(&call).await?.is_answer(&call)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::{answer, answering, cluster};
    use crate::report::testing::events;

    async fn attempt(answers: Vec<String>) -> (Result<(), String>, Vec<String>) {
        let (url, requests) = answering(answers).await;
        let mut run = Gathered::default();
        for event in events() {
            run.event(&event);
        }
        let applied = apply(&cluster(&url, 4, Duration::from_secs(5)), &run).await;
        let requests = requests.lock().unwrap().clone();
        (applied, requests)
    }

    fn status(code: u16, reason: &str, message: &str) -> String {
        let body = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code,
        });
        answer(&format!("{code} {reason}"), "", &body.to_string())
    }

    #[tokio::test]
    async fn one_object_is_applied_under_the_name_of_cluster_and_profile() {
        let object = r#"{"apiVersion":"openreports.io/v1alpha1","kind":"ClusterReport","metadata":{"name":"x"}}"#;
        let (applied, requests) = attempt(vec![answer("200 OK", "", object)]).await;
        assert_eq!(applied, Ok(()));
        let expected = "PATCH /apis/openreports.io/v1alpha1/clusterreports/seaworthy-bed-audit\
                        ?fieldManager=seaworthy&force=true HTTP/1.1";
        assert_eq!(requests[0], expected);
    }

    #[tokio::test]
    async fn a_missing_permission_and_a_missing_definition_are_named() {
        let message = "clusterreports.openreports.io \"x\" is forbidden: User \"jane\" cannot patch resource \
                       \"clusterreports\" in API group \"openreports.io\" at the cluster scope";
        let (applied, _) = attempt(vec![status(403, "Forbidden", message)]).await;
        let why = applied.unwrap_err();
        assert!(why.contains("not permitted: patch clusterreports.openreports.io"), "{why}");
        let absent = status(404, "NotFound", "the server could not find the requested resource");
        let (applied, _) = attempt(vec![absent]).await;
        assert_eq!(applied.unwrap_err(), "it has no ClusterReports: install the definitions of OpenReports");
        let (applied, _) = attempt(vec![answer("200 OK", "", "<html>a proxy</html>")]).await;
        assert!(applied.is_err(), "a page of a proxy is no answer");
    }
}
