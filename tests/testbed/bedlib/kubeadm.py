"""kubeadm's configuration, and its runs on the nodes."""
import hashlib, json

from .network import ENDPOINT, POD_RANGE, SERVICE_RANGE
from .nodes import address, directory, on
from .place import RELEASES, run, shape

CONFIG = "/etc/kubernetes/bed.yaml"
CERTIFICATE_KEY = "0" * 63 + "1"
API = "kubeadm.k8s.io/v1beta4"


def init(node):
    write(node, init_documents(node))
    upload = ["--upload-certs"] if shape()["control_planes"] > 1 else []
    kubeadm(node, "init", "--config", CONFIG, *upload)


def join(node, first, token, control_plane=False):
    authority = (directory(first) / "etc/kubernetes/pki/ca.crt").read_bytes()
    key = run("openssl", "x509", "-pubkey", "-noout", input=authority, text=False).stdout
    key = run("openssl", "pkey", "-pubin", "-outform", "DER", input=key, text=False).stdout
    server = f"{ENDPOINT}:6443" if shape()["control_planes"] > 1 else f"{address(first)}:6443"
    discovery = {"token": token, "apiServerEndpoint": server, "caCertHashes": [f"sha256:{hashlib.sha256(key).hexdigest()}"]}
    document = {"apiVersion": API, "kind": "JoinConfiguration", "discovery": {"bootstrapToken": discovery}, **common(node)}
    if control_plane:
        document["controlPlane"] = {"localAPIEndpoint": endpoint(node), "certificateKey": CERTIFICATE_KEY}
    write(node, [document])
    kubeadm(node, "join", "--config", CONFIG)


def kubeadm(node, *words):
    done = on(node, "kubeadm", *words)
    (directory(node) / "kubeadm.log").write_text(done.stdout + done.stderr)


def write(node, documents):
    (directory(node) / "etc/kubernetes/bed.yaml").write_text("\n---\n".join(map(json.dumps, documents)))


def endpoint(node):
    return {"advertiseAddress": address(node), "bindPort": 6443}


def common(node):
    """What InitConfiguration and JoinConfiguration have in common."""
    registration = {
        "name": node, "criSocket": "unix:///run/containerd/containerd.sock", "imagePullPolicy": "IfNotPresent",
        "ignorePreflightErrors": ["all"], "kubeletExtraArgs": [{"name": "node-ip", "value": address(node)}],
    }
    if shape()["nodes"] == 1:
        registration["taints"] = []
    timeouts = {"kubeletHealthCheck": "2m0s", "controlPlaneComponentHealthCheck": "4m0s"}
    return {"nodeRegistration": registration, "timeouts": timeouts}


def init_documents(node):
    wanted = shape()
    high_availability = wanted["control_planes"] > 1
    init = {"apiVersion": API, "kind": "InitConfiguration", "localAPIEndpoint": endpoint(node), **common(node)}
    cluster = {
        "apiVersion": API, "kind": "ClusterConfiguration",
        "kubernetesVersion": RELEASES[wanted["kubernetes"]]["kubernetes"], "clusterName": wanted["name"],
        "networking": {"podSubnet": POD_RANGE, "serviceSubnet": SERVICE_RANGE},
        "etcd": {"local": {"dataDir": "/var/lib/etcd", "extraArgs": [{"name": "unsafe-no-fsync", "value": "true"}]}},
        "controllerManager": {"extraArgs": [{"name": "node-monitor-grace-period", "value": "40s"}]},
    }
    if high_availability:
        init["certificateKey"] = CERTIFICATE_KEY
        cluster["controlPlaneEndpoint"] = f"{ENDPOINT}:6443"
    kubelet = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "cgroupDriver": "systemd" if wanted["init"] == "systemd" else "cgroupfs", "failCgroupV1": False,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"}, "imageGCHighThresholdPercent": 99,
    }
    proxy = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": wanted["proxy_mode"],
        # The limits of connection tracking are the machine's, which a node may not change.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
    documents = {"init": init, "cluster": cluster, "kubelet": kubelet, "proxy": proxy}
    for setting in wanted["set"]:  # DOCUMENT.PATH=JSON
        path, value = setting.split("=", 1)
        *parents, last = path.split(".")
        at = documents
        for key in parents:
            at = at.setdefault(key, {})
        at[last] = json.loads(value)
    return list(documents.values())
