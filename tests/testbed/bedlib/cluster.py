"""Clusters: up, down, status."""
import concurrent.futures, json, shutil

from . import binaries, images, kubeadm, network, nodes
from .place import ADMIN, STATE, fail, log, run, shape, wait_for, write_script


def kubectl(*arguments, **options):
    return run(STATE / "kubectl", *arguments, **options)


def for_each(names, work):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(work, names))


def up(wanted):
    """Makes a cluster of this shape."""
    if shape():
        fail("a cluster is up already: bed down first")
    if missing := binaries.missing_packages():
        fail(f"this machine lacks packages: run bed install, or apt-get install {' '.join(missing)}")
    binaries.install(wanted["kubernetes"])
    STATE.mkdir(parents=True, exist_ok=True)
    (STATE / "shape.json").write_text(json.dumps(wanted))
    images.seed(wanted["kubernetes"])
    names = [f"n{i + 1}" for i in range(wanted["nodes"])]
    first, control_planes, workers = names[0], names[:wanted["control_planes"]], names[wanted["control_planes"]:]
    network.make()
    network.name_server()
    if len(control_planes) > 1:
        network.load_balancer(control_planes)
    log(f"booting {len(names)} nodes")
    for_each(names, nodes.create)
    log("kubeadm init")
    kubeadm.init(first)
    shutil.copy(nodes.directory(first) / "etc/kubernetes/admin.conf", ADMIN)
    write_script(STATE / "kubectl", f'kubectl --kubeconfig {ADMIN} "$@"')
    if len(names) > 1:
        join(first, control_planes[1:], workers)
    if wanted["cni"]:
        connect_pods(names)
    log(f"ready: export KUBECONFIG={ADMIN}")


def join(first, control_planes, workers):
    token = nodes.on(first, "kubeadm", "token", "create").stdout.strip()
    for node in control_planes:
        log(f"kubeadm join {node} (control plane)")
        kubeadm.join(node, first, token, control_plane=True)
    if workers:
        log("kubeadm join workers")
        for_each(workers, lambda node: kubeadm.join(node, first, token))


def connect_pods(names):
    log("pod network")
    # No replica is started before all nodes can take one, so that they spread over the nodes.
    dns = ["-n", "kube-system", "scale", "deployment/coredns"]
    kubectl(*dns, "--replicas=0")

    def ranges():
        listed = json.loads(kubectl("get", "nodes", "-o", "json").stdout)["items"]
        found = {node["metadata"]["name"]: node["spec"].get("podCIDR") for node in listed}
        return found if all(found.get(name) for name in names) else None

    network.pod_network(wait_for(60, "each node has a range of pod addresses", ranges))
    log("waiting for nodes and CoreDNS")
    kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=180s")
    kubectl(*dns, "--replicas=2")
    for workload in ("deployment/coredns", "daemonset/kube-proxy"):
        kubectl("-n", "kube-system", "rollout", "status", workload, "--timeout=180s")


def down():
    for node in {*nodes.names(), *nodes.left_behind()}:
        nodes.remove(node)
    network.remove()


def status():
    for node in nodes.names():
        print(node, nodes.address(node), "up" if nodes.pid(node) else "down")
    if ADMIN.exists():
        print(kubectl("get", "nodes,pods", "-A", "-o", "wide", check=False).stdout)
