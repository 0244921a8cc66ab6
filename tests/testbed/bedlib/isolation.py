"""Further clusters on the same machine.

The first cluster uses the machine's own network, so that every program reaches it. Each further one has a network and a mount
namespace of its own, in which it has the same addresses, and in which its commands run: `bed --cluster NAME run -- COMMAND`.
"""
import os, pathlib, shutil, signal, subprocess

from .place import CLUSTER, HERE, STATE, wait_for


def enter(name, arguments):
    """Runs bed again with these arguments, inside the namespaces of this cluster, and does not return."""
    state = pathlib.Path(f"/var/tmp/bed-{name}")
    keeper = keeper_of(state) or make(name, state)
    variables = {**os.environ, "BED_CLUSTER": name, "BED_STATE": str(state)}
    namespaces = ["-t", str(keeper), "--net", "--mount", f"--wdns={os.getcwd()}"]
    os.execvpe("nsenter", ["nsenter", *namespaces, str(HERE / "bed"), *arguments], variables)


def keeper_of(state):
    """The process that keeps the namespaces."""
    try:
        found = int((state / "keeper.pid").read_text())
        command = pathlib.Path(f"/proc/{found}/cmdline").read_text()
    except (OSError, ValueError):
        return None
    return found if command.startswith("sleep\0") else None


def make(name, state):
    state.mkdir(parents=True, exist_ok=True)
    (state / "hosts").write_text("127.0.0.1 localhost\n")
    script = f"""
        mkdir -p /run/netns
        mount -t tmpfs tmpfs /run/netns
        mount --bind {state}/hosts /etc/hosts
        ip link set lo up
        # A way out, for the gateway to refuse; nothing is at its end.
        ip link add out type veth peer name nowhere
        ip link set nowhere up
        ip link set out up
        ip addr add 198.51.100.1/30 dev out
        ip route add default via 198.51.100.2
        touch {state}/ready
        exec sleep infinity
    """
    with open(state / "keeper.log", "a") as printed:
        keeper = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-ec", script], stdin=subprocess.DEVNULL, stdout=printed, stderr=printed, start_new_session=True)
    (state / "keeper.pid").write_text(str(keeper.pid))
    wait_for(10, f"the namespaces of cluster {name} are made: see {state}/keeper.log", lambda: (state / "ready").exists() and keeper_of(state))
    return keeper.pid


def end():
    """Ends the namespaces that this process is in; they are deleted with the last process in them."""
    if CLUSTER and (keeper := keeper_of(STATE)):
        os.kill(keeper, signal.SIGKILL)
    shutil.rmtree(STATE, ignore_errors=True)
