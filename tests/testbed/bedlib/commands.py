"""The command line, except for the commands that hand over to another program at once."""
import argparse, os

from . import binaries, cluster, images, isolation, nodes
from .place import ADMIN, HERE, NEWEST, RELEASES, STATE, fail


def main(arguments, description):
    wanted = parser(description).parse_args(arguments)
    wanted.does(wanted)


def parser(description):
    top = argparse.ArgumentParser(prog="bed", description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name, does):
        added = commands.add_parser(name)
        added.set_defaults(does=does)
        return added

    release = dict(default=NEWEST, choices=list(RELEASES), help="the release of Kubernetes; default: %(default)s")
    install = command("install", lambda wanted: binaries.install(wanted.kubernetes, wanted.may_build))
    install.add_argument("--kubernetes", **release)
    install.add_argument("--no-build", dest="may_build", action="store_false", help="fail rather than build the programs, which takes long")
    up = command("up", make)
    up.add_argument("--nodes", type=int, default=3, help="default: %(default)s")
    up.add_argument("--control-planes", type=int, default=1, help="with more than one, a load balancer is in front of them; default: %(default)s")
    up.add_argument("--kubernetes", **release)
    up.add_argument("--init", choices=["plain", "systemd"], default="plain", help="the first process of each node; default: %(default)s")
    up.add_argument("--proxy-mode", choices=["iptables", "nftables"], default="iptables", help="of kube-proxy; default: %(default)s")
    up.add_argument("--name", default="bed", help="the cluster's name in kubeconfigs; default: %(default)s")
    up.add_argument("--no-cni", dest="cni", action="store_false", help="leave the cluster without a pod network")
    up.add_argument("--set", action="append", default=[], metavar="DOCUMENT.PATH=JSON", help="a setting of kubeadm's documents: init, cluster, kubelet or proxy")
    command("down", unmake)
    command("status", lambda wanted: cluster.status())
    command("kubeconfig", lambda wanted: print(ADMIN))
    command("kubectl", lambda _: fail("no cluster is up")).add_argument("arguments", nargs=argparse.REMAINDER)
    there = command("exec", lambda wanted: fail(f"node {wanted.node} is not running"))
    there.add_argument("node")
    there.add_argument("command", nargs=argparse.REMAINDER)
    command("run", here).add_argument("command", nargs=argparse.REMAINDER)
    for name, node_does, daemon_does in (("stop", nodes.kill, nodes.stop_daemon), ("start", nodes.boot, nodes.start_daemon)):
        one = command(name, lambda wanted, node_does=node_does, daemon_does=daemon_does:
                      daemon_does(wanted.node, wanted.daemon) if wanted.daemon else node_does(wanted.node))
        one.add_argument("node")
        one.add_argument("daemon", nargs="?", choices=["kubelet", "containerd"])
    image = command("image", load)
    image.add_argument("load", choices=["load"])
    image.add_argument("file")
    return top


def make(wanted):
    options = vars(wanted)
    cluster.up({name: options[name] for name in ("nodes", "control_planes", "kubernetes", "init", "proxy_mode", "name", "cni", "set")})


def here(wanted):
    """Continues as a command of this machine, to which `bed` is this cluster."""
    command = wanted.command[1:] if wanted.command[:1] == ["--"] else wanted.command
    try:
        os.execvpe(command[0], command, {**os.environ, "BED": str(HERE / "bed"), "BED_STATE": str(STATE)})
    except (IndexError, OSError) as error:
        fail(f"run {' '.join(command)}: {error}")


def unmake(_):
    cluster.down()
    isolation.end()


def load(wanted):
    cluster.for_each(nodes.names(), lambda node: images.load(
        wanted.file, nodes.directory(node), lambda *command: nodes.on(node, *command)))
