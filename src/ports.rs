//! The ports at which a cluster's parts serve by default.
//!
//! Source: kubernetes/kubernetes `pkg/cluster/ports/ports.go`, `cmd/kubeadm/app/constants/constants.go`; the ports without
//! TLS are in those of v1.19.

/// The kubelet's API. It must be open, so it is the control for all that must be closed on the same node.
pub(crate) const KUBELET: u16 = 10250;
/// The kubelet's read-only port: without credentials, all pods of the node.
pub(crate) const KUBELET_READ_ONLY: u16 = 10255;
/// The kubelet's health, for the node itself.
pub(crate) const KUBELET_HEALTHZ: u16 = 10248;

/// kube-proxy's health.
pub(crate) const KUBE_PROXY_HEALTHZ: u16 = 10256;
/// kube-proxy's metrics, which belong to the node alone.
pub(crate) const KUBE_PROXY_METRICS: u16 = 10249;

/// The API server, as kubeadm sets it up.
pub(crate) const API_SERVER: u16 = 6443;
/// The controller-manager.
pub(crate) const KUBE_CONTROLLER_MANAGER: u16 = 10257;
/// The scheduler.
pub(crate) const KUBE_SCHEDULER: u16 = 10259;
/// What follows a leader, by HTTPS.
pub(crate) const LEADERS: [u16; 2] = [KUBE_CONTROLLER_MANAGER, KUBE_SCHEDULER];

/// Where the API server once served without TLS, and others like to serve since.
pub(crate) const INSECURE_API_SERVER: u16 = 8080;
/// Where the API server, the scheduler and the controller-manager once served without TLS.
pub(crate) const RETIRED: [u16; 3] = [INSECURE_API_SERVER, 10251, 10252];

/// etcd for its clients.
pub(crate) const ETCD_CLIENT: u16 = 2379;
/// etcd for its other members.
pub(crate) const ETCD_PEER: u16 = 2380;
/// Where etcd demands certificates.
pub(crate) const ETCD: [u16; 2] = [ETCD_CLIENT, ETCD_PEER];

/// DNS.
pub(crate) const DNS: u16 = 53;
/// CoreDNS's metrics.
pub(crate) const DNS_METRICS: u16 = 9153;
