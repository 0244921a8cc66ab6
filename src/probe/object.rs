//! The objects of which a deployment of probes is made, as they are sent.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::ask::watch::WatchQuestions;
use super::serve::{POD_VARIABLE, RUN_VARIABLE};
use super::{PORT, Questions, question, spread};
use crate::live::RunId;

/// The label that marks everything of ours.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "seaworthy");
/// The label that names the run.
pub const RUN: &str = "seaworthy.dev/run";
/// The annotation with the time from which on leftovers of the run may be removed.
pub const EXPIRES: &str = "seaworthy.dev/expires";

/// How many ports the Service with many of them has. The answer about each takes some seventy bytes, and a datagram of DNS
/// holds 512 unless more is asked for (RFC 1035, section 4.2.1).
pub const MANY_PORTS: u16 = 10;

/// The label with what a pod does; policies and Services select by it.
pub(super) const ROLE: &str = "seaworthy.dev/role";
/// What a probe does that answers others. Each has its role in a trial instead.
const SERVES: &str = "serve";
/// The label by which Services find the probes that serve.
pub const LEVEL: &str = "seaworthy.dev/level";

/// What a run's objects are for, and what Pod Security must admit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Probes as any workload's pod.
    Restricted,
    /// Probes on the node's network, which see some of its directories.
    Privileged,
    /// Probes as any workload's pod, to which network policies are applied: separate from the others, whose traffic goes on.
    Policed,
    /// Probes as any workload's pod, whose Service comes and goes.
    Served,
    /// Probes as any workload's pod, which watch what becomes of the cluster while a part of it is down.
    Watching,
    /// Probes as any workload's pod, whose account may read what monitoring reads of kubelets.
    Monitoring,
}

impl Level {
    /// All.
    pub const ALL: [Self; 6] =
        [Self::Restricted, Self::Privileged, Self::Policed, Self::Served, Self::Watching, Self::Monitoring];

    /// The name of the run's objects of this level; pods append a number.
    pub fn name(self, run: &RunId) -> String {
        let run = run.name();
        match self {
            Self::Restricted => run,
            Self::Privileged => format!("{run}-host"),
            Self::Policed => format!("{run}-policy"),
            Self::Served => format!("{run}-service"),
            Self::Watching => format!("{run}-drill"),
            Self::Monitoring => format!("{run}-monitoring"),
        }
    }

    /// The level whose objects have this name in a run.
    pub(super) fn named(run: &RunId, name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name(run) == name)
    }

    /// The value of the label that distinguishes it from the others.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Restricted => "restricted",
            Self::Privileged => "privileged",
            Self::Policed => "policed",
            Self::Served => "served",
            Self::Watching => "watching",
            Self::Monitoring => "monitoring",
        }
    }

    /// Whether its pods are open to all else, whatever policy closes their namespace. Those on a node's network are anyway.
    pub(super) const fn is_open(self) -> bool {
        matches!(self, Self::Restricted | Self::Served | Self::Watching | Self::Monitoring)
    }

    /// As Pod Security calls it.
    const fn pod_security(self) -> &'static str {
        match self {
            Self::Restricted | Self::Policed | Self::Served | Self::Watching | Self::Monitoring => "restricted",
            Self::Privileged => "privileged",
        }
    }
}

/// What all objects of a run have in common.
pub struct Mark<'a> {
    /// The run.
    pub run: &'a RunId,
    /// What its namespace admits.
    pub level: Level,
    /// When leftovers may be removed.
    pub expires: Timestamp,
    /// The object that all others belong to, by name and uid: with it they go.
    pub owner: Option<(&'a str, &'a str)>,
}

/// The run whose mark an object has, and when it may be removed. None for an object that is not marked as ours.
pub fn marked(metadata: &ObjectMeta) -> Option<(RunId, Option<Timestamp>)> {
    let labels = metadata.labels.as_ref()?;
    if labels.get(MANAGED_BY.0).map(String::as_str) != Some(MANAGED_BY.1) {
        return None;
    }
    let run = labels.get(RUN)?.parse().ok()?;
    let expires = metadata.annotations.as_ref().and_then(|annotations| annotations.get(EXPIRES));
    Some((run, expires.and_then(|at| at.parse().ok())))
}

impl Mark<'_> {
    /// The metadata of an object of this name.
    pub fn metadata(&self, name: &str) -> Value {
        let mut metadata = json!({
            "name": name,
            "labels": { MANAGED_BY.0: MANAGED_BY.1, RUN: self.run.to_string(), LEVEL: self.level.label() },
            "annotations": { EXPIRES: self.expires.to_string() },
        });
        if let Some((owner, uid)) = self.owner {
            metadata["ownerReferences"] =
                json!([{ "apiVersion": "v1", "kind": "ServiceAccount", "name": owner, "uid": uid }]);
        }
        metadata
    }

    /// A namespace of the run's own, in which pods of this level and stricter ones are admitted.
    pub fn namespace(&self) -> Value {
        let mut metadata = self.metadata(&self.level.name(self.run));
        metadata["labels"]["pod-security.kubernetes.io/enforce"] = self.level.pod_security().into();
        json!({ "metadata": metadata })
    }

    /// The service account of the probes, which has no rights unless some are granted, and to which everything else
    /// belongs.
    pub fn service_account(&self) -> Value {
        json!({ "metadata": self.metadata(&self.level.name(self.run)), "automountServiceAccountToken": false })
    }

    /// The Service that gives each probe a name.
    pub fn names(&self) -> Value {
        self.service("", json!({ "clusterIP": "None" }))
    }

    /// The Service that spreads over all probes.
    pub fn spread(&self) -> Value {
        self.service("-spread", json!({ "type": "NodePort", "ipFamilyPolicy": "PreferDualStack" }))
    }

    /// The Service that is another name for a name.
    pub fn alias(&self, of: &str) -> Value {
        json!({
            "metadata": self.metadata(&format!("{}-alias", self.run.name())),
            "spec": { "type": "ExternalName", "externalName": of },
        })
    }

    /// A Service with so many ports that an answer about all of them takes more than a datagram. It has no endpoints.
    pub fn many_ports(&self) -> Value {
        let port = |i: u16| json!({ "name": format!("port-{i}"), "protocol": "TCP", "port": PORT + i });
        let ports: Vec<Value> = (0..MANY_PORTS).map(port).collect();
        json!({ "metadata": self.metadata(&format!("{}-many", self.run.name())), "spec": { "ports": ports } })
    }

    /// The Service that keeps a client with one probe.
    pub fn affinity(&self) -> Value {
        self.service("-affinity", json!({ "sessionAffinity": "ClientIP" }))
    }

    /// The Service in front of the pods that have a role in a trial, once they are ready.
    pub fn of_trial(&self, role: &str) -> Value {
        let selector = json!({ RUN: self.run.to_string(), LEVEL: self.level.label(), ROLE: role });
        self.service("", json!({ "selector": selector, "publishNotReadyAddresses": false }))
    }

    fn service(&self, suffix: &str, differences: Value) -> Value {
        let mut service = json!({
            "metadata": self.metadata(&format!("{}{suffix}", self.level.name(self.run))),
            "spec": {
                "selector": { RUN: self.run.to_string(), LEVEL: self.level.label(), ROLE: SERVES },
                // A probe serves before its pod is ready, and after it has asked its questions it never is again.
                "publishNotReadyAddresses": true,
                "ports": [
                    { "name": "tcp", "protocol": "TCP", "port": PORT },
                    { "name": "udp", "protocol": "UDP", "port": PORT },
                ],
            },
        });
        if let (Some(spec), Value::Object(differences)) = (service["spec"].as_object_mut(), differences) {
            spec.extend(differences);
        }
        service
    }
}

/// A container of a probe, which runs `seaworthy probe WHAT` and may do nothing else.
pub fn container(name: &str, image: &str, what: &str, environment: Value, mounts: Value) -> Value {
    json!({
        "name": name,
        "image": image,
        "args": ["probe", what],
        "env": environment,
        "volumeMounts": mounts,
        "resources": {
            "requests": { "cpu": "1m", "memory": "8Mi" },
            "limits": { "cpu": "1", "memory": "64Mi" },
        },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
    })
}

/// The container of a probe that answers others.
pub(super) fn serving(image: &str, run: &RunId, pod: &str) -> Value {
    let environment = json!([
        { "name": RUN_VARIABLE, "value": run.to_string() },
        { "name": POD_VARIABLE, "value": pod },
    ]);
    container("serve", image, "serve", environment, json!([]))
}

/// The container of a probe that asks the same again and again.
pub(super) fn watching(image: &str, questions: &WatchQuestions) -> serde_json::Result<Value> {
    let environment = json!([{ "name": question::VARIABLE, "value": serde_json::to_string(questions)? }]);
    Ok(container("watch", image, "watch", environment, json!([])))
}

/// Where a pod of ours runs, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    /// Its name.
    pub name: &'a str,
    /// The node that it is pinned to.
    pub node: &'a str,
    /// The image of its containers.
    pub image: &'a str,
    /// After how many seconds the kubelet ends it, whatever became of the runner.
    pub lifetime_seconds: i64,
}

/// What a pod of ours does.
pub trait Work {
    /// The pod that does it, as it is sent.
    fn pod(&self, placed: &Placed<'_>, mark: &Mark<'_>) -> serde_json::Result<Value>;
}

/// A pod with these questions that does not answer others: no Service selects it.
pub struct OnlyAsks(pub Questions);

impl Work for Questions {
    fn pod(&self, placed: &Placed<'_>, mark: &Mark<'_>) -> serde_json::Result<Value> {
        let serving = serving(placed.image, mark.run, placed.name);
        let mut pod = placed.asking_pod(mark, self, vec![serving])?;
        pod["metadata"]["labels"][ROLE] = SERVES.into();
        pod["spec"]["hostname"] = placed.name.into();
        pod["spec"]["subdomain"] = mark.run.name().into();
        Ok(pod)
    }
}

impl Work for OnlyAsks {
    fn pod(&self, placed: &Placed<'_>, mark: &Mark<'_>) -> serde_json::Result<Value> {
        placed.asking_pod(mark, &self.0, Vec::new())
    }
}

impl Placed<'_> {
    /// A pod of these containers and those that ask.
    fn asking_pod(
        &self,
        mark: &Mark<'_>,
        questions: &Questions,
        mut containers: Vec<Value>,
    ) -> serde_json::Result<Value> {
        let account = json!([{ "name": "account", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true }]);
        for (name, questions) in spread::over_containers(questions.clone()) {
            let ask = json!([{ "name": question::VARIABLE, "value": serde_json::to_string(&questions)? }]);
            containers.push(container(&name, self.image, "ask", ask, account.clone()));
        }
        let mut pod = self.restricted_pod(mark, &containers);
        pod["spec"]["volumes"] = json!([{
            "name": "account",
            "projected": { "sources": [{ "serviceAccountToken": { "path": "token", "expirationSeconds": 600 } }] },
        }]);
        Ok(pod)
    }

    /// A pod that Pod Security admits everywhere; those that probe a node itself differ in what they must. It is bound to its
    /// node by name, so that neither the scheduler nor a cordon keeps it away, and the kubelet ends it after so many seconds,
    /// whatever became of the runner. Its user is the image's: OpenShift admits no other than those of the namespace's own
    /// range, and none that is stated.
    pub(super) fn restricted_pod(&self, mark: &Mark<'_>, containers: &[Value]) -> Value {
        json!({
            "metadata": mark.metadata(self.name),
            "spec": {
                "nodeName": self.node,
                "restartPolicy": "Never",
                "activeDeadlineSeconds": self.lifetime_seconds,
                "terminationGracePeriodSeconds": 0,
                "serviceAccountName": mark.level.name(mark.run),
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "tolerations": [{ "operator": "Exists" }],
                "securityContext": {
                    "runAsNonRoot": true,
                    "seccompProfile": { "type": "RuntimeDefault" },
                },
                "containers": containers,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::probe::batch::Batch;

    fn run() -> RunId {
        serde_json::from_str("\"x7f4k\"").unwrap()
    }

    #[test]
    fn everything_is_marked_and_belongs_to_one_object() {
        let run = run();
        let mark = Mark {
            run: &run,
            level: Level::Restricted,
            expires: Timestamp::UNIX_EPOCH,
            owner: Some(("seaworthy-x7f4k", "u-1")),
        };
        for object in [mark.names(), mark.spread(), mark.affinity()] {
            assert_eq!(object["metadata"]["labels"][RUN], "x7f4k");
            assert_eq!(object["metadata"]["labels"][MANAGED_BY.0], "seaworthy");
            assert_eq!(object["metadata"]["annotations"][EXPIRES], "1970-01-01T00:00:00Z");
            assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], "u-1");
        }
    }

    #[test]
    fn a_probe_is_a_restricted_pod_that_ends_by_itself() {
        let run = run();
        let mark = Mark { run: &run, level: Level::Restricted, expires: Timestamp::UNIX_EPOCH, owner: None };
        let batch = Batch::of(run.clone(), Duration::from_secs(1), Duration::from_secs(9));
        let questions = Questions { resolver: true, ..Questions::none(batch) };
        let placed = Placed { name: "p", node: "n1", image: "i", lifetime_seconds: 60 };
        let pod = questions.pod(&placed, &mark).unwrap();
        assert_eq!(pod["spec"]["activeDeadlineSeconds"], 60);
        assert_eq!(pod["spec"]["restartPolicy"], "Never");
        assert_eq!(pod["spec"]["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["spec"]["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        for container in pod["spec"]["containers"].as_array().unwrap() {
            assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL");
            assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
        }
    }

    #[test]
    fn services_select_the_probes_that_serve_and_no_others() {
        let run = run();
        let mark = Mark { run: &run, level: Level::Restricted, expires: Timestamp::UNIX_EPOCH, owner: None };
        let batch = Batch::of(run.clone(), Duration::from_secs(1), Duration::from_secs(9));
        let questions = Questions { resolver: true, ..Questions::none(batch) };
        let placed = Placed { name: "p", node: "n1", image: "i", lifetime_seconds: 60 };
        let selected = |pod: &Value| {
            [mark.names(), mark.spread(), mark.affinity()].iter().all(|service| {
                let selector = service["spec"]["selector"].as_object().unwrap();
                selector.iter().all(|(key, value)| pod["metadata"]["labels"][key] == *value)
            })
        };
        let containers = |pod: &Value| -> Vec<String> {
            let all = pod["spec"]["containers"].as_array().unwrap().iter();
            all.map(|container| container["name"].as_str().unwrap().to_owned()).collect()
        };
        let pod = questions.pod(&placed, &mark).unwrap();
        assert_eq!((selected(&pod), containers(&pod)), (true, vec!["serve".to_owned(), "ask".to_owned()]));
        let pod = OnlyAsks(questions).pod(&placed, &mark).unwrap();
        assert_eq!((selected(&pod), containers(&pod)), (false, vec!["ask".to_owned()]));
    }
}
