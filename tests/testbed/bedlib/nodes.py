"""Nodes: each is a set of Linux namespaces and control groups, with its own init, containerd and kubelet."""
import contextlib, os, pathlib, shutil, signal, subprocess, uuid

from . import images
from .place import CLUSTER, HERE, STATE, environment, fail, programs, run, shape, wait_for, write_script

GATEWAY = "10.77.0.1"
BRIDGE = "bed0"
GROUP = f"bed-{CLUSTER}-" if CLUSTER else "bed-"
CONTROL_GROUPS = pathlib.Path("/sys/fs/cgroup")


def directory(node):
    return STATE / "nodes" / node


def address(node):
    return f"10.77.0.{10 + number(node)}"


def number(node):
    return int(node[1:])


def names():
    parent = STATE / "nodes"
    return sorted((path.name for path in parent.iterdir()), key=number) if parent.is_dir() else []


def namespace(node):
    return f"bed-{node}"


def veth(node):
    return f"bed-v{number(node)}"


def pid(node):
    """The node's init, as this machine numbers it; None when it does not run."""
    try:
        found = int((directory(node) / "init.pid").read_text())
        status = pathlib.Path(f"/proc/{found}/status").read_text()
    except (OSError, ValueError):
        return None
    # After a reboot of this machine, the number may be that of another process, which is not the first of a namespace.
    numbers = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
    return found if len(numbers) > 1 and numbers[-1] == "1" else None


# ---- control groups ----------------------------------------------------------------------------------------------

def is_unified():
    return (CONTROL_GROUPS / "cgroup.controllers").exists()


def hierarchies():
    """Of version 2 there is one."""
    if is_unified():
        return [CONTROL_GROUPS]
    return [path for path in CONTROL_GROUPS.iterdir() if (path / "cgroup.procs").exists() and not path.is_symlink()]


def groups(node):
    """The node's control group in each hierarchy."""
    return [hierarchy / f"{GROUP}{node}" for hierarchy in hierarchies()]


def left_behind():
    """Nodes that have control groups, whether or not they have files."""
    found = {path.name.removeprefix(GROUP) for hierarchy in hierarchies() for path in hierarchy.glob(f"{GROUP}n*")}
    return [name for name in found if name[1:].isdigit()]


def leaf(node):
    """Where the node's first processes are: of version 2, no processes may be beside other groups."""
    if not is_unified():
        return groups(node)
    name = "init.scope" if shape()["init"] == "systemd" else "init"
    return [groups(node)[0] / name]


def make_groups(node):
    if is_unified():
        controllers = (CONTROL_GROUPS / "cgroup.controllers").read_text().split()
        (CONTROL_GROUPS / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))
    for group in {*groups(node), *leaf(node)}:
        group.mkdir(parents=True, exist_ok=True)
        if (group.parent / "cgroup.clone_children").exists() and group.parent.name == "cpuset":
            for file in ("cpuset.cpus", "cpuset.mems"):
                (group / file).write_text((group.parent / file).read_text())
            (group / "cgroup.clone_children").write_text("1")


def end_groups(node):
    """Kills what is left in the node's control groups, and removes them; processes that were just killed are in them for a moment."""
    def ended():
        for group in filter(pathlib.Path.exists, groups(node)):
            for path, _, _ in os.walk(group, topdown=False):
                for left in pathlib.Path(path, "cgroup.procs").read_text().split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(left), signal.SIGKILL)
                with contextlib.suppress(OSError):
                    os.rmdir(path)
        return not any(group.exists() for group in groups(node))

    wait_for(20, f"no process of {node} is left", ended)


# ---- life --------------------------------------------------------------------------------------------------------

def create(node):
    make_files(node)
    run("ip", "netns", "add", namespace(node))
    run("ip", "link", "add", veth(node), "type", "veth", "peer", "name", "eth0", "netns", namespace(node))
    run("ip", "link", "set", veth(node), "master", BRIDGE, "up")
    run("ip", "-n", namespace(node), "addr", "add", f"{address(node)}/24", "dev", "eth0")
    run("ip", "-n", namespace(node), "link", "set", "eth0", "up")
    run("ip", "-n", namespace(node), "route", "add", "default", "via", GATEWAY)
    boot(node)


def make_files(node):
    here, cluster = directory(node), shape()
    (here / "var/lib").mkdir(parents=True)
    etc = here / "etc"
    etc.mkdir()
    images.copy_seed(images.seed(cluster["kubernetes"]), here / "var/lib/containerd")
    systemd = cluster["init"] == "systemd"
    images.write_containerd_config(here / "containerd.toml", cluster["kubernetes"], "/var/lib/containerd", "/run/containerd", systemd)
    (etc / "hostname").write_text(f"{node}\n")
    (etc / "hosts").write_text(f"127.0.0.1 localhost\n{address(node)} {node}\n{GATEWAY} api.bed.test\n")
    (etc / "resolv.conf").write_text(f"nameserver {GATEWAY}\n")
    (etc / "machine-id").write_text(f"{uuid.uuid5(uuid.NAMESPACE_DNS, f'machine.{node}').hex}\n")
    (etc / "boot-id").write_text(f"{uuid.uuid5(uuid.NAMESPACE_DNS, f'boot.{node}')}\n")
    if systemd:
        make_units(here)


def make_units(here):
    units, links = here / "usr/lib/systemd/system", here / "etc/systemd/system"
    for path in (units, links / "multi-user.target.wants", here / "usr/lib/systemd/system-generators"):
        path.mkdir(parents=True)
    for unit in (HERE / "systemd").iterdir():
        text = unit.read_text().replace("@PROGRAMS@", str(programs())).replace("@DIRECTORY@", str(here))
        (units / unit.name).write_text(text)
    (links / "default.target").symlink_to("/usr/lib/systemd/system/multi-user.target")
    for unit in units.glob("*.service"):
        (links / "multi-user.target.wants" / unit.name).symlink_to(f"/usr/lib/systemd/system/{unit.name}")


def boot(node):
    here = directory(node)
    for stopped in here.glob("stopped.*"):
        stopped.unlink()
    make_groups(node)
    enter = HERE / "in-group"
    command = [
        enter, *groups(node), "--", "unshare", "--cgroup", enter, *leaf(node), "--",
        "nsenter", f"--net=/run/netns/{namespace(node)}", "unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc",
        HERE / "node-init", node, here, programs(), shape()["init"],
    ]
    with open(here / "init.log", "a") as printed:
        outer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed, start_new_session=True, env=environment())

    def inner():
        if outer.poll() is not None:
            fail(f"{node} did not start: see {here}/init.log")
        return pathlib.Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()

    (here / "init.pid").write_text(wait_for(10, f"{node} starts", inner)[0])
    write_enter(node)
    socket = "/run/containerd/containerd.sock"
    wait_for(30, f"containerd starts on {node}: see {here}/containerd.log", lambda: on(node, "test", "-S", socket, check=False).returncode == 0)


def kill(node):
    """As a power cut does."""
    (directory(node) / "enter").unlink(missing_ok=True)
    if found := pid(node):
        os.kill(found, signal.SIGKILL)
        wait_for(20, f"{node} ends", lambda: pid(node) is None)


def remove(node):
    kill(node)
    end_groups(node)
    # What is missing was never made, or is deleted already.
    run("ip", "link", "del", veth(node), check=False)
    run("ip", "netns", "del", namespace(node), check=False)
    shutil.rmtree(directory(node), ignore_errors=True)


# ---- use ---------------------------------------------------------------------------------------------------------

def write_enter(node):
    """A script that runs a command on the node, in all its namespaces and control groups."""
    namespaces = f"nsenter -t {pid(node)} --mount --uts --ipc --net --pid --cgroup"
    write_script(directory(node) / "enter", f'"{HERE}/in-group" {" ".join(map(str, leaf(node)))} -- {namespaces} "$@"')


def on(node, *command, check=True, **options):
    if not pid(node):
        fail(f"node {node} is not running")
    return run(directory(node) / "enter", *command, check=check, **options)


def stop_daemon(node, daemon):
    if shape()["init"] == "systemd":
        on(node, "systemctl", "stop", daemon)
    else:
        (directory(node) / f"stopped.{daemon}").touch()
        on(node, "bash", "-c", f"kill $(cat {directory(node)}/{daemon}.pid)", check=False)


def start_daemon(node, daemon):
    if shape()["init"] == "systemd":
        on(node, "systemctl", "start", daemon)
    else:
        (directory(node) / f"stopped.{daemon}").unlink(missing_ok=True)
