//! # A bootstrap token can join a node and do nothing else
//!
//! ## Why
//! Bootstrap tokens lie in provisioning scripts and in shell histories. A token may request a node's certificate and
//! read the kubelets' configuration; if it may read Secrets or run pods, a leaked token is a compromised cluster. If it
//! may do less, no node can join.
//!
//! ## Fix
//! Too many rights: if the finding names a binding, remove the group `system:bootstrappers…` from it; if it names none,
//! see AA-02. Too few: DI-08 names the kubeadm binding that is missing or changed, and the command that restores it.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/bootstraptoken/node/tlsbootstrap.go`, `phases/uploadconfig`,
//! `phases/kubelet/config.go`, `phases/addons/proxy`, `phases/copycerts`. The check asks about an invented token with
//! kubeadm's group.

use super::helpers::kubeadm_grants::{BY_HAND, named};
use crate::check::{Severity, Verdict};
use crate::fact::facts::bootstrapper_reviews::{BootstrapperAsks, BootstrapperReviews};
use crate::fact::facts::pods::Pods;
use crate::fact::facts::rbac::{ROLE, Rbac};
use crate::object_ref::ObjectRef;
use crate::suites::rights::{Forbidden, asked, may};

crate::check!(
    "DI-07",
    "bootstrap-rights",
    Critical,
    judge,
    builds_on: ["AA-03", "AA-18"],
    blocked_by: ["AA-19", "AA-21"]
);

/// What joining takes, what fails without it, and the binding that grants it.
const REQUIRED: [(BootstrapperAsks, &str, &str); 7] = [
    (BootstrapperAsks::CreateRequest, "a joining kubelet cannot request its certificate", BOOTSTRAP),
    (BootstrapperAsks::GetRequest, "a joining kubelet cannot fetch its certificate", BOOTSTRAP),
    (BootstrapperAsks::ListRequests, "a joining kubelet cannot wait for its certificate", BOOTSTRAP),
    (BootstrapperAsks::WatchRequests, "a joining kubelet cannot wait for its certificate", BOOTSTRAP),
    (
        BootstrapperAsks::GetNode,
        "kubeadm join cannot check whether the node's name is taken, and gives up",
        "kubeadm:get-nodes",
    ),
    (
        BootstrapperAsks::KubeadmConfig,
        "kubeadm join cannot read the cluster's configuration",
        "kubeadm:nodes-kubeadm-config",
    ),
    (BootstrapperAsks::KubeletConfig, "kubeadm join cannot read the kubelet's configuration", "kubeadm:kubelet-config"),
];
const BOOTSTRAP: &str = "kubeadm:kubelet-bootstrap";

const ASKS: [BootstrapperAsks; 7] = [
    BootstrapperAsks::GetSecret,
    BootstrapperAsks::ListSecrets,
    BootstrapperAsks::ListConfigMaps,
    BootstrapperAsks::CreatePod,
    BootstrapperAsks::PatchNode,
    BootstrapperAsks::RenewingNode,
    BootstrapperAsks::Approve,
];
const FORBIDDEN: Forbidden<'_> = Forbidden {
    expected: "a bootstrap token is denied everything that joining a node does not take",
    impact: "anyone who finds a bootstrap token has these rights",
    fix: "no binding grants it: on each control-plane node, set --authorization-mode=Node,RBAC in \
          /etc/kubernetes/manifests/kube-apiserver.yaml, or correct the authorizers in the file of \
          --authorization-config",
};

/// What kubeadm writes when it uploads the keys of the control plane for other control-plane nodes.
const CERTS_ROLE: ObjectRef = ObjectRef::fixed_in("kube-system", ROLE, "kubeadm:kubeadm-certs");

fn judge(reviews: &BootstrapperReviews, rbac: &Rbac, pods: &Pods) -> Verdict {
    let mut verdict = Verdict::new();
    let mut require = |ask, severity, impact, binding| {
        if let Some(review) = asked(&mut verdict, &reviews.0, ask) {
            may(&mut verdict, review, severity, impact, &named(binding).fix_all());
        }
    };
    for (ask, impact, binding) in &REQUIRED {
        require(ask, Severity::Critical, impact, binding);
    }
    require(&BootstrapperAsks::NewNode, Severity::Minor, BY_HAND, "kubeadm:node-autoapprove-bootstrap");
    if pods.labelled("kube-system", "k8s-app", "kube-proxy").next().is_some() {
        let impact = "kubeadm join cannot read kube-proxy's configuration";
        require(&BootstrapperAsks::KubeProxyConfig, Severity::Critical, impact, "kube-proxy");
    }
    let mut forbidden: Vec<_> = ASKS.iter().filter_map(|ask| asked(&mut verdict, &reviews.0, ask)).collect();
    if let Some(certs) = asked(&mut verdict, &reviews.0, &BootstrapperAsks::KubeadmCerts) {
        if rbac.roles.contains_key(&CERTS_ROLE) {
            // kubeadm leaves the Role behind; the Secret is deleted with its token after two hours.
            verdict.note_about(
                CERTS_ROLE.into(),
                format!("kubeadm upload-certs left this Role behind, so a token may {}", certs.question),
            );
        } else {
            forbidden.push(certs);
        }
    }
    FORBIDDEN.judge(&mut verdict, Some(rbac), forbidden);
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::access_review::testing;
    use crate::fact::facts::pods::Pod;
    use crate::object_ref::testing::named;

    fn reviews(differently: &[BootstrapperAsks]) -> BootstrapperReviews {
        let required = |ask| {
            [BootstrapperAsks::KubeProxyConfig, BootstrapperAsks::NewNode].contains(&ask)
                || REQUIRED.iter().any(|(required, ..)| *required == ask)
        };
        let review = |ask: BootstrapperAsks| {
            let question = ask.question();
            if required(ask) == differently.contains(&ask) {
                testing::denied(question, "")
            } else {
                testing::allowed(question, "RBAC: allowed by ClusterRoleBinding \"provisioning-script\"")
            }
        };
        BootstrapperReviews(BootstrapperAsks::ALL.into_iter().map(|ask| (ask, review(ask))).collect())
    }

    fn proxy() -> Pods {
        let pod = Pod {
            namespace: "kube-system".into(),
            labels: [("k8s-app".to_owned(), "kube-proxy".to_owned())].into(),
            ..Pod::default()
        };
        Pods([(named("kube-system/kube-proxy-a"), pod)].into())
    }

    #[test]
    fn the_rights_of_kubeadm_are_enough_and_no_more() {
        let verdict = judge(&reviews(&[]), &Rbac::default(), &proxy());
        assert!(verdict.findings(Severity::Critical).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), BootstrapperAsks::ALL.len());
    }

    #[test]
    fn a_token_that_reads_secrets_is_found_with_the_binding() {
        let asks = [BootstrapperAsks::GetSecret, BootstrapperAsks::ListSecrets];
        let findings = judge(&reviews(&asks), &Rbac::default(), &proxy()).findings(Severity::Critical);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].evidence.len(), 2);
        assert!(findings[0].evidence[1].ends_with(" may list secrets"), "{findings:?}");
        assert!(findings[0].seen.contains("provisioning-script"));
    }

    #[test]
    fn a_token_that_cannot_ask_for_a_certificate_is_found() {
        let findings = judge(&reviews(&[BootstrapperAsks::CreateRequest]), &Rbac::default(), &proxy())
            .findings(Severity::Critical);
        assert_eq!(findings[0].expected, "may create certificatesigningrequests.certificates.k8s.io");
        assert_eq!(findings[0].impact.as_deref(), Some("a joining kubelet cannot request its certificate"));
        assert!(findings[0].fix.contains("create clusterrolebinding kubeadm:kubelet-bootstrap"));
    }

    #[test]
    fn approval_by_hand_is_minor() {
        let findings =
            judge(&reviews(&[BootstrapperAsks::NewNode]), &Rbac::default(), &proxy()).findings(Severity::Critical);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Minor));
    }

    #[test]
    fn kube_proxy_is_needed_only_where_it_runs() {
        let without = reviews(&[BootstrapperAsks::KubeProxyConfig]);
        assert_eq!(judge(&without, &Rbac::default(), &proxy()).findings(Severity::Critical).len(), 1);
        assert!(judge(&without, &Rbac::default(), &Pods::default()).findings(Severity::Critical).is_empty());
    }

    #[test]
    fn the_keys_are_readable_while_their_role_exists() {
        let readable = reviews(&[BootstrapperAsks::KubeadmCerts]);
        assert_eq!(judge(&readable, &Rbac::default(), &proxy()).findings(Severity::Critical).len(), 1);
        let uploaded =
            judge(&readable, &Rbac { roles: [(CERTS_ROLE, Vec::new())].into(), ..Rbac::default() }, &proxy());
        assert!(uploaded.findings(Severity::Critical).is_empty());
        assert_eq!(crate::check::testing::notes(&uploaded).len(), 1);
    }
}
