//! etcd's own client, as it is run in the pod of a member that kubeadm made.

/// The command to which a subcommand is added: by its own certificate to the member in this pod, since nothing else is let in.
pub(super) fn etcdctl(pod: &str) -> String {
    format!(
        "kubectl -n kube-system exec {pod} -- etcdctl --endpoints=https://127.0.0.1:2379 \
         --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt \
         --key=/etc/kubernetes/pki/etcd/server.key"
    )
}
