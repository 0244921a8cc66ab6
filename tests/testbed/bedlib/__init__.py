"""What the testbed's program, `bed`, is made of. Each module may use those that are named before it:

place      where everything of a cluster is, and how commands are run
binaries   the programs of the cluster: unpacked, or built
images     the container images, made of the programs
nodes      nodes: Linux namespaces and control groups with an init
network    the network between the nodes, its name server and load balancer
kubeadm    kubeadm's configuration and runs
cluster    up, down, status
isolation  further clusters, each in a network and mount namespace of its own
"""
