//! The cluster's pods.

mod by_name;
mod listed;
mod shared;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use serde::{Deserialize, Serialize};

pub(crate) use self::by_name::ByName;
use self::listed::Listed;
use self::shared::Shared;
pub(crate) use self::shared::{Labels, Word};
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
#[derive(Clone, Debug, Default, Serialize)]
pub struct Pods(pub ByName);

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
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// The annotations that show where it came from.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The controlling owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// The node that it is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Word>,
    /// Whether it uses the node's network.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub host_network: bool,
    /// The priority class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class: Option<Word>,
    /// The service account.
    pub service_account: Word,
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: Word,
    /// Whether its condition Ready is true.
    pub ready: bool,
    /// Since when it is ready; kept of the control plane's static pods alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_since: Option<Timestamp>,
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
    pub config_maps: Vec<Word>,
    /// The Secrets that it refers to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Word>,
    /// The PersistentVolumeClaims that it refers to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
}

/// An object that controls a pod: in the pod's namespace, or in none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Owner {
    /// The kind.
    pub kind: Word,
    /// The name.
    pub name: Word,
}

/// The parts of a container that checks use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// The name.
    pub name: Word,
    /// The image.
    pub image: Word,
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

impl Pod {
    /// What it belongs to: a Deployment rather than its ReplicaSet, whose name ends in the hash that the pod has as a label.
    pub fn workload(&self) -> Option<ObjectRef> {
        let Owner { kind, name } = self.owner.as_ref()?;
        let hash = self.labels.get("pod-template-hash").filter(|_| *kind == "ReplicaSet");
        let deployment = hash.and_then(|hash| name.strip_suffix(hash.as_str())?.strip_suffix('-'));
        let (kind, name) = deployment.map_or((kind.as_str(), name.as_str()), |name| ("Deployment", name));
        Some(ObjectRef {
            kind: kind.to_owned().into(),
            namespace: Some(self.namespace.clone().into()),
            name: name.to_owned().into(),
        })
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
        // Nothing but what is kept is held, of 100,000 pods.
        let keep = |(pods, shared): &mut (Self, Shared), pod: Listed| {
            let pod = shared.pod(pod.trimmed());
            pods.0.insert(pod.key(), pod);
        };
        let (pods, _) = cluster.list_into(Call::list::<core::Pod>(), keep).await?;
        Ok(pods)
    }
}

crate::observed!(Pods, streamed);

#[cfg(test)]
pub(crate) mod testing {
    use super::{Container, Pod};
    use crate::object_ref::NamespacedName;

    /// A static pod of the control plane on this node, with this command line.
    pub(crate) fn static_pod(component: &str, node: &str, command: &[&str]) -> (NamespacedName, Pod) {
        let container = Container {
            name: component.into(),
            image: format!("registry.k8s.io/{component}:v1.37.2").into(),
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

    fn trimmed(pod: &serde_json::Value) -> Pod {
        serde_json::from_str::<Listed>(&pod.to_string()).unwrap().trimmed()
    }

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
            !trimmed(&pod).containers[0].command.is_empty()
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
            let container = trimmed(&pod).containers.remove(0);
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
