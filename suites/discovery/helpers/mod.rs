//! What several checks of this suite share.

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::expectations::{Discovery, Expectations};
use crate::fact::facts::kubeadm_config::KubeadmConfig;
use crate::seen::Unobserved;

pub(super) mod kubeadm_grants;

/// How to have tokens signed again.
pub(super) const SIGNER: &str = "on each control-plane node, set --controllers=*,bootstrapsigner,tokencleaner in \
     /etc/kubernetes/manifests/kube-controller-manager.yaml; errors of the signer are in: kubectl -n kube-system logs \
     -l component=kube-controller-manager --tail=-1";

/// How to have kubeadm create cluster-info where it is missing.
pub(super) const CREATE: &str = "on a control-plane node: kubeadm init phase bootstrap-token --skip-token-print; the phase also \
     creates a token for 24 hours, which kubeadm token list shows and kubeadm token delete removes";

/// Judges a cluster without cluster-info: kubeadm creates it, and nodes need it unless they join by a file.
pub(super) fn judge_missing(
    verdict: &mut Verdict,
    kubeadm: Result<&KubeadmConfig, &Unobserved>,
    expectations: &Expectations,
) {
    let subject = Subject::object("ConfigMap", "kube-public", "cluster-info");
    match (kubeadm, expectations.discovery) {
        (Err(Unobserved::Absent { .. }), _) => {
            *verdict = std::mem::take(verdict).does_not_apply(
                "neither ConfigMap kube-public/cluster-info nor kube-system/kubeadm-config exists: kubeadm did not \
                 build this cluster",
            );
        }
        (_, Discovery::File) => {
            *verdict = std::mem::take(verdict).does_not_apply(
                "the profile states that nodes join by a file, and there is no ConfigMap kube-public/cluster-info",
            );
        }
        (Err(why), _) => verdict.unseen(subject, why),
        (Ok(_), Discovery::Token) => verdict.find(
            subject,
            Finding::new(
                "the ConfigMap from which new nodes learn the API server and its CA",
                "it does not exist, although kubeadm built this cluster",
            )
            .impact("no node can join with a token")
            .fix(CREATE),
        ),
    }
}

/// How to have kubeadm write cluster-info, and the rights of joining nodes, again.
pub(super) const REWRITE: &str = "on a control-plane node: kubectl -n kube-public delete configmap cluster-info; \
     kubeadm init phase bootstrap-token --skip-token-print; the phase also creates a token for 24 hours, which kubeadm \
     token list shows and kubeadm token delete removes";
