//! What a cluster of many nodes contains, as etcd holds it.

use std::net::{Ipv4Addr, SocketAddr};

use base64::prelude::{BASE64_STANDARD, Engine};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::managed;

/// How many pods a node runs.
pub(crate) const PODS: usize = 20;
/// How many nodes share a namespace.
const NODES_OF_NAMESPACE: usize = 5;
/// How many Services there are for each node.
const SERVICES: usize = 2;
/// When everything was created.
const CREATED: &str = "2026-08-03T07:41:12Z";
/// The priority class of workloads in kube-system.
const CRITICAL: &str = "system-node-critical";
/// The image of most workloads.
const IMAGE: &str = "registry.example.com/team/application-server:2026.7.3-build.4711";

/// An object, with its key in etcd.
pub(crate) type Stored = (String, Value);

/// The name of a node.
pub(crate) fn name_of(node: usize) -> String {
    format!("worker-{node:05}.example.com")
}

/// The address of a node: one of this machine's own.
pub(crate) fn address_of(node: usize) -> Ipv4Addr {
    let part = |value: usize| u8::try_from(value).expect("there are at most 60,000 nodes");
    Ipv4Addr::new(127, 1, part(node / 250), part(1 + node % 250))
}

fn namespace_of(node: usize) -> String {
    format!("team-{:04}", node / NODES_OF_NAMESPACE)
}

/// A uid, different for each object.
fn uid(kind: usize, number: usize) -> String {
    format!("{kind:08x}-5a1e-4c7d-9b3f-{number:012x}")
}

fn pod_ip(node: usize, pod: usize) -> String {
    format!("10.{}.{}.{}", 128 + node / 256, node % 256, 10 + pod)
}

fn service_ip(node: usize, service: usize) -> String {
    let number = 4096 + node * SERVICES + service;
    format!("10.{}.{}.{}", 96 + number / 65536, number / 256 % 256, number % 256)
}

/// What the cluster has once. `nodes` is how many nodes it has.
pub(crate) fn of_cluster(nodes: usize, ca_pem: &str, server: SocketAddr) -> Vec<Stored> {
    let mut all = Vec::new();
    let namespaces = (0..nodes.div_ceil(NODES_OF_NAMESPACE)).map(|i| namespace_of(i * NODES_OF_NAMESPACE));
    for (i, namespace) in namespaces.enumerate() {
        let labels =
            json!({ "kubernetes.io/metadata.name": namespace, "pod-security.kubernetes.io/enforce": "baseline" });
        all.push((
            format!("/registry/namespaces/{namespace}"),
            json!({
                "kind": "Namespace", "apiVersion": "v1",
                "metadata": { "name": namespace, "uid": uid(1, i), "creationTimestamp": CREATED, "labels": labels },
                "spec": { "finalizers": ["kubernetes"] }, "status": { "phase": "Active" },
            }),
        ));
        all.extend(of_namespace(&namespace, i, ca_pem));
    }
    for (i, namespace) in ["default", "kube-system", "kube-public", "kube-node-lease"].iter().enumerate() {
        all.extend(of_namespace(namespace, 1_000_000 + i, ca_pem));
    }
    all.extend(add_ons(nodes, server));
    all.extend(of_controllers(ca_pem));
    all.extend(rights_of_coredns());
    all
}

fn rights_of_coredns() -> [Stored; 2] {
    let group = "rbac.authorization.k8s.io";
    let metadata = |kind| json!({ "name": "system:coredns", "uid": uid(22, kind), "creationTimestamp": CREATED });
    [
        (
            "/registry/clusterroles/system:coredns".into(),
            json!({
                "kind": "ClusterRole", "apiVersion": format!("{group}/v1"), "metadata": metadata(1),
                "rules": [
                    { "apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"] },
                    { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"] },
                ],
            }),
        ),
        (
            "/registry/clusterrolebindings/system:coredns".into(),
            json!({
                "kind": "ClusterRoleBinding", "apiVersion": format!("{group}/v1"), "metadata": metadata(2),
                "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": "system:coredns" },
                "subjects": [{ "kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system" }],
            }),
        ),
    ]
}

/// What kube-controller-manager would write.
fn of_controllers(ca_pem: &str) -> Vec<Stored> {
    // It sums up the rules of the roles that others contribute to.
    let rules = json!([
        { "apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "create", "update", "delete"] },
        { "apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch", "create", "update", "delete"] },
    ]);
    let bindings = json!([{
        "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["rolebindings", "roles"],
        "verbs": ["get", "list", "watch", "create", "update", "delete"],
    }]);
    let role = |name: &str, number, rules: Value| {
        let selector = json!({ "matchLabels": { format!("rbac.authorization.k8s.io/aggregate-to-{name}"): "true" } });
        let object = json!({
            "kind": "ClusterRole", "apiVersion": "rbac.authorization.k8s.io/v1",
            "metadata": {
                "name": name, "uid": uid(20, number), "creationTimestamp": CREATED,
                "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" },
                "annotations": { "rbac.authorization.kubernetes.io/autoupdate": "true" },
            },
            "aggregationRule": { "clusterRoleSelectors": [selector] }, "rules": rules,
        });
        (format!("/registry/clusterroles/{name}"), object)
    };
    let all_rules = |more: &Value| {
        Value::Array([&rules, more].iter().flat_map(|rules| rules.as_array()).flatten().cloned().collect())
    };
    let read =
        json!([{ "apiGroups": ["", "apps"], "resources": ["pods", "deployments"], "verbs": ["get", "list", "watch"] }]);
    let signer = "kubernetes.io/kube-apiserver-serving";
    let bundle = format!("{}:ca", signer.replace('/', ":"));
    vec![
        role("admin", 1, all_rules(&bindings)),
        role("edit", 2, rules.clone()),
        role("view", 3, read),
        (
            format!("/registry/clustertrustbundles/{bundle}"),
            json!({
                "kind": "ClusterTrustBundle", "apiVersion": "certificates.k8s.io/v1beta1",
                "metadata": { "name": bundle, "uid": uid(21, 1), "creationTimestamp": CREATED },
                "spec": { "signerName": signer, "trustBundle": ca_pem },
            }),
        ),
    ]
}

/// What every namespace has.
fn of_namespace(namespace: &str, number: usize, ca_pem: &str) -> [Stored; 2] {
    let metadata = |name: &str, kind| json!({ "name": name, "namespace": namespace, "uid": uid(kind, number), "creationTimestamp": CREATED });
    [
        (
            format!("/registry/serviceaccounts/{namespace}/default"),
            json!({ "kind": "ServiceAccount", "apiVersion": "v1", "metadata": metadata("default", 2) }),
        ),
        (
            format!("/registry/configmaps/{namespace}/kube-root-ca.crt"),
            json!({
                "kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata("kube-root-ca.crt", 3),
                "data": { "ca.crt": ca_pem },
            }),
        ),
    ]
}

/// The cluster's DNS, and the workloads of kube-system. CoreDNS runs on the first two nodes.
fn add_ons(nodes: usize, server: SocketAddr) -> Vec<Stored> {
    let metadata = |name: &str, number, labels: Value| {
        json!({
            "name": name, "namespace": "kube-system", "uid": uid(4, number), "creationTimestamp": CREATED,
            "labels": labels, "generation": 1,
        })
    };
    let template = |app: &str| {
        json!({
            "metadata": { "labels": { "k8s-app": app } },
            "spec": { "containers": [{ "name": app, "image": image_of(app) }], "priorityClassName": CRITICAL },
        })
    };
    let daemon_set = |name: &str, number| {
        let status = json!({
            "currentNumberScheduled": nodes, "desiredNumberScheduled": nodes, "numberAvailable": nodes,
            "numberMisscheduled": 0, "numberReady": nodes, "updatedNumberScheduled": nodes, "observedGeneration": 1,
        });
        let spec = json!({
            "selector": { "matchLabels": { "k8s-app": name } }, "template": template(name),
            "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1, "maxSurge": 0 } },
        });
        let object = json!({
            "kind": "DaemonSet", "apiVersion": "apps/v1", "metadata": metadata(name, number, json!({ "k8s-app": name })),
            "spec": spec, "status": status,
        });
        (format!("/registry/daemonsets/kube-system/{name}"), object)
    };
    let dns = json!({ "k8s-app": "kube-dns" });
    let config_map = |name: &str, number, data: Value| {
        let metadata = metadata(name, number, json!({}));
        let object = json!({ "kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": data });
        (format!("/registry/configmaps/kube-system/{name}"), object)
    };
    vec![
        daemon_set("kube-proxy", 1),
        daemon_set("network-agent", 2),
        daemon_set("csi-node", 3),
        (
            "/registry/deployments/kube-system/coredns".into(),
            json!({
                "kind": "Deployment", "apiVersion": "apps/v1", "metadata": metadata("coredns", 4, dns.clone()),
                "spec": { "replicas": 2, "selector": { "matchLabels": dns }, "template": template("kube-dns") },
                "status": { "replicas": 2, "readyReplicas": 2, "availableReplicas": 2, "updatedReplicas": 2, "observedGeneration": 1 },
            }),
        ),
        config_map("coredns", 5, json!({ "Corefile": ".:53 {\n    errors\n    health\n    ready\n    kubernetes cluster.local in-addr.arpa ip6.arpa {\n        pods insecure\n        fallthrough in-addr.arpa ip6.arpa\n    }\n    prometheus :9153\n    forward . 192.0.2.53\n    cache 30\n    loop\n    reload\n    loadbalance\n}\n" })),
        config_map("kube-proxy", 6, json!({
            "config.conf": "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\nclusterCIDR: 10.128.0.0/9\n",
            "kubeconfig.conf": format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: default\nclusters:\n- name: default\n  cluster:\n    \
                 certificate-authority: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt\n    server: https://{server}\n\
                 contexts:\n- name: default\n  context:\n    cluster: default\n    user: default\nusers:\n- name: default\n  \
                 user:\n    tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token\n",
            ),
        })),
    ]
    .into_iter()
    .chain(service("kube-system", "kube-dns", "10.96.0.10", 53, 7, &[(name_of(0), pod_ip(0, 3)), (name_of(1), pod_ip(1, 3))]))
    .collect()
}

/// A Service, with its slice and the address that it reserves.
fn service(
    namespace: &str,
    name: &str,
    ip: &str,
    port_number: u16,
    number: usize,
    endpoints: &[(String, String)],
) -> [Stored; 3] {
    let selector = if name == "kube-dns" { json!({ "k8s-app": name }) } else { json!({ "app": name }) };
    let owner = uid(5, number);
    let port = |name: &str, protocol: &str, port: u16| json!({ "name": name, "protocol": protocol, "port": port });
    let ports = match port_number {
        53 => vec![port("dns", "UDP", 53), port("dns-tcp", "TCP", 53), port("metrics", "TCP", 9153)],
        number => vec![port("main", "TCP", number)],
    };
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|(node, ip)| {
            json!({
                "addresses": [ip], "nodeName": node, "conditions": { "ready": true, "serving": true, "terminating": false },
            })
        })
        .collect();
    [
        (
            format!("/registry/services/specs/{namespace}/{name}"),
            json!({
                "kind": "Service", "apiVersion": "v1",
                "metadata": {
                    "name": name, "namespace": namespace, "uid": owner, "creationTimestamp": CREATED, "labels": selector,
                },
                "spec": {
                    "ports": ports, "selector": selector,
                    "clusterIP": ip, "clusterIPs": [ip], "type": "ClusterIP", "sessionAffinity": "None",
                    "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster",
                },
                "status": { "loadBalancer": {} },
            }),
        ),
        (
            format!("/registry/endpointslices/{namespace}/{name}-x7k2p"),
            json!({
                "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
                "metadata": {
                    "name": format!("{name}-x7k2p"), "namespace": namespace, "uid": uid(6, number), "creationTimestamp": CREATED,
                    "labels": {
                        "kubernetes.io/service-name": name,
                        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                    },
                    "ownerReferences": [{
                        "apiVersion": "v1", "kind": "Service", "name": name, "uid": owner, "controller": true,
                    }],
                },
                "addressType": "IPv4", "endpoints": endpoints,
                "ports": ports,
            }),
        ),
        (
            format!("/registry/ipaddresses/{ip}"),
            json!({
                "kind": "IPAddress", "apiVersion": "networking.k8s.io/v1",
                "metadata": {
                    "name": ip, "uid": uid(7, number), "creationTimestamp": CREATED,
                    "labels": { "ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io" },
                },
                "spec": { "parentRef": { "group": "", "resource": "services", "namespace": namespace, "name": name } },
            }),
        ),
    ]
}

/// A node, and what there is for each of them. `port` is that of its kubelet.
pub(crate) fn of_node(node: usize, port: u16) -> Vec<Stored> {
    let (name, namespace) = (name_of(node), namespace_of(node));
    let mut all = vec![(format!("/registry/minions/{name}"), self::node(node, port)), csi_node(node), lease(node)];
    for pod in 0..PODS {
        let stored = self::pod(node, pod);
        all.push(stored);
    }
    for i in 0..SERVICES {
        let endpoints = [(name.clone(), pod_ip(node, 3 + i)), (name.clone(), pod_ip(node, 5 + i))];
        let number = 100 + node * SERVICES + i;
        let service =
            service(&namespace, &format!("web-{node:05}-{i}"), &service_ip(node, i), 8080, number, &endpoints);
        all.extend(service);
    }
    for (i, role) in ["view", "edit", "view", "edit"].iter().enumerate() {
        let binding = format!("team-{node:05}-{i}");
        all.push((
            format!("/registry/rolebindings/{namespace}/{binding}"),
            json!({
                "kind": "RoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1",
                "metadata": { "name": binding, "namespace": namespace, "uid": uid(8, node * 4 + i), "creationTimestamp": CREATED },
                "subjects": [{ "kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": format!("team-{node:05}") }],
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            }),
        ));
    }
    for i in 0..2 {
        let secret = format!("credentials-{node:05}-{i}");
        all.push((
            format!("/registry/secrets/{namespace}/{secret}"),
            json!({
                "kind": "Secret", "apiVersion": "v1", "type": "Opaque",
                "metadata": { "name": secret, "namespace": namespace, "uid": uid(9, node * 2 + i), "creationTimestamp": CREATED },
                "data": { "password": BASE64_STANDARD.encode("a password that no one uses") },
            }),
        ));
    }
    all
}

fn node(node: usize, port: u16) -> Value {
    let name = name_of(node);
    let labels = json!({
        "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux", "kubernetes.io/hostname": name, "node.kubernetes.io/instance-type": "m6.2xlarge",
        "topology.kubernetes.io/region": "region-1", "topology.kubernetes.io/zone": format!("region-1{}", ["a", "b", "c"][node % 3]),
    });
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let conditions: Vec<Value> = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ]
    .iter()
    .map(|(kind, status, reason, message)| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message, "lastHeartbeatTime": now,
            "lastTransitionTime": CREATED,
        })
    })
    .collect();
    let images: Vec<Value> = (0..20)
        .map(|i| {
            json!({
                "names": [
                    format!("registry.example.com/team/image-{i}@sha256:{:064x}", i * 7919 + 1),
                    format!("registry.example.com/team/image-{i}:1.{i}.0"),
                ],
                "sizeBytes": 10_000_000 + i * 1_234_567,
            })
        })
        .collect();
    let resources = json!({
        "cpu": "8", "ephemeral-storage": "101430960Ki", "hugepages-2Mi": "0", "memory": "32612212Ki", "pods": "110",
    });
    let range = format!("10.{}.{}.0/24", 128 + node / 256, node % 256);
    let spec =
        json!({ "podCIDR": range, "podCIDRs": [range], "providerID": format!("example:///region-1/i-{node:017x}") });
    let status = json!({
        "capacity": resources, "allocatable": resources, "conditions": conditions, "images": images,
        "addresses": [{ "type": "InternalIP", "address": address_of(node) }, { "type": "Hostname", "address": name }],
        "daemonEndpoints": { "kubeletEndpoint": { "Port": port } },
        "nodeInfo": {
            "machineID": format!("{node:032x}"), "systemUUID": uid(10, node), "bootID": uid(11, node),
            "kernelVersion": "6.12.48-amd64", "osImage": "Debian GNU/Linux 13 (trixie)",
            "containerRuntimeVersion": "containerd://2.4.2", "kubeletVersion": "v1.37.2", "kubeProxyVersion": "",
            "operatingSystem": "linux", "architecture": "amd64",
        },
    });
    let by = |manager, subresource, parts: &Value| managed::entry(manager, subresource, "v1", CREATED, parts);
    json!({
        "kind": "Node", "apiVersion": "v1",
        "metadata": {
            "name": name, "uid": uid(12, node), "creationTimestamp": CREATED, "labels": labels,
            "annotations": { "node.alpha.kubernetes.io/ttl": "0", "volumes.kubernetes.io/controller-managed-attach-detach": "true" },
            "managedFields": [
                by("kubelet", "", &json!({ "metadata": { "labels": labels } })),
                by("kube-controller-manager", "", &json!({ "spec": spec })),
                by("kubelet", "status", &json!({ "status": status })),
            ],
        },
        "spec": spec, "status": status,
    })
}

fn csi_node(node: usize) -> Stored {
    let name = name_of(node);
    let object = json!({
        "kind": "CSINode", "apiVersion": "storage.k8s.io/v1",
        "metadata": {
            "name": name, "uid": uid(13, node), "creationTimestamp": CREATED,
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": name, "uid": uid(12, node) }],
        },
        "spec": { "drivers": [{
            "name": "disk.csi.example.com", "nodeID": format!("i-{node:017x}"), "allocatable": { "count": 25 },
            "topologyKeys": ["topology.kubernetes.io/zone"],
        }] },
    });
    (format!("/registry/csinodes/{name}"), object)
}

/// The lease of a node, which has just been renewed.
pub(crate) fn lease(node: usize) -> Stored {
    let name = name_of(node);
    let object = json!({
        "kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
        "metadata": {
            "name": name, "namespace": "kube-node-lease", "uid": uid(14, node), "creationTimestamp": CREATED,
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": name, "uid": uid(12, node) }],
        },
        "spec": {
            "holderIdentity": name, "leaseDurationSeconds": 40,
            "renewTime": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
        },
    });
    (format!("/registry/leases/kube-node-lease/{name}"), object)
}

/// The leases of the leaders, which have just been renewed.
pub(crate) fn leaders() -> Vec<Stored> {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    ["kube-controller-manager", "kube-scheduler"]
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let object = json!({
                "kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
                "metadata": { "name": name, "namespace": "kube-system", "uid": uid(15, i), "creationTimestamp": CREATED },
                "spec": {
                    "holderIdentity": format!("control-plane_{}", uid(16, i)), "leaseDurationSeconds": 15,
                    "acquireTime": "2026-08-03T07:41:12.000000Z", "renewTime": now, "leaseTransitions": 1,
                },
            });
            (format!("/registry/leases/kube-system/{name}"), object)
        })
        .collect()
}

/// A pod: the first three of a node are those of DaemonSets, and CoreDNS comes next on the first two nodes.
fn pod(node: usize, number: usize) -> Stored {
    let (id, daemons) = (node * PODS + number, ["kube-proxy", "network-agent", "csi-node"]);
    let is_dns = number == 3 && node < 2;
    let (namespace, app, owner) = match daemons.get(number) {
        Some(daemon) => ("kube-system".to_owned(), (*daemon).to_owned(), ("DaemonSet", (*daemon).to_owned())),
        None if is_dns => ("kube-system".into(), "kube-dns".into(), ("ReplicaSet", "coredns-559f6c778d".into())),
        None => {
            let app = format!("app-{}", number % 6);
            (namespace_of(node), app.clone(), ("ReplicaSet", format!("{app}-6d4cf56db9")))
        }
    };
    let name = format!("{}-{id:06x}", owner.1);
    let mut labels = json!({ "app": app, "app.kubernetes.io/part-of": "shop", "k8s-app": app });
    if owner.0 == "ReplicaSet" {
        labels["pod-template-hash"] = json!(owner.1.rsplit('-').next());
    } else {
        labels["controller-revision-hash"] = json!("7b9cf8f6d5");
        labels["pod-template-generation"] = json!("1");
    }
    let account = if owner.0 == "DaemonSet" {
        app.clone()
    } else if is_dns {
        "coredns".into()
    } else {
        "default".into()
    };
    let on_host = number == 0;
    let ip = if on_host { address_of(node).to_string() } else { pod_ip(node, number) };
    let mut spec = pod_spec(node, &app, &account, number, on_host);
    if namespace == "kube-system" {
        spec["priorityClassName"] = json!(CRITICAL);
        spec["priority"] = json!(2_000_001_000);
    }
    let status = pod_status(node, id, &app, &ip);
    let owners = json!([{
        "apiVersion": "apps/v1", "kind": owner.0, "name": owner.1, "uid": uid(17, node / NODES_OF_NAMESPACE * 32 + number % 6),
        "controller": true, "blockOwnerDeletion": true,
    }]);
    let desired = json!({ "metadata": { "labels": labels, "ownerReferences": owners }, "spec": spec });
    let mut metadata = json!({
        "name": name, "namespace": namespace, "uid": uid(18, id), "creationTimestamp": CREATED, "labels": labels,
        "generateName": format!("{}-", owner.1), "ownerReferences": owners,
        "annotations": { "checksum/config": format!("{id:064x}"), "prometheus.io/scrape": "true" },
    });
    metadata["managedFields"] = json!([
        managed::entry("kube-controller-manager", "", "v1", CREATED, &desired),
        managed::entry("kubelet", "status", "v1", CREATED, &json!({ "status": status })),
    ]);
    let object = json!({ "kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": status });
    (format!("/registry/pods/{namespace}/{name}"), object)
}

/// The image of a workload.
fn image_of(app: &str) -> String {
    match app {
        "kube-proxy" => "registry.k8s.io/kube-proxy:v1.37.2".into(),
        "kube-dns" => "registry.k8s.io/coredns/coredns:v1.13.1".into(),
        _ => IMAGE.into(),
    }
}

fn pod_spec(node: usize, app: &str, account: &str, number: usize, on_host: bool) -> Value {
    let env: Vec<Value> = (0..6)
        .map(|i| json!({ "name": format!("SETTING_{i}"), "value": format!("https://service-{i}.example.com/v1") }))
        .collect();
    let probe = |path: &str| {
        json!({
            "httpGet": { "path": path, "port": 8080, "scheme": "HTTP" }, "initialDelaySeconds": 5, "timeoutSeconds": 1,
            "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
        })
    };
    json!({
        "volumes": [
            { "name": "config", "configMap": { "name": format!("{app}-config"), "defaultMode": 420 } },
            { "name": "credentials", "secret": { "secretName": format!("credentials-{node:05}-{}", number % 2), "defaultMode": 420 } },
            { "name": "kube-api-access-9xk2p", "projected": { "defaultMode": 420, "sources": [
                { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } },
                { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
                { "downwardAPI": { "items": [{ "path": "namespace", "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" } }] } },
            ] } },
        ],
        "containers": [{
            "name": app, "image": image_of(app), "args": ["--listen=:8080", "--log-level=info"],
            "ports": [{ "name": "http", "containerPort": 8080, "protocol": "TCP" }], "env": env,
            "resources": { "limits": { "cpu": "500m", "memory": "512Mi" }, "requests": { "cpu": "100m", "memory": "256Mi" } },
            "volumeMounts": [
                { "name": "config", "mountPath": "/etc/application", "readOnly": true },
                { "name": "credentials", "mountPath": "/etc/credentials", "readOnly": true },
                { "name": "kube-api-access-9xk2p", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true },
            ],
            "livenessProbe": probe("/livez"), "readinessProbe": probe("/readyz"), "imagePullPolicy": "IfNotPresent",
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        }],
        "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
        "serviceAccountName": account, "serviceAccount": account, "nodeName": name_of(node), "hostNetwork": on_host,
        "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
        "schedulerName": "default-scheduler", "enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority", "priority": 0,
        "tolerations": [
            { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
            { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
        ],
    })
}

fn pod_status(node: usize, id: usize, app: &str, ip: &str) -> Value {
    let conditions: Vec<Value> = [
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ]
    .iter()
    .map(|kind| json!({ "type": kind, "status": "True", "lastTransitionTime": CREATED, "observedGeneration": 1 }))
    .collect();
    let host = address_of(node);
    json!({
        "phase": "Running", "conditions": conditions, "hostIP": host, "hostIPs": [{ "ip": host }], "podIP": ip,
        "podIPs": [{ "ip": ip }], "startTime": CREATED, "qosClass": "Burstable", "observedGeneration": 1,
        "containerStatuses": [{
            "name": app, "ready": true, "started": true, "restartCount": 0, "lastState": {},
            "state": { "running": { "startedAt": CREATED } }, "image": image_of(app),
            "imageID": format!("registry.example.com/team/application-server@sha256:{:064x}", 4711),
            "containerID": format!("containerd://{id:064x}"),
        }],
    })
}
