//! What several checks of this suite share.

pub(super) mod kubeadm_grants;

/// How to have tokens signed again.
pub(super) const SIGNER: &str = "on each control-plane node, set --controllers=*,bootstrapsigner,tokencleaner in \
     /etc/kubernetes/manifests/kube-controller-manager.yaml; errors of the signer are in: kubectl -n kube-system logs \
     -l component=kube-controller-manager --tail=-1";

/// How to have kubeadm write cluster-info, and the rights of joining nodes, again.
pub(super) const REWRITE: &str = "on a control-plane node: kubectl -n kube-public delete configmap cluster-info; \
     kubeadm init phase bootstrap-token --skip-token-print; the phase also creates a token for 24 hours, which kubeadm \
     token list shows and kubeadm token delete removes";
