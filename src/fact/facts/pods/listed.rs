//! A pod as the API lists it: only the parts that are kept. Of 100,000 pods, the rest is never in memory.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::{ANNOTATIONS, Container, MIRROR, Owner, Pod, PreviousRun};

#[derive(Deserialize)]
pub(super) struct Listed {
    metadata: Metadata,
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    creation_timestamp: Option<Timestamp>,
    deletion_timestamp: Option<Timestamp>,
}

#[derive(Deserialize)]
struct OwnerReference {
    kind: String,
    name: String,
    controller: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    node_name: Option<String>,
    host_network: Option<bool>,
    priority_class_name: Option<String>,
    service_account_name: Option<String>,
    containers: Option<Vec<ListedContainer>>,
    init_containers: Option<Vec<ListedContainer>>,
    volumes: Option<Vec<Volume>>,
    image_pull_secrets: Option<Vec<Source>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedContainer {
    name: String,
    image: Option<String>,
    command: Option<Vec<String>>,
    args: Option<Vec<String>>,
    env: Option<Vec<Variable>>,
    env_from: Option<Vec<Variables>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Variable {
    value_from: Option<ValueFrom>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ValueFrom {
    config_map_key_ref: Option<Source>,
    secret_key_ref: Option<Source>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Variables {
    config_map_ref: Option<Source>,
    secret_ref: Option<Source>,
}

/// What names a ConfigMap or a Secret.
#[derive(Deserialize)]
struct Source {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    config_map: Option<Source>,
    secret: Option<SecretVolume>,
    persistent_volume_claim: Option<Claim>,
    projected: Option<Projected>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecretVolume {
    secret_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claim {
    claim_name: String,
}

#[derive(Deserialize)]
struct Projected {
    sources: Option<Vec<ProjectedSource>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProjectedSource {
    config_map: Option<Source>,
    secret: Option<Source>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    phase: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<Address>>,
    conditions: Option<Vec<Condition>>,
    container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Deserialize)]
struct Address {
    ip: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    r#type: String,
    status: String,
    reason: Option<String>,
    message: Option<String>,
    last_transition_time: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus {
    name: String,
    ready: bool,
    restart_count: i32,
    state: Option<State>,
    last_state: Option<State>,
}

#[derive(Deserialize)]
struct State {
    waiting: Option<Waiting>,
    running: Option<Running>,
    terminated: Option<Terminated>,
}

#[derive(Deserialize)]
struct Waiting {
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Running {
    started_at: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Terminated {
    exit_code: i32,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
}

impl PreviousRun {
    fn of(ended: &Terminated) -> Option<Self> {
        Some(Self { started: ended.started_at?, ended: ended.finished_at? })
    }
}

impl Listed {
    /// What is kept of it.
    pub(super) fn trimmed(self) -> Pod {
        let Self { metadata, spec, status } = self;
        let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
        let labels = metadata.labels.unwrap_or_default();
        let annotations = metadata.annotations.unwrap_or_default();
        // Anyone may label a pod; mirror pods in kube-system belong to the control plane.
        let control_plane = labels.get("tier").is_some_and(|tier| tier == "control-plane")
            && metadata.namespace.as_deref() == Some("kube-system")
            && annotations.contains_key(MIRROR);
        let [config_maps, secrets, claims] = references(&spec);
        let ready = status.conditions.iter().flatten().find(|condition| condition.r#type == "Ready");
        let statuses = status.container_statuses.unwrap_or_default();
        let owners = metadata.owner_references.unwrap_or_default();
        Pod {
            namespace: metadata.namespace.unwrap_or_default(),
            name: metadata.name.unwrap_or_default(),
            uid: metadata.uid.unwrap_or_default(),
            annotations: annotations.into_iter().filter(|(key, _)| ANNOTATIONS.contains(&key.as_str())).collect(),
            owner: owners
                .into_iter()
                .find(|owner| owner.controller == Some(true))
                .map(|owner| Owner { kind: owner.kind.into(), name: owner.name.into() }),
            node: spec.node_name.map(Into::into),
            host_network: spec.host_network.unwrap_or_default(),
            priority_class: spec.priority_class_name.map(Into::into),
            service_account: spec.service_account_name.unwrap_or_default().into(),
            phase: status.phase.unwrap_or_default().into(),
            ready: ready.is_some_and(|condition| condition.status == "True"),
            ready_since: ready
                .filter(|condition| control_plane && condition.status == "True")
                .and_then(|condition| condition.last_transition_time),
            not_ready_because: ready
                .filter(|condition| condition.status != "True")
                .map(|condition| condition.message.clone().or_else(|| condition.reason.clone()).unwrap_or_default())
                .unwrap_or_default(),
            deleting: metadata.deletion_timestamp.is_some(),
            addresses: status.pod_ips.unwrap_or_default().into_iter().map(|address| address.ip).collect(),
            created: metadata.creation_timestamp,
            containers: spec
                .containers
                .unwrap_or_default()
                .into_iter()
                .map(|container| {
                    let status = statuses.iter().find(|status| status.name == container.name);
                    container.trimmed(status, control_plane)
                })
                .collect(),
            config_maps: config_maps.into_iter().map(Into::into).collect(),
            secrets: secrets.into_iter().map(Into::into).collect(),
            claims,
            labels: labels.into(),
        }
    }
}

impl ListedContainer {
    fn trimmed(self, status: Option<&ContainerStatus>, with_command: bool) -> Container {
        let state = status.and_then(|status| status.state.as_ref());
        let waiting = state.and_then(|state| state.waiting.as_ref());
        let ended = state.and_then(|state| state.terminated.as_ref());
        let before = status.and_then(|status| status.last_state.as_ref()?.terminated.as_ref());
        let running = state.and_then(|state| state.running.as_ref());
        Container {
            image: self.image.unwrap_or_default().into(),
            restarts: status.map(|status| status.restart_count).unwrap_or_default(),
            ready: status.is_some_and(|status| status.ready),
            waiting: waiting.and_then(|waiting| waiting.reason.clone()),
            failed: ended.map(|ended| ended.exit_code).filter(|code| *code != 0),
            started: running.and_then(|running| running.started_at),
            previous: ended.or(before).and_then(PreviousRun::of),
            command: if with_command {
                [self.command, self.args].into_iter().flatten().flatten().collect()
            } else {
                Vec::new()
            },
            name: self.name.into(),
        }
    }
}

/// The ConfigMaps, Secrets and claims that a pod refers to, which its node may read.
fn references(spec: &Spec) -> [Vec<String>; 3] {
    let [mut config_maps, mut secrets, mut claims] = [const { Vec::new() }; 3];
    for volume in spec.volumes.iter().flatten() {
        config_maps.extend(volume.config_map.as_ref().map(|source| source.name.clone()));
        secrets.extend(volume.secret.as_ref().and_then(|source| source.secret_name.clone()));
        claims.extend(volume.persistent_volume_claim.as_ref().map(|source| source.claim_name.clone()));
        for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
            config_maps.extend(source.config_map.as_ref().map(|source| source.name.clone()));
            secrets.extend(source.secret.as_ref().map(|source| source.name.clone()));
        }
    }
    for container in spec.containers.iter().chain(&spec.init_containers).flatten() {
        for source in container.env_from.iter().flatten() {
            config_maps.extend(source.config_map_ref.as_ref().map(|source| source.name.clone()));
            secrets.extend(source.secret_ref.as_ref().map(|source| source.name.clone()));
        }
        for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
            config_maps.extend(source.config_map_key_ref.as_ref().map(|source| source.name.clone()));
            secrets.extend(source.secret_key_ref.as_ref().map(|source| source.name.clone()));
        }
    }
    secrets.extend(spec.image_pull_secrets.iter().flatten().map(|source| source.name.clone()));
    let mut all = [config_maps, secrets, claims];
    for names in &mut all {
        names.sort();
        names.dedup();
    }
    all
}
