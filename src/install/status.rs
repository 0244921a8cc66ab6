//! How the last run of an installation ended.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use super::{INSTALLATION, Schedule};
use crate::cluster::{Call, Cluster};
use crate::seen::Seen;

/// How many lines at the end of a log are looked at for the verdict.
const TAIL: &str = "40";
/// The words with which the verdict begins, in the log of a run.
const VERDICTS: [&str; 4] = ["seaworthy:", "not seaworthy:", "inconclusive:", "interrupted:"];

/// An installation, and how its last run ended.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Status {
    /// Its name.
    pub(crate) name: String,
    /// Its namespace.
    pub(crate) namespace: String,
    /// The schedule of cron.
    pub(crate) schedule: String,
    /// The time zone of the schedule.
    pub(crate) time_zone: Option<String>,
    /// Whether no run is started at present.
    pub(crate) suspended: bool,
    /// When the next run begins, as far as that is known.
    pub(crate) next: Option<Timestamp>,
    /// The image that runs.
    pub(crate) image: String,
    /// The last run, if there was one.
    pub(crate) last: Option<LastRun>,
    /// The claim of the volume that holds results, if there is one.
    pub(crate) claim: Option<String>,
}

/// The last run.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LastRun {
    /// Its Job.
    pub(crate) job: String,
    /// When the Job was created.
    pub(crate) created: Option<Timestamp>,
    /// When it ended.
    pub(crate) ended: Option<Timestamp>,
    /// What became of it.
    pub(crate) state: State,
    /// Why it failed, or is not running yet.
    pub(crate) reason: Option<String>,
    /// What the run found, in the words of its log.
    pub(crate) verdict: Option<String>,
}

/// What became of a Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// Its pod has not ended.
    Running,
    /// The run itself worked, whatever it found.
    Complete,
    /// The run did not end as it should.
    Failed,
}

#[derive(Clone, Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(rename = "creationTimestamp")]
    created: Option<Timestamp>,
}

#[derive(Deserialize)]
struct ListedCronJob {
    metadata: Metadata,
    spec: CronJobFields,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CronJobFields {
    schedule: String,
    time_zone: Option<String>,
    #[serde(default)]
    suspend: bool,
    job_template: Nested<Nested<PodFields>>,
}

/// A template in a `spec`.
#[derive(Deserialize)]
struct Nested<T> {
    #[serde(alias = "template")]
    spec: T,
}

#[derive(Deserialize)]
struct PodFields {
    spec: Containers,
}

#[derive(Deserialize)]
struct Containers {
    #[serde(default)]
    containers: Vec<ListedContainer>,
    #[serde(default)]
    volumes: Vec<ListedVolume>,
}

#[derive(Deserialize)]
struct ListedContainer {
    #[serde(default)]
    image: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedVolume {
    persistent_volume_claim: Option<ListedClaim>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedClaim {
    claim_name: String,
}

#[derive(Deserialize)]
struct ListedJob {
    metadata: Metadata,
    #[serde(default)]
    status: JobFields,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JobFields {
    completion_time: Option<Timestamp>,
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    r#type: String,
    status: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
    last_transition_time: Option<Timestamp>,
}

#[derive(Deserialize)]
struct ListedPod {
    metadata: Metadata,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodStatus {
    reason: String,
    message: String,
    container_statuses: Vec<ContainerStatus>,
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct ContainerStatus {
    #[serde(default)]
    state: BTreeMap<String, ContainerState>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ContainerState {
    reason: String,
    message: String,
    exit_code: Option<i32>,
}

/// All installations of this name, each with its last run.
pub(crate) async fn of(cluster: &Cluster, name: &str, namespace: Option<&str>) -> Seen<Vec<Status>> {
    let call = Call::list::<CronJob>().with("labelSelector", selector(name));
    let call = match namespace {
        Some(namespace) => call.in_namespace(namespace),
        None => call,
    };
    let mut found = Vec::new();
    for ListedCronJob { metadata, spec } in cluster.list(call, |listed: ListedCronJob| listed).await? {
        let last = last_run(cluster, name, &metadata.namespace).await?;
        found.push(status(name, metadata, spec, last, Timestamp::now()));
    }
    Ok(found)
}

fn selector(name: &str) -> String {
    format!("{INSTALLATION}={name}")
}

fn status(name: &str, of: Metadata, spec: CronJobFields, last: Option<LastRun>, now: Timestamp) -> Status {
    let CronJobFields { schedule, time_zone, suspend, job_template: Nested { spec: Nested { spec: pod } } } = spec;
    let due = time_zone.as_deref().and_then(|zone| Schedule::new(&schedule, zone).ok()?.next(now));
    let claim = pod.spec.volumes.into_iter().find_map(|volume| Some(volume.persistent_volume_claim?.claim_name));
    Status {
        name: name.to_owned(),
        namespace: of.namespace,
        next: due.filter(|_| !suspend),
        schedule,
        time_zone,
        suspended: suspend,
        image: pod.spec.containers.into_iter().next().map(|container| container.image).unwrap_or_default(),
        last,
        claim,
    }
}

async fn last_run(cluster: &Cluster, name: &str, namespace: &str) -> Seen<Option<LastRun>> {
    let call = Call::list::<Job>().in_namespace(namespace).with("labelSelector", selector(name));
    let jobs = cluster.list(call, |job: ListedJob| job).await?;
    let Some(job) = jobs.into_iter().max_by_key(|job| job.metadata.created) else { return Ok(None) };
    let of_job = format!("job-name={}", job.metadata.name);
    let call = Call::list::<Pod>().in_namespace(namespace).with("labelSelector", of_job);
    let pods = cluster.list(call, |pod: ListedPod| pod).await?;
    let pod = pods.into_iter().max_by_key(|pod| pod.metadata.created);
    let log = match &pod {
        Some(pod) => log(cluster, namespace, &pod.metadata.name).await,
        None => None,
    };
    Ok(Some(run(job, pod, log.as_deref())))
}

/// The end of a log. A pod whose container has not started has none, and one may read pods and no logs.
async fn log(cluster: &Cluster, namespace: &str, pod: &str) -> Option<String> {
    let call = Call::get_in::<Pod>(namespace, pod).subresource("log").with("tailLines", TAIL);
    let reply = cluster.send(&call).await.ok()?;
    reply.accepted(&call).ok().map(|()| reply.text())
}

fn run(job: ListedJob, pod: Option<ListedPod>, log: Option<&str>) -> LastRun {
    let ended = |kind: &str| job.status.conditions.iter().find(|one| one.r#type == kind && one.status == "True");
    let (state, condition) = match (ended("Complete"), ended("Failed")) {
        (Some(complete), _) => (State::Complete, Some(complete)),
        (None, Some(failed)) => (State::Failed, Some(failed)),
        (None, None) => (State::Running, None),
    };
    let of_job = condition.map(|one| in_words(&one.reason, &one.message));
    let of_pod = pod.and_then(|pod| obstacle(&pod.status));
    LastRun {
        ended: job.status.completion_time.or(condition.and_then(|one| one.last_transition_time)),
        reason: match state {
            State::Complete => None,
            State::Running => of_pod,
            State::Failed => Some([of_job, of_pod].into_iter().flatten().collect::<Vec<_>>().join("; ")),
        },
        verdict: log.and_then(verdict),
        job: job.metadata.name,
        created: job.metadata.created,
        state,
    }
}

/// What keeps a pod from running, or what ended it.
fn obstacle(pod: &PodStatus) -> Option<String> {
    if !pod.reason.is_empty() {
        return Some(in_words(&pod.reason, &pod.message));
    }
    let mut states = pod.container_statuses.iter().flat_map(|container| container.state.iter());
    let of_container = states.find_map(|(kind, state)| match kind.as_str() {
        "waiting" if !state.reason.is_empty() => Some(in_words(&state.reason, &state.message)),
        "terminated" => state.exit_code.filter(|code| *code != 0).map(|code| {
            let why = if state.reason.is_empty() { String::new() } else { format!(" ({})", state.reason) };
            format!("exit code {code}{why}")
        }),
        _ => None,
    });
    of_container.or_else(|| {
        let unscheduled = |one: &&Condition| one.r#type == "PodScheduled" && one.status == "False";
        pod.conditions.iter().find(unscheduled).map(|one| in_words(&one.reason, &one.message))
    })
}

fn in_words(reason: &str, message: &str) -> String {
    if message.is_empty() { reason.to_owned() } else { format!("{reason}: {message}") }
}

/// The last line of a log that states a verdict, with the lines that it goes on in.
fn verdict(log: &str) -> Option<String> {
    let lines: Vec<&str> = log.lines().collect();
    let begins = |line: &&str| VERDICTS.iter().any(|word| line.starts_with(word));
    let at = lines.iter().rposition(begins)?;
    let goes_on = lines[at + 1..].iter().take_while(|line| line.starts_with(' ') && !line.trim().is_empty());
    let words = std::iter::once(&lines[at]).chain(goes_on).flat_map(|line| line.split_whitespace());
    Some(words.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn last(job: serde_json::Value, pod: serde_json::Value, log: &str) -> LastRun {
        let job = json!({"metadata": {"name": "a-1", "creationTimestamp": "2026-12-01T02:17:00Z"}, "status": job});
        let pod = json!({"metadata": {"name": "a-1-x"}, "status": pod});
        run(serde_json::from_value(job).unwrap(), Some(serde_json::from_value(pod).unwrap()), Some(log))
    }

    #[test]
    fn a_run_that_worked_has_its_verdict() {
        let job = json!({"completionTime": "2026-12-01T02:17:09Z",
            "conditions": [{"type": "Complete", "status": "True", "reason": "CompletionsReached"}]});
        let log = "PK-01 …\nnot seaworthy: 3 findings\n    in 2 checks\n";
        let run = last(job, json!({}), log);
        assert_eq!((run.state, run.reason.as_deref()), (State::Complete, None));
        assert_eq!(run.verdict.as_deref(), Some("not seaworthy: 3 findings in 2 checks"));
        assert_eq!(run.ended.unwrap().to_string(), "2026-12-01T02:17:09Z");
    }

    #[test]
    fn a_run_that_was_killed_says_by_what() {
        let job = json!({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded",
            "message": "Job has reached the specified backoff limit", "lastTransitionTime": "2026-12-01T02:18:00Z"}]});
        let pod = json!({"containerStatuses": [{"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]});
        let run = last(job, pod, "cut off");
        assert_eq!((run.state, run.verdict), (State::Failed, None));
        let reason = run.reason.unwrap();
        assert!(
            reason.starts_with("BackoffLimitExceeded: ") && reason.ends_with("; exit code 137 (OOMKilled)"),
            "{reason}"
        );
    }

    #[test]
    fn a_pod_that_does_not_start_says_why() {
        let waiting =
            json!({"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}]});
        let run = last(json!({}), waiting, "");
        assert_eq!((run.state, run.reason.as_deref()), (State::Running, Some("ErrImagePull: no")));
        let unscheduled =
            json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]});
        assert_eq!(last(json!({}), unscheduled, "").reason.as_deref(), Some("Unschedulable"));
    }

    #[test]
    fn the_next_run_is_known_unless_it_is_suspended() {
        let listed = |suspend: bool, zone: Option<&str>| {
            let pod = json!({"containers": [{"image": "i:1"}],
                "volumes": [{"configMap": {}}, {"persistentVolumeClaim": {"claimName": "c"}}]});
            let listed = json!({"metadata": {"name": "a", "namespace": "b"}, "spec": {"schedule": "17 2 * * *",
                "timeZone": zone, "suspend": suspend, "jobTemplate": {"spec": {"template": {"spec": pod}}}}});
            let ListedCronJob { metadata, spec } = serde_json::from_value(listed).unwrap();
            status("a", metadata, spec, None, "2026-12-01T12:00:00Z".parse().unwrap())
        };
        let seen = listed(false, Some("Etc/UTC"));
        assert_eq!(seen.next.unwrap().to_string(), "2026-12-02T02:17:00Z");
        assert_eq!((seen.image.as_str(), seen.claim.as_deref()), ("i:1", Some("c")));
        assert_eq!(listed(true, Some("Etc/UTC")).next, None);
        // Without a time zone it is that of the controller-manager, which is not known here.
        assert_eq!(listed(false, None).next, None);
    }
}
