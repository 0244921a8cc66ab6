//! The cluster's pods.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use serde::{Deserialize, Serialize};

use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::object_ref::{NamespacedName, ObjectRef};
use crate::ports;
use crate::seen::{Access, Seen};

/// The annotations that show where a pod came from; others may contain anything and are not kept.
const ANNOTATIONS: [&str; 4] = ["kubernetes.io/config.source", MIRROR, "kubernetes.io/config.hash", ADVERTISED];
/// The annotation of a mirror pod.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// The annotation of kubeadm with the address that an API server advertises.
const ADVERTISED: &str = "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint";

/// All pods.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pods(pub BTreeMap<NamespacedName, Pod>);

/// The parts of a pod that checks use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The uid.
    pub uid: String,
    /// The labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The annotations that show where it came from.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The controlling owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// The node that it is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Whether it uses the node's network.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub host_network: bool,
    /// The priority class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class: Option<String>,
    /// The service account.
    pub service_account: String,
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// Whether its condition Ready is true.
    pub ready: bool,
    /// Why it is not ready, from its condition; empty without a reason.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub not_ready_because: String,
    /// Whether it is being deleted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleting: bool,
    /// Its addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// When it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// The containers, in order.
    pub containers: Vec<Container>,
    /// The ConfigMaps that it refers to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub config_maps: Vec<String>,
    /// The Secrets that it refers to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// The PersistentVolumeClaims that it refers to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
}

/// An object that controls a pod: in the pod's namespace, or in none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Owner {
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
}

/// The parts of a container that checks use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// The name.
    pub name: String,
    /// The image.
    pub image: String,
    /// How often it was restarted.
    pub restarts: i32,
    /// Whether it is ready.
    pub ready: bool,
    /// Why it waits, as `CrashLoopBackOff`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    /// The exit code other than 0 with which it ended, if it has not been restarted yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<i32>,
    /// When it started, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// Its run before this one, or the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousRun>,
    /// The command line of a control-plane static pod of kube-system; not kept of other containers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
}

/// A run of a container that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousRun {
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
}

impl PreviousRun {
    fn of(ended: &core::ContainerStateTerminated) -> Option<Self> {
        Some(Self { started: ended.started_at.as_ref()?.0, ended: ended.finished_at.as_ref()?.0 })
    }
}

impl Pod {
    /// What it belongs to: a Deployment rather than its ReplicaSet, whose name ends in the hash that the pod has as a label.
    pub fn workload(&self) -> Option<ObjectRef> {
        let Owner { kind, name } = self.owner.as_ref()?;
        let hash = self.labels.get("pod-template-hash").filter(|_| kind == "ReplicaSet");
        let deployment = hash.and_then(|hash| name.strip_suffix(hash.as_str())?.strip_suffix('-'));
        let (kind, name) =
            deployment.map_or((kind.clone(), name.clone()), |name| ("Deployment".into(), name.to_owned()));
        Some(ObjectRef { kind: kind.into(), namespace: Some(self.namespace.clone().into()), name: name.into() })
    }

    /// Its namespace and name.
    pub fn key(&self) -> NamespacedName {
        NamespacedName::new(self.namespace.clone(), self.name.clone())
    }

    /// Whether it is the mirror of a static pod.
    pub fn is_mirror(&self) -> bool {
        self.annotations.contains_key(MIRROR)
    }

    /// The component of a control-plane static pod, from its label.
    pub fn component(&self) -> Option<&str> {
        self.labels.get("component").map(String::as_str)
    }

    /// Every value of a flag on the command line of a control-plane static pod, in order: of a flag that is not a list
    /// the last counts. A flag without a value is `true`.
    pub fn flag(&self, name: &str) -> Vec<&str> {
        let words: Vec<&str> =
            self.containers.iter().flat_map(|container| &container.command).map(String::as_str).collect();
        let value = |at: usize| {
            let flag = words[at].strip_prefix("--")?.strip_prefix(name)?;
            match flag.strip_prefix('=') {
                Some(value) => Some(value),
                None if !flag.is_empty() => None,
                None => Some(words.get(at + 1).filter(|next| !next.starts_with('-')).copied().unwrap_or("true")),
            }
        };
        (0..words.len()).filter_map(value).collect()
    }

    /// The names of the flags on the command line of a control-plane static pod.
    pub fn flag_names(&self) -> Vec<&str> {
        let words = self.containers.iter().flat_map(|container| &container.command);
        words.filter_map(|word| word.strip_prefix("--")?.split('=').next()).collect()
    }

    /// Whether the command line has flags: a shell hides them.
    pub fn has_flags(&self) -> bool {
        self.containers.iter().flat_map(|container| &container.command).any(|word| word.starts_with("--"))
    }

    /// The address that an API server advertises: from the annotation that kubeadm wrote, or from its flags.
    pub fn advertised_address(&self) -> Option<SocketAddr> {
        if let Some(noted) = self.annotations.get(ADVERTISED) {
            return noted.parse().ok();
        }
        let port = match self.flag("secure-port").last() {
            Some(port) => port.parse().ok()?,
            None => ports::API_SERVER,
        };
        // Without the flag it advertises the node's address, which a pod in the node's network has.
        let flag = self.flag("advertise-address").last().copied();
        // A variable, as $(POD_IP), is set when the container starts.
        let flag = flag.filter(|address| !address.starts_with("$("));
        let address = flag.or(self.addresses.first().map(String::as_str))?;
        Some(SocketAddr::new(address.parse().ok()?, port))
    }
}

impl Pods {
    /// The pods of a namespace.
    pub fn of_namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Pod> {
        self.0.values().filter(move |pod| pod.namespace == namespace)
    }

    /// The pods of a namespace with this label.
    pub fn labelled<'a>(&'a self, namespace: &'a str, key: &'a str, value: &'a str) -> impl Iterator<Item = &'a Pod> {
        self.of_namespace(namespace).filter(move |pod| pod.labels.get(key).is_some_and(|v| v == value))
    }

    /// Whether kubeadm wrote the manifest of an API server: it notes the address that the API server advertises.
    pub fn show_kubeadm(&self) -> bool {
        self.static_pods("kube-apiserver").any(|pod| pod.annotations.contains_key(ADVERTISED))
    }

    /// The static pods of kube-system that run this component of the control plane.
    pub fn static_pods<'a>(&'a self, component: &'a str) -> impl Iterator<Item = &'a Pod> {
        self.labelled("kube-system", "component", component).filter(|pod| pod.is_mirror())
    }
}

impl Observe for Pods {
    type Needs<'a> = ();
    const NAME: &'static str = "pods";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::cluster("", "pods", &["list"])];

    async fn observe(Live { cluster, .. }: &Live, (): Self::Needs<'_>) -> Seen<Self> {
        let pods = cluster.list(Call::list::<core::Pod>(), trim).await?;
        Ok(Self(pods.into_iter().map(|pod| (pod.key(), pod)).collect()))
    }
}

fn trim(pod: core::Pod) -> Pod {
    let spec = pod.spec.unwrap_or_default();
    let status = pod.status.unwrap_or_default();
    let metadata = pod.metadata;
    let labels = metadata.labels.unwrap_or_default();
    let annotations = metadata.annotations.unwrap_or_default();
    // Anybody may label a pod; mirror pods in kube-system belong to the control plane.
    let control_plane = labels.get("tier").is_some_and(|tier| tier == "control-plane")
        && metadata.namespace.as_deref() == Some("kube-system")
        && annotations.contains_key(MIRROR);
    let references = References::of(&spec);
    let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    let statuses = status.container_statuses.unwrap_or_default();
    Pod {
        namespace: metadata.namespace.unwrap_or_default(),
        name: metadata.name.unwrap_or_default(),
        uid: metadata.uid.unwrap_or_default(),
        annotations: annotations.into_iter().filter(|(key, _)| ANNOTATIONS.contains(&key.as_str())).collect(),
        owner: metadata
            .owner_references
            .unwrap_or_default()
            .into_iter()
            .find(|owner| owner.controller == Some(true))
            .map(|owner| Owner { kind: owner.kind, name: owner.name }),
        node: spec.node_name,
        host_network: spec.host_network.unwrap_or_default(),
        priority_class: spec.priority_class_name,
        service_account: spec.service_account_name.unwrap_or_default(),
        phase: status.phase.unwrap_or_default(),
        ready: ready.is_some_and(|condition| condition.status == "True"),
        not_ready_because: ready
            .filter(|condition| condition.status != "True")
            .map(|condition| condition.message.clone().or_else(|| condition.reason.clone()).unwrap_or_default())
            .unwrap_or_default(),
        deleting: metadata.deletion_timestamp.is_some(),
        addresses: status.pod_ips.unwrap_or_default().into_iter().map(|address| address.ip).collect(),
        created: metadata.creation_timestamp.map(|at| at.0),
        containers: spec
            .containers
            .into_iter()
            .map(|container| {
                let status = statuses.iter().find(|status| status.name == container.name);
                let state = status.and_then(|status| status.state.as_ref());
                let waiting = state.and_then(|state| state.waiting.as_ref());
                let ended = state.and_then(|state| state.terminated.as_ref());
                let before = status.and_then(|status| status.last_state.as_ref()?.terminated.as_ref());
                let running = state.and_then(|state| state.running.as_ref());
                Container {
                    image: container.image.unwrap_or_default(),
                    restarts: status.map(|status| status.restart_count).unwrap_or_default(),
                    ready: status.is_some_and(|status| status.ready),
                    waiting: waiting.and_then(|waiting| waiting.reason.clone()),
                    failed: ended.map(|ended| ended.exit_code).filter(|code| *code != 0),
                    started: running.and_then(|running| Some(running.started_at.as_ref()?.0)),
                    previous: ended.or(before).and_then(PreviousRun::of),
                    command: if control_plane {
                        [container.command, container.args].into_iter().flatten().flatten().collect()
                    } else {
                        Vec::new()
                    },
                    name: container.name,
                }
            })
            .collect(),
        config_maps: references.config_maps,
        secrets: references.secrets,
        claims: references.claims,
        labels,
    }
}

/// The objects that a pod refers to, which its node may read.
#[derive(Default)]
struct References {
    config_maps: Vec<String>,
    secrets: Vec<String>,
    claims: Vec<String>,
}

impl References {
    fn of(spec: &core::PodSpec) -> Self {
        let mut all = Self::default();
        for volume in spec.volumes.iter().flatten() {
            all.config_maps.extend(volume.config_map.as_ref().map(|source| source.name.clone()));
            all.secrets.extend(volume.secret.as_ref().and_then(|source| source.secret_name.clone()));
            all.claims.extend(volume.persistent_volume_claim.as_ref().map(|source| source.claim_name.clone()));
            for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
                all.config_maps.extend(source.config_map.as_ref().map(|source| source.name.clone()));
                all.secrets.extend(source.secret.as_ref().map(|source| source.name.clone()));
            }
        }
        for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
            for source in container.env_from.iter().flatten() {
                all.config_maps.extend(source.config_map_ref.as_ref().map(|source| source.name.clone()));
                all.secrets.extend(source.secret_ref.as_ref().map(|source| source.name.clone()));
            }
            for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
                all.config_maps.extend(source.config_map_key_ref.as_ref().map(|source| source.name.clone()));
                all.secrets.extend(source.secret_key_ref.as_ref().map(|source| source.name.clone()));
            }
        }
        all.secrets.extend(spec.image_pull_secrets.iter().flatten().map(|source| source.name.clone()));
        for names in [&mut all.config_maps, &mut all.secrets, &mut all.claims] {
            names.sort();
            names.dedup();
        }
        all
    }
}

crate::observed!(Pods);

#[cfg(test)]
pub(crate) mod testing {
    use super::{Container, Pod};
    use crate::object_ref::NamespacedName;

    /// A static pod of the control plane on this node, with this command line.
    pub(crate) fn static_pod(component: &str, node: &str, command: &[&str]) -> (NamespacedName, Pod) {
        let container = Container {
            name: component.into(),
            image: format!("registry.k8s.io/{component}:v1.37.2"),
            command: [component].iter().chain(command).map(ToString::to_string).collect(),
            ..Container::default()
        };
        let pod = Pod {
            namespace: "kube-system".into(),
            name: format!("{component}-{node}"),
            labels: [("tier", "control-plane"), ("component", component)].map(|(k, v)| (k.into(), v.into())).into(),
            annotations: [("kubernetes.io/config.mirror".to_owned(), "abc".to_owned())].into(),
            node: Some(node.into()),
            containers: vec![container],
            ..Pod::default()
        };
        (pod.key(), pod)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::static_pod;
    use super::*;

    #[test]
    fn the_command_line_of_a_pod_that_only_looks_like_the_control_plane_is_not_kept() {
        let kept = |namespace: &str, annotation: &str| {
            let pod = serde_json::json!({
                "metadata": {
                    "namespace": namespace,
                    "labels": {"tier": "control-plane", "component": "kube-apiserver"},
                    "annotations": {annotation: "abc"},
                },
                "spec": {"containers": [{"name": "a", "command": ["a"], "args": ["--db-password=secret"]}]},
            });
            !trim(serde_json::from_value(pod).unwrap()).containers[0].command.is_empty()
        };
        assert!(kept("kube-system", MIRROR));
        assert!(!kept("shop", MIRROR) && !kept("kube-system", "shop.example.com/tier"));
    }

    #[test]
    fn a_container_has_the_start_of_this_run_and_the_one_before() {
        let of = |state: serde_json::Value| {
            let pod = serde_json::json!({
                "metadata": {},
                "spec": {"containers": [{"name": "a"}]},
                "status": {"containerStatuses": [{
                    "name": "a", "image": "a", "imageID": "", "ready": true, "restartCount": 1,
                    "state": state,
                    "lastState": {"terminated": {
                        "exitCode": 1, "startedAt": "2026-11-30T08:00:00Z", "finishedAt": "2026-11-30T12:00:00Z",
                    }},
                }]},
            });
            let container = trim(serde_json::from_value(pod).unwrap()).containers.remove(0);
            (container.started.map(|at| at.to_string()), container.previous.map(|run| run.ended.to_string()))
        };
        let (ended, again) = (Some("2026-11-30T12:00:00Z".to_owned()), Some("2026-11-30T12:00:09Z".to_owned()));
        assert_eq!(of(serde_json::json!({"running": {"startedAt": "2026-11-30T12:00:09Z"}})), (again, ended.clone()));
        assert_eq!(of(serde_json::json!({"waiting": {"reason": "CrashLoopBackOff"}})), (None, ended));
    }

    #[test]
    fn flags_are_read_in_every_form_that_a_manifest_has() {
        let words = ["--a=1", "--b", "2", "--bare", "--a=3", "--ab=4", "--empty="];
        let (_, pod) = static_pod("kube-apiserver", "n1", &words);
        assert_eq!(pod.flag("a"), ["1", "3"]);
        assert_eq!(pod.flag("b"), ["2"]);
        assert_eq!(pod.flag("bare"), ["true"]);
        assert_eq!(pod.flag("empty"), [""]);
        assert!(pod.flag("c").is_empty() && pod.has_flags());
        assert_eq!(pod.flag_names(), ["a", "b", "bare", "a", "ab", "empty"]);
    }

    #[test]
    fn an_api_server_is_where_kubeadm_noted_or_where_its_flags_say() {
        let (_, mut pod) = static_pod("kube-apiserver", "n1", &["--advertise-address=10.77.0.11"]);
        assert_eq!(pod.advertised_address(), "10.77.0.11:6443".parse().ok());
        assert!(!Pods([(pod.key(), pod.clone())].into()).show_kubeadm());
        pod.annotations.insert(ADVERTISED.into(), "10.77.0.12:443".into());
        assert_eq!(pod.advertised_address(), "10.77.0.12:443".parse().ok());
        assert!(Pods([(pod.key(), pod)].into()).show_kubeadm());
        let (_, mut pod) = static_pod("kube-apiserver", "n1", &["--secure-port", "8443"]);
        assert_eq!(pod.advertised_address(), None);
        pod.addresses = vec!["10.77.0.13".into()];
        assert_eq!(pod.advertised_address(), "10.77.0.13:8443".parse().ok());
    }
}
