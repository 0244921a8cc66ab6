//! # The API server may use the kubelets' API
//!
//! ## Why
//! `kubectl logs`, `exec`, `attach` and `port-forward` are requests from the API server to a kubelet, under the API
//! server's own name. Newer kubeadm grants that name its right by a ClusterRoleBinding; a cluster that was upgraded by
//! replacing its nodes never got it, and loses all four when the certificate is renewed.
//!
//! ## Fix
//! ```text
//! kubectl create clusterrolebinding kubeadm:apiserver-kubelet-client \
//!   --clusterrole=system:kubelet-api-admin --user=kube-apiserver-kubelet-client
//! ```
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/bootstraptoken/node/tlsbootstrap.go`, pull request 138957;
//! <https://github.com/kubernetes/kubeadm/issues/3310>. From 1.36.1 and 1.35.5 on, the certificate has no group;
//! before, it has kubeadm:cluster-admins, which this check asks about then. Kubelets cache answers for five minutes:
//! logs keep working that long after the binding is deleted.

use crate::check::{Severity, Verdict};
use crate::fact::facts::kubelet_client_reviews::{KubeletClientAsks, KubeletClientReviews, is_bound_in};
use crate::fact::facts::server_version::ServerVersion;
use crate::suites::rights::{asked, may};
use crate::version::Version;

crate::check!(
    "AA-22",
    "kubelet-client",
    Critical,
    judge,
    builds_on: ["AA-19", "AA-21"],
    blocked_by: ["AA-03"]
);

/// Since when the certificate has the group that this check asks about.
const GROUP_SINCE: Version = Version::minor(29);

const BY_BINDING: [(KubeletClientAsks, &str); 3] = [
    (KubeletClientAsks::ReadLogs, "kubectl get --raw /api/v1/nodes/NODE/proxy/logs fails"),
    (KubeletClientAsks::GetProxy, "kubectl logs fails, unless apiserver-kubelet-client.crt still names a group"),
    (
        KubeletClientAsks::CreateProxy,
        "kubectl exec, attach and port-forward fail, unless apiserver-kubelet-client.crt still names a group",
    ),
];
const BIND: &str = "kubectl create clusterrolebinding kubeadm:apiserver-kubelet-client \
     --clusterrole=system:kubelet-api-admin --user=kube-apiserver-kubelet-client --dry-run=client -o yaml | \
     kubectl auth reconcile -f -";
/// The group is that of admin.conf, which cannot restore its own rights.
const BIND_GROUP: &str = "on a control-plane node: kubectl --kubeconfig /etc/kubernetes/super-admin.conf create \
     clusterrolebinding kubeadm:cluster-admins --clusterrole=cluster-admin --group=kubeadm:cluster-admins \
     --dry-run=client -o yaml | kubectl --kubeconfig /etc/kubernetes/super-admin.conf auth reconcile -f -";

fn judge(reviews: &KubeletClientReviews, server: &ServerVersion) -> Verdict {
    let mut verdict = Verdict::new();
    if is_bound_in(server.version) {
        for (ask, impact) in BY_BINDING {
            if let Some(review) = asked(&mut verdict, &reviews.0, &ask) {
                may(&mut verdict, review, Severity::Critical, impact, BIND);
            }
        }
        return verdict;
    }
    if server.version < GROUP_SINCE {
        return verdict.does_not_apply(format!(
            "in {} the API server calls kubelets in the group system:masters, which may do everything",
            server.git
        ));
    }
    if let Some(review) = asked(&mut verdict, &reviews.0, &KubeletClientAsks::CreateProxyInGroup) {
        let impact = "kubectl logs, exec, attach and port-forward fail";
        may(&mut verdict, review, Severity::Critical, impact, BIND_GROUP);
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::access_review::testing::{allowed, denied};

    fn judged(allows: &[KubeletClientAsks], version: &str) -> Verdict {
        let review = |ask: KubeletClientAsks| {
            let question = ask.question();
            (ask, if allows.contains(&ask) { allowed(question, "RBAC: …") } else { denied(question, "") })
        };
        let reviews = KubeletClientReviews(
            KubeletClientAsks::BY_BINDING.into_iter().chain(KubeletClientAsks::BY_GROUP).map(review).collect(),
        );
        judge(&reviews, &ServerVersion { git: version.into(), version: version.parse().unwrap() })
    }

    #[test]
    fn a_bound_user_has_every_right_that_it_needs() {
        let bound = [KubeletClientAsks::ReadLogs, KubeletClientAsks::GetProxy, KubeletClientAsks::CreateProxy];
        let verdict = judged(&bound, "v1.37.2");
        assert_eq!((verdict.observations(), verdict.findings(Severity::Critical)), (3, vec![]));
    }

    #[test]
    fn without_its_binding_each_command_fails() {
        let findings = judged(&[KubeletClientAsks::CreateProxyInGroup], "v1.36.1").findings(Severity::Critical);
        assert_eq!(findings.len(), 3);
        assert!(findings[2].impact.as_deref().unwrap().starts_with("kubectl exec"), "{findings:?}");
    }

    #[test]
    fn older_certificates_have_a_group() {
        let in_group = [KubeletClientAsks::CreateProxyInGroup];
        assert!(judged(&in_group, "v1.36.0").findings(Severity::Critical).is_empty());
        assert_eq!(judged(&[], "v1.35.4").findings(Severity::Critical).len(), 1);
        assert!(judged(&[], "v1.28.0").reason().is_some());
    }
}
