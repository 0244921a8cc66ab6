"""The network: a bridge between the nodes, the pod network, and a name server and a load balancer outside of the cluster."""
import json, os, pathlib, signal, subprocess

from .nodes import BRIDGE, GATEWAY, address, directory, names, namespace
from .place import STATE, programs, run, wait_for

POD_RANGE, SERVICE_RANGE = "10.244.0.0/16", "10.96.0.0/12"
ENDPOINT = "api.bed.test"
HOSTS = pathlib.Path("/etc/hosts")


def make():
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "addr", "add", f"{GATEWAY}/24", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    # Kubelets and containerds share this machine's budget of inotify: with its default, several clusters cannot follow logs.
    run("sysctl", "-qw", "fs.inotify.max_user_instances=8192")
    # Traffic to a Service address that no node has translated is refused at once, rather than lost.
    run("ip", "route", "replace", "unreachable", SERVICE_RANGE)
    # Nothing leaves the testbed: a packet to any other address (a metadata service, for example) is refused at the gateway.
    run("iptables", "-w", "-I", *FENCE)


def remove():
    for name in ("name-server", "haproxy"):
        stop_daemon(name)
    # What is missing was never made, or is deleted already.
    run("iptables", "-w", "-D", *FENCE, check=False)
    run("ip", "route", "del", "unreachable", SERVICE_RANGE, check=False)
    run("ip", "link", "del", BRIDGE, check=False)
    if ENDPOINT in (hosts := HOSTS.read_text()):
        HOSTS.write_text("".join(line for line in hosts.splitlines(keepends=True) if ENDPOINT not in line))


FENCE = ["FORWARD", "-i", BRIDGE, "!", "-o", BRIDGE, "-j", "REJECT"]


# ---- beside the cluster ------------------------------------------------------------------------------------------

def start_daemon(name, *command):
    with open(STATE / f"{name}.log", "a") as printed:
        daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed, start_new_session=True)
    (STATE / f"{name}.pid").write_text(str(daemon.pid))


def stop_daemon(name):
    file = STATE / f"{name}.pid"
    if not file.exists():
        return
    found = int(file.read_text())
    file.unlink()
    command = pathlib.Path(f"/proc/{found}/cmdline")
    if command.exists() and str(STATE) in command.read_text():
        os.kill(found, signal.SIGTERM)
        # It holds addresses that a next cluster needs.
        wait_for(10, f"{name} ends", lambda: not command.exists() or not command.read_text())


def name_server():
    """The resolver outside of the cluster: it has names below bed.test, and no others exist."""
    file = STATE / "name-server.corefile"
    file.write_text(f"""bed.test:53 {{
    bind {GATEWAY}
    hosts {{
        {GATEWAY} {ENDPOINT}
        192.0.2.10 outside.bed.test
        no_reverse
    }}
}}
.:53 {{
    bind {GATEWAY}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
""")
    start_daemon("name-server", programs() / "coredns", "-conf", file)


def load_balancer(control_planes):
    """The controlPlaneEndpoint: it balances connections over the control-plane nodes."""
    servers = "".join(f"  server {node} {address(node)}:6443 check inter 1s fall 2 rise 1\n" for node in control_planes)
    file = STATE / "haproxy.cfg"
    file.write_text(f"""global
  maxconn 4000
defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
frontend api
  bind {GATEWAY}:6443
  default_backend api
backend api
  balance roundrobin
{servers}""")
    start_daemon("haproxy", "haproxy", "-db", "-f", file)
    # In place, because a further cluster sees the file through a mount.
    HOSTS.write_text(f"{HOSTS.read_text().rstrip()}\n{GATEWAY} {ENDPOINT}\n")


# ---- pods --------------------------------------------------------------------------------------------------------

def pod_network(ranges):
    """Each node's pods on its own range, by the plugins ptp and host-local, and static routes between the nodes."""
    for node in names():
        plugins = [
            {"type": "ptp", "ipMasq": False, "mtu": 1500, "ipam": {
                "type": "host-local", "dataDir": "/var/lib/cni/networks", "routes": [{"dst": "0.0.0.0/0"}], "ranges": [[{"subnet": ranges[node]}]]}},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ]
        # In place: containerd does not notice a file that is renamed.
        (directory(node) / "etc/cni/net.d/10-bed.conflist").write_text(json.dumps({"cniVersion": "1.0.0", "name": "bed", "plugins": plugins}))
        run("ip", "route", "replace", ranges[node], "via", address(node), "dev", BRIDGE)
        for other in names():
            if other != node:
                run("ip", "-n", namespace(node), "route", "replace", ranges[other], "via", address(other))
