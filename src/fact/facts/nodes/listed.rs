//! A node as the API lists it: only the parts that are kept.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Condition, Machine, Node, Taint};

#[derive(Deserialize)]
pub(super) struct Listed {
    metadata: Metadata,
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    #[expect(clippy::zero_sized_map_values, reason = "the values are skipped while the keys are read")]
    annotations: Option<BTreeMap<String, IgnoredAny>>,
    creation_timestamp: Option<Timestamp>,
    deletion_timestamp: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    taints: Option<Vec<Taint>>,
    unschedulable: Option<bool>,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Option<Vec<String>>,
    #[serde(rename = "providerID")]
    provider_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    addresses: Option<Vec<Address>>,
    conditions: Option<Vec<ListedCondition>>,
    capacity: Option<Capacity>,
    daemon_endpoints: Option<DaemonEndpoints>,
    node_info: Option<NodeInfo>,
}

#[derive(Deserialize)]
struct Address {
    r#type: String,
    address: String,
}

#[derive(Deserialize)]
struct ListedCondition {
    r#type: String,
    status: String,
    reason: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct Capacity {
    pods: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DaemonEndpoints {
    kubelet_endpoint: Option<KubeletEndpoint>,
}

#[derive(Deserialize)]
struct KubeletEndpoint {
    #[serde(rename = "Port")]
    port: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeInfo {
    #[serde(rename = "machineID")]
    machine_id: String,
    #[serde(rename = "systemUUID")]
    system_uuid: String,
    #[serde(rename = "bootID")]
    boot_id: String,
    container_runtime_version: String,
    kernel_version: String,
    kubelet_version: String,
    operating_system: String,
    architecture: String,
    os_image: String,
}

impl Listed {
    /// The node's name, and what is kept of it.
    pub(super) fn trimmed(self) -> (String, Node) {
        let Self { metadata, spec, status } = self;
        let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
        let condition = |condition: ListedCondition| {
            let trimmed = Condition {
                status: condition.status,
                reason: condition.reason.unwrap_or_default(),
                message: condition.message.unwrap_or_default(),
            };
            (condition.r#type, trimmed)
        };
        let port = status.daemon_endpoints.and_then(|endpoints| endpoints.kubelet_endpoint);
        let port = port.and_then(|endpoint| u16::try_from(endpoint.port).ok());
        let mut trimmed = Node {
            created: metadata.creation_timestamp,
            deleting: metadata.deletion_timestamp,
            labels: metadata.labels.unwrap_or_default(),
            annotations: metadata.annotations.unwrap_or_default().into_keys().collect(),
            taints: spec.taints.unwrap_or_default(),
            unschedulable: spec.unschedulable.unwrap_or_default(),
            addresses: status
                .addresses
                .unwrap_or_default()
                .into_iter()
                .map(|address| (address.r#type, address.address))
                .collect(),
            conditions: status.conditions.unwrap_or_default().into_iter().map(condition).collect(),
            pod_cidrs: spec.pod_cidrs.unwrap_or_default(),
            pod_limit: status.capacity.and_then(|capacity| capacity.pods?.parse().ok()),
            provider_id: spec.provider_id,
            kubelet_port: port.filter(|port| *port != 0),
            ..Node::default()
        };
        if let Some(info) = status.node_info {
            trimmed.kubelet_version = info.kubelet_version;
            trimmed.operating_system = info.operating_system;
            trimmed.architecture = info.architecture;
            trimmed.os_image = info.os_image;
            trimmed.machine = Some(Machine {
                machine_id: info.machine_id,
                system_uuid: info.system_uuid,
                boot_id: info.boot_id,
                runtime: info.container_runtime_version,
                kernel: info.kernel_version,
            });
        }
        (metadata.name.unwrap_or_default(), trimmed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_node_is_read_where_the_api_has_it() {
        let listed: Listed = serde_json::from_str(
            r#"{
                "metadata": {"name": "n1", "labels": {"a": "b"}, "annotations": {"key": "value"}, "creationTimestamp": null,
                    "managedFields": [{"manager": "kubelet"}]},
                "spec": {"podCIDRs": ["10.244.0.0/24"], "providerID": "kind://n1", "unschedulable": true,
                    "taints": [{"key": "k", "effect": "NoSchedule", "timeAdded": "2026-11-30T08:00:00Z"}]},
                "status": {
                    "addresses": [{"type": "InternalIP", "address": "10.77.0.11"}], "capacity": {"cpu": "8", "pods": "110"},
                    "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
                    "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
                    "nodeInfo": {"machineID": "m", "systemUUID": "s", "bootID": "b", "kernelVersion": "6.12", "osImage": "o",
                        "containerRuntimeVersion": "containerd://2.4.2", "kubeletVersion": "v1.37.2", "kubeProxyVersion": "",
                        "operatingSystem": "linux", "architecture": "amd64"}
                }
            }"#,
        )
        .unwrap();
        let (name, node) = listed.trimmed();
        assert_eq!((name.as_str(), node.kubelet(&name).unwrap().to_string().as_str()), ("n1", "10.77.0.11:10250"));
        assert_eq!((node.pod_limit, node.is_ready(), node.unschedulable), (Some(110), true, true));
        assert_eq!((node.annotations, node.taints[0].key.as_str(), node.created), (vec!["key".to_owned()], "k", None));
        assert_eq!((node.machine.unwrap().boot_id.as_str(), node.provider_id.as_deref()), ("b", Some("kind://n1")));
    }
}
