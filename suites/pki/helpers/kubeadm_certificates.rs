//! The certificates that kubeadm keeps on a node, who uses each, and how to make it again.

use crate::suites::kubeadm_phase::{again, restart};

/// The link to the kubelet's present client certificate.
pub(crate) const KUBELET_CLIENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
/// The kubeconfig that RBAC cannot restrict.
pub(crate) const SUPER_ADMIN: &str = "/etc/kubernetes/super-admin.conf";

/// The three CAs of kubeadm.
pub(crate) const CA: &str = "/etc/kubernetes/pki/ca.crt";
pub(crate) const FRONT_PROXY_CA: &str = "/etc/kubernetes/pki/front-proxy-ca.crt";
const ETCD_CA: &str = "/etc/kubernetes/pki/etcd/ca.crt";

/// A file that holds a certificate.
pub(crate) struct Held {
    pub(crate) path: &'static str,
    /// The CA that signs it.
    pub(crate) ca: &'static str,
    /// The name by which kubeadm renews it; empty for the kubelet's, which the kubelet renews.
    name: &'static str,
    /// The static pod that uses it; empty where none does.
    user: &'static str,
    /// What fails without it.
    pub(crate) consequence: &'static str,
}

const fn held(
    path: &'static str,
    ca: &'static str,
    name: &'static str,
    user: &'static str,
    consequence: &'static str,
) -> Held {
    Held { path, ca, name, user, consequence }
}

/// All of them.
pub(crate) const CERTIFICATES: [Held; 12] = [
    held(
        "/etc/kubernetes/pki/apiserver.crt",
        CA,
        "apiserver",
        "kube-apiserver",
        "every client of this API server fails",
    ),
    held(
        "/etc/kubernetes/pki/apiserver-kubelet-client.crt",
        CA,
        "apiserver-kubelet-client",
        "kube-apiserver",
        "logs, exec and port-forward fail on every node",
    ),
    held(
        "/etc/kubernetes/pki/front-proxy-client.crt",
        FRONT_PROXY_CA,
        "front-proxy-client",
        "kube-apiserver",
        "aggregated APIs such as metrics-server refuse this API server",
    ),
    held(
        "/etc/kubernetes/pki/apiserver-etcd-client.crt",
        ETCD_CA,
        "apiserver-etcd-client",
        "kube-apiserver",
        "this API server loses its database",
    ),
    held(
        "/etc/kubernetes/pki/etcd/server.crt",
        ETCD_CA,
        "etcd-server",
        "etcd",
        "API servers refuse this member of etcd",
    ),
    held(
        "/etc/kubernetes/pki/etcd/peer.crt",
        ETCD_CA,
        "etcd-peer",
        "etcd",
        "the other members of etcd refuse this one",
    ),
    held(
        "/etc/kubernetes/pki/etcd/healthcheck-client.crt",
        ETCD_CA,
        "etcd-healthcheck-client",
        "",
        "the health of etcd cannot be checked from its own node",
    ),
    held("/etc/kubernetes/admin.conf", CA, "admin.conf", "", "the administrator cannot log in from this node"),
    held(SUPER_ADMIN, CA, "super-admin.conf", "", "the administrator has no last resort when RBAC is broken"),
    held(
        "/etc/kubernetes/controller-manager.conf",
        CA,
        "controller-manager.conf",
        "kube-controller-manager",
        "the controller-manager of this node cannot log in",
    ),
    held(
        "/etc/kubernetes/scheduler.conf",
        CA,
        "scheduler.conf",
        "kube-scheduler",
        "the scheduler of this node cannot log in",
    ),
    held(KUBELET_CLIENT, CA, "", "", "the node is lost: its kubelet cannot log in"),
];

impl Held {
    /// How to get a later date.
    pub(crate) fn renew(&self) -> String {
        match (self.name, self.user) {
            ("", _) => "approve the request that waits, after what PK-09 says to compare: kubectl get csr".to_owned(),
            (name, "") => {
                format!("on the node: kubeadm certs renew {name}; copy it to where it is used; no restart is needed")
            }
            (name, user) => format!("on the node: kubeadm certs renew {name} && {}", restart(user)),
        }
    }

    /// How to make the file again.
    pub(crate) fn remake(&self) -> String {
        let Self { path, name, user, .. } = self;
        let again = match (name.strip_suffix(".conf"), *name) {
            (_, "") => {
                return "make a kubeconfig for the kubelet on a control-plane node with ca.key, and put it on the node, \
                        as `seaworthy explain PK-10` shows for an expired one"
                    .to_owned();
            }
            (Some(conf), _) => format!("mv {path} /root/; {}", again(&format!("kubeconfig {conf}"))),
            (None, name) => again(&format!("certs {name}")),
        };
        let restarted = if user.is_empty() { String::new() } else { format!("; then {}", restart(user)) };
        format!("on the node: {again}{restarted}")
    }
}
