//! etcd's own client, as it runs in the pod of a member that kubeadm made.

/// The command to which a subcommand is added. It shows the member in this pod that member's own certificate: etcd
/// refuses clients without one.
pub(crate) fn etcdctl(pod: &str) -> String {
    format!(
        "kubectl -n kube-system exec {pod} -- etcdctl --endpoints=https://127.0.0.1:2379 \
         --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt \
         --key=/etc/kubernetes/pki/etcd/server.key"
    )
}

/// A pod of etcd, found when the command runs.
pub(crate) const ANY_POD: &str = "$(kubectl -n kube-system get pods -l component=etcd -o name | head -1)";

/// The id of a node's member, found when the command runs: kubeadm names a member after its node.
pub(crate) fn member_id(etcdctl: &str, node: &str) -> String {
    format!("$({etcdctl} member list | awk -F', ' '$3 == \"{node}\" {{print $1}}')")
}
