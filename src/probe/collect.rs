//! Reads the probes' answers, with one watch.

mod pod;
mod running;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::io::AsyncBufReadExt;
use tokio::time::timeout_at;

pub use self::running::running;

use self::pod::{ContainerStatus, WatchedPod};
use super::ask::merge::Merge;
use super::object::RUN;
use super::{Answers, message};
use crate::cluster::Call;
use crate::live::Live;
use crate::milliseconds::milliseconds;
use crate::seen::{Seen, Unobserved};

/// The container that answers others.
const SERVE: &str = "serve";
/// What did not start a pod.
const KUBELET: &str = "the kubelet";
/// What the reason begins with why a container of a pod does not start.
pub const CANNOT_START: &str = "its container cannot start";
/// How long the kubelet may take to report that a container has ended.
const MESSAGE: Duration = Duration::from_secs(4);
/// How long a new watch waits after one broke.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the pods have.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the kubelet to acknowledge a pod, when the others have settled.
    acknowledged: Duration,
    /// To start, since their creation: an image may have to be pulled.
    started: Duration,
    /// To answer, since a pod was seen to have started.
    answered: Duration,
}

impl Patience {
    /// With pods that answer by this deadline, since they began to ask.
    pub fn with(deadline: Duration) -> Self {
        Self { answered: deadline + MESSAGE, ..Self::START }
    }

    const START: Self =
        Self { acknowledged: Duration::from_secs(8), started: Duration::from_secs(20), answered: Duration::ZERO };

    /// The longest that it can take.
    fn longest(self) -> Duration {
        self.started + self.answered
    }
}

/// What was seen of one pod.
#[derive(Clone, Debug)]
pub struct Collected {
    /// How long the API server took to accept it or to refuse it, in milliseconds.
    pub created_ms: Option<u64>,
    /// Its address, once it has one.
    pub address: Option<IpAddr>,
    /// When it was seen to serve and to have answered, if it was.
    pub times: Option<Times>,
    /// The termination messages of its containers, or why there is none, by container; or why none of them ended.
    pub messages: Seen<BTreeMap<String, Seen<String>>>,
}

/// When a pod was seen to serve, and when to have answered, in milliseconds since the runner began to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// To serve.
    pub served_ms: u64,
    /// To have answered.
    pub answered_ms: u64,
}

impl Collected {
    /// A pod of which nothing was seen, for this reason.
    pub fn nothing(why: Unobserved) -> Self {
        Self { created_ms: None, address: None, times: None, messages: Err(why) }
    }

    /// What all containers of a probe answered, as one.
    pub fn answers(self, node: &str) -> Seen<Answers> {
        let unpack = |message: &Seen<String>| {
            let message = message.as_ref().map_err(Clone::clone)?;
            message::unpack::<Answers>(message).map_err(|e| Unobserved::invalid(format!("the probe on {node}"), e))
        };
        let messages = self.messages?;
        let mut parts = messages.values().map(unpack);
        let unasked = || Err(Unobserved::invalid(format!("the probe on {node}"), "it has no container that asks"));
        let mut answers = parts.next().unwrap_or_else(unasked)?;
        for part in parts {
            answers.add(part?);
        }
        Ok(answers)
    }

    /// The termination message of one of its containers.
    pub fn message(&self, container: &str) -> Seen<&str> {
        let messages = self.messages.as_ref().map_err(Clone::clone)?;
        match messages.get(container) {
            Some(message) => message.as_deref().map_err(Clone::clone),
            None => Err(Unobserved::invalid("the probe", format!("it has no container {container}"))),
        }
    }
}

/// Waits until every one of these pods has answered, cannot answer, or has run out of time. A pod answers by the end of
/// all its containers but `serve`.
///
/// Those in `doubtful`, whose nodes are not ready, are waited for only as long as the others take.
pub async fn collect(
    live: &Live,
    namespace: &str,
    pods: &[String],
    doubtful: &[String],
    patience: Patience,
) -> BTreeMap<String, Collected> {
    let began = Instant::now();
    let deadline = live.cluster.deadline(patience.longest());
    let end = began + deadline;
    let mut awaited = Awaited {
        began,
        patience,
        pods: pods.iter().map(|pod| (pod.as_str(), Progress::default())).collect(),
        doubtful,
    };
    let call = Call::watch::<Pod>().in_namespace(namespace).with("labelSelector", format!("{RUN}={}", live.inputs.run));
    let watched = async {
        loop {
            match watch_once(live, &call, &mut awaited).await {
                Ok(true) => return None,
                Err(why @ Unobserved::Refused { .. }) => return Some(why),
                Err(why) if Instant::now() + PAUSE >= end => return Some(why),
                // The server ended the watch, or it broke: the next one reports what happened meanwhile.
                Ok(false) | Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    };
    let failed = tokio::time::timeout(deadline, watched).await.unwrap_or(None);
    let after = deadline.min(began.elapsed());
    awaited
        .pods
        .into_iter()
        .map(|(pod, progress)| {
            let messages = progress
                .settled
                .unwrap_or_else(|| Err(failed.clone().unwrap_or_else(|| overdue(&progress.state, after))));
            (pod.to_owned(), Collected { created_ms: None, address: progress.address, times: progress.times, messages })
        })
        .collect()
}

/// How a pod did not start, if that is why it did not answer: a missing image is not the fault of its node.
pub fn not_started(why: &Unobserved) -> Option<&str> {
    match why {
        Unobserved::Unreachable { target, cause } if target == KUBELET => Some(cause),
        Unobserved::Invalid { cause, .. } if cause.starts_with(CANNOT_START) => Some(cause),
        _ => None,
    }
}

/// The pods that are waited for.
struct Awaited<'a> {
    began: Instant,
    patience: Patience,
    pods: BTreeMap<&'a str, Progress>,
    doubtful: &'a [String],
}

impl Awaited<'_> {
    /// Until when it is worth waiting; none when every pod has settled.
    fn end(&self) -> Option<Instant> {
        let unsettled = |doubtful: bool| {
            let is_doubtful = |name: &str| self.doubtful.iter().any(|doubt| doubt == name);
            self.pods.iter().filter(move |(name, pod)| pod.settled.is_none() && is_doubtful(name) == doubtful)
        };
        let none = !self.pods.values().any(|pod| pod.is_acknowledged);
        unsettled(false).map(|(_, pod)| self.began + pod.due(self.patience, none)).max()
    }
}

#[derive(Default)]
struct Progress {
    address: Option<IpAddr>,
    state: String,
    is_acknowledged: bool,
    started: Option<Duration>,
    served_ms: Option<u64>,
    times: Option<Times>,
    settled: Option<Seen<BTreeMap<String, Seen<String>>>>,
}

#[derive(Deserialize)]
struct WatchEvent {
    #[serde(rename = "type")]
    kind: String,
    object: Box<RawValue>,
}

/// Whether all pods have settled, or had their time; false when the watch ended before.
async fn watch_once(live: &Live, call: &Call, awaited: &mut Awaited<'_>) -> Seen<bool> {
    let mut lines = live.cluster.stream(call).await?.lines();
    while let Some(end) = awaited.end() {
        let Ok(read) = timeout_at(end.into(), lines.next_line()).await else { return Ok(true) };
        let Some(event) = read.map_err(|e| Unobserved::unreachable(call.to_string(), e))? else { return Ok(false) };
        let Some((pod, deleted)) = change(call, &event)? else { return Ok(false) };
        let name = pod.metadata.name.clone().unwrap_or_default();
        let Some(progress) = awaited.pods.get_mut(name.as_str()) else { continue };
        progress.take(&pod, deleted, awaited.began.elapsed());
        if awaited.pods.values().all(|pod| pod.address.is_some()) {
            live.head_start.end();
        }
    }
    Ok(true)
}

/// The pod in a line of a watch, and whether it was deleted; none when the server ends the watch.
fn change(call: &Call, line: &str) -> Seen<Option<(WatchedPod, bool)>> {
    let invalid = |e| Unobserved::invalid(call.to_string(), e);
    let event: WatchEvent = serde_json::from_slice(line.as_bytes()).map_err(invalid)?;
    if event.kind == "ERROR" {
        return Ok(None);
    }
    let pod = serde_json::from_slice(event.object.get().as_bytes()).map_err(invalid)?;
    Ok(Some((pod, event.kind == "DELETED")))
}

impl Progress {
    /// How long after its creation it has had its time. Where every other pod has settled, a kubelet that has not even
    /// acknowledged this one is waited for no longer. When no kubelet has acknowledged any, they have all lost the API
    /// server, as after its restart, and are on their way back.
    fn due(&self, patience: Patience, none_acknowledged: bool) -> Duration {
        match self.started {
            Some(started) => started + patience.answered,
            None if self.is_acknowledged || none_acknowledged => patience.started,
            None => patience.acknowledged,
        }
    }

    fn take(&mut self, pod: &WatchedPod, deleted: bool, at: Duration) {
        if self.settled.is_some() {
            return;
        }
        let Some(status) = &pod.status else { return };
        self.is_acknowledged |= status.start_time.is_some();
        self.address = status.pod_ip.as_deref().and_then(|address| address.parse().ok()).or(self.address);
        let containers = || status.container_statuses.iter().flatten();
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
        self.state = state(pod);
        let invalid = |cause: String| Some(Err(Unobserved::invalid(format!("the probe on {node}"), cause)));
        let asking = || containers().filter(|container| container.name != SERVE);
        let has_run = |container: &&ContainerStatus| {
            let state = container.state.as_ref();
            state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
        };
        if asking().any(|container| has_run(&container)) {
            self.started.get_or_insert(at);
        }
        if containers().filter(has_run).any(|container| container.name == SERVE) {
            self.served_ms.get_or_insert(milliseconds(at));
        }
        let ended: Option<BTreeMap<_, _>> =
            asking().map(|container| Some((container.name.clone(), answer(&node, terminated(container)?)))).collect();
        self.settled = if let Some(messages) = ended.filter(|messages| !messages.is_empty()) {
            self.times = self.served_ms.map(|served_ms| Times { served_ms, answered_ms: milliseconds(at) });
            Some(Ok(messages))
        } else if let Some(stuck) = containers().find_map(stuck) {
            invalid(stuck)
        } else if deleted {
            invalid("another client deleted its pod".into())
        } else if matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) {
            invalid(format!("its pod ended before it answered: {}", self.state))
        } else {
            None
        };
    }
}

/// The termination message of a container, if that is its answer.
fn answer(node: &str, (code, message): (i32, String)) -> Seen<String> {
    if code == 0 {
        return Ok(message);
    }
    let cause = format!("it ended with exit code {code}: {}", first_line(&message));
    Err(Unobserved::invalid(format!("the probe on {node}"), cause))
}

fn terminated(container: &ContainerStatus) -> Option<(i32, String)> {
    let ended = container.state.as_ref()?.terminated.as_ref()?;
    Some((ended.exit_code, ended.message.clone().unwrap_or_else(|| ended.reason.clone().unwrap_or_default())))
}

/// Why a container will not start, when the kubelet has given up or will only try the same again.
fn stuck(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    let message = first_line(waiting.message.as_deref().unwrap_or_default());
    match reason {
        // A kubelet that has only just started reports this until it has read the cluster's Services.
        "CreateContainerConfigError" if message.starts_with("services have not yet been read") => None,
        "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName" => Some(format!(
            "the image {} is not available on this node ({reason}: {message}): load it with `seaworthy image -o probe.tar`, or name another with --probe-image",
            container.image
        )),
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" | "CrashLoopBackOff" => {
            Some(format!("{CANNOT_START} ({reason}: {message})"))
        }
        _ => None,
    }
}

/// What a pod is waiting for, in the kubelet's words.
fn state(pod: &WatchedPod) -> String {
    let Some(status) = &pod.status else { return String::new() };
    let waiting = status.container_statuses.iter().flatten().find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        Some(format!(
            "{} {}",
            waiting.reason.clone().unwrap_or_default(),
            first_line(waiting.message.as_deref().unwrap_or_default())
        ))
    });
    let message = status.message.clone().or_else(|| status.reason.clone());
    let phase = status.phase.clone().unwrap_or_default();
    [Some(phase), message, waiting]
        .into_iter()
        .flatten()
        .filter(|text| !text.trim().is_empty())
        .collect::<Vec<_>>()
        .join(", ")
        .trim()
        .to_owned()
}

fn overdue(state: &str, deadline: Duration) -> Unobserved {
    match state {
        "" | "Pending" => {
            Unobserved::unreachable(KUBELET, format!("it did not start the probe within {} s", deadline.as_secs()))
        }
        "Running" => Unobserved::timed_out("the probe", deadline),
        state => Unobserved::unreachable(
            KUBELET,
            format!("the probe did not get beyond {state} within {} s", deadline.as_secs()),
        ),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::pod::{State, Status, Terminated, Waiting};
    use super::*;

    fn waiting(reason: &str, message: &str) -> ContainerStatus {
        let waiting = Waiting { reason: Some(reason.into()), message: Some(message.into()) };
        ContainerStatus {
            image: "seaworthy.dev/probe:1".into(),
            state: Some(State { waiting: Some(waiting), ..State::default() }),
            ..ContainerStatus::default()
        }
    }

    #[test]
    fn a_pod_that_did_not_start_differs_from_one_that_did_not_answer() {
        let deadline = Duration::from_secs(20);
        for state in ["", "Pending", "Pending, ContainerCreating"] {
            assert!(not_started(&overdue(state, deadline)).is_some(), "{state}");
        }
        assert_eq!(not_started(&overdue("Running", deadline)), None);
        let stuck = |reason: &str| Unobserved::invalid("the probe on n1", stuck(&waiting(reason, "x")).unwrap());
        assert!(not_started(&stuck("RunContainerError")).is_some());
        assert_eq!(not_started(&stuck("ErrImagePull")), None);
    }

    #[test]
    fn a_container_that_will_not_start_differs_from_one_that_has_not_yet() {
        let image = stuck(&waiting("ErrImagePull", "not found")).unwrap();
        assert!(image.contains("seaworthy.dev/probe:1 is not available on this node"), "{image}");
        let root = "container has runAsNonRoot and image will run as root";
        assert!(stuck(&waiting("CreateContainerConfigError", root)).unwrap().contains(root));
        for (reason, message) in [
            ("ContainerCreating", ""),
            ("CreateContainerConfigError", "services have not yet been read at least once, cannot construct envvars"),
        ] {
            assert_eq!(stuck(&waiting(reason, message)), None, "{reason}");
        }
    }

    /// A pod whose kubelet has acknowledged it or not, with its asking container in this state.
    fn pod(acknowledged: bool, state: Option<State>) -> WatchedPod {
        let container = |name: &str| ContainerStatus { name: name.into(), state: state.clone(), ..waiting("", "") };
        WatchedPod {
            status: Some(Status {
                start_time: acknowledged.then_some(jiff::Timestamp::UNIX_EPOCH),
                container_statuses: state.is_some().then(|| vec![container(SERVE), container("ask")]),
                ..Status::default()
            }),
            ..WatchedPod::default()
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn awaited<'a>(pods: &[(&'a str, &WatchedPod)], doubtful: &'a [String]) -> Awaited<'a> {
        let patience = Patience { acknowledged: seconds(8), started: seconds(20), answered: seconds(10) };
        let progress = |pod: &WatchedPod| {
            let mut progress = Progress::default();
            progress.take(pod, false, seconds(3));
            progress
        };
        let pods = pods.iter().map(|(name, pod)| (*name, progress(pod))).collect();
        Awaited { began: Instant::now(), patience, pods, doubtful }
    }

    #[test]
    fn a_pod_that_has_started_has_the_time_to_answer_and_one_that_no_kubelet_acknowledges_is_soon_given_up() {
        let running = State { running: Some(IgnoredAny), ..State::default() };
        let ended = Terminated { exit_code: 0, message: Some("m".into()), reason: None };
        let ended = State { terminated: Some(ended), ..State::default() };
        let (lost, pulling) = (pod(false, None), pod(true, None));
        let (asking, answered) = (pod(true, Some(running)), pod(true, Some(ended)));
        let none: [String; 0] = [];
        let end = |pods: &[(&str, &WatchedPod)], doubtful: &[String]| {
            let awaited = awaited(pods, doubtful);
            awaited.end().map(|end| (end - awaited.began).as_secs())
        };
        assert_eq!(end(&[("a", &answered), ("b", &lost)], &none), Some(8));
        assert_eq!(end(&[("a", &answered), ("b", &pulling)], &none), Some(20));
        assert_eq!(end(&[("a", &asking), ("b", &lost)], &none), Some(13));
        assert_eq!(end(&[("a", &answered), ("b", &pulling)], &["b".to_owned()]), None, "its node is not ready");
        let of_answered = awaited(&[("a", &answered)], &none);
        let times = Times { served_ms: 3000, answered_ms: 3000 };
        assert_eq!((of_answered.end(), of_answered.pods["a"].times), (None, Some(times)));
    }
}
