"""bed: a real kubeadm cluster on one machine, to test against.

Each node is a set of Linux namespaces and control groups with its own containerd and kubelet; the control plane is what
`kubeadm init` writes: static pods of the real components. Nothing is mocked, and no image is pulled.

  bed install [OPTION...]            install the packages and programs that clusters need; the programs are built if there is no archive
  bed up [OPTION...]                 make a cluster: see bed up --help
  bed down
  bed status
  bed kubeconfig                     print the path of the administrator's kubeconfig
  bed kubectl ARGUMENT...            kubectl as the administrator
  bed exec NODE COMMAND...           run a command on a node
  bed stop NODE [kubelet|containerd] stop a daemon; without one, the node dies as by a power cut
  bed start NODE [kubelet|containerd]
  bed image load FILE                load an OCI or docker archive on every node
  bed run -- COMMAND...              run a command of this machine where the cluster's addresses are

  bed --cluster NAME ...             the same for a further cluster beside the first; its addresses exist only in `run`

Needs root.
"""
import os, sys


def main(arguments):
    if os.geteuid():
        sys.exit("bed: needs root")
    if arguments[:1] == ["--cluster"] and len(arguments) > 2:
        from bedlib import isolation
        name = arguments[1]
        if not (name.isalnum() and len(name) <= 8):
            sys.exit("bed: a cluster's name has up to 8 letters and digits")
        isolation.enter(name, arguments[2:])
    from bedlib import commands
    commands.main(arguments, __doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
