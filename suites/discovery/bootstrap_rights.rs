//! # A bootstrap token can join a node and do nothing else
//!
//! ## Why
//! A bootstrap token lies in provisioning scripts and in shell histories. It may ask for a node's certificate and read how
//! kubelets are configured; if it may read Secrets or run pods, a leaked token is a leaked cluster. If it may do less, no
//! node can join.
//!
//! ## Fix
//! Too much: where the finding names a binding, `kubectl describe clusterrolebinding NAME`, then take the group
//! `system:bootstrappers…` away from it; where it names none, see AA-02. Too little: DI-08 names the binding of kubeadm's that is missing or changed, and
//! the command that writes it again.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/bootstraptoken/node/tlsbootstrap.go`, `phases/uploadconfig`,
//! `phases/kubelet/config.go`, `phases/addons/proxy`, `phases/copycerts`. Asked about an invented token with kubeadm's group.

use super::kubeadm_grants::BY_HAND;
use crate::check::{Severity, Verdict};
use crate::fact::facts::bootstrapper_reviews::{BootstrapperAsks, BootstrapperReviews};
use crate::fact::facts::pods::Pods;
use crate::fact::facts::rbac::{ROLE, Rbac};
use crate::object_ref::ObjectRef;
use crate::suites::rights::{asked, may, may_not, may_or};

crate::check!("DI-07", "bootstrap-rights", Critical, judge);

/// What joining takes, and what fails without it.
const REQUIRED: [(BootstrapperAsks, &str); 7] = [
    (BootstrapperAsks::CreateRequest, "a joining kubelet cannot ask for its certificate"),
    (BootstrapperAsks::GetRequest, "a joining kubelet cannot fetch its certificate"),
    (BootstrapperAsks::ListRequests, "a joining kubelet cannot wait for its certificate"),
    (BootstrapperAsks::WatchRequests, "a joining kubelet cannot wait for its certificate"),
    (BootstrapperAsks::GetNode, "kubeadm join cannot tell whether the node's name is taken"),
    (BootstrapperAsks::KubeadmConfig, "kubeadm join cannot read how the cluster was built"),
    (BootstrapperAsks::KubeletConfig, "kubeadm join cannot read the kubelet's configuration"),
];

const FORBIDDEN: [BootstrapperAsks; 7] = [
    BootstrapperAsks::GetSecret,
    BootstrapperAsks::ListSecrets,
    BootstrapperAsks::ListConfigMaps,
    BootstrapperAsks::CreatePod,
    BootstrapperAsks::PatchNode,
    BootstrapperAsks::RenewingNode,
    BootstrapperAsks::Approve,
];

/// What kubeadm writes when it uploads the keys of the control plane for other control-plane nodes.
const CERTS_ROLE: ObjectRef = ObjectRef::fixed_in("kube-system", ROLE, "kubeadm:kubeadm-certs");

fn judge(reviews: &BootstrapperReviews, rbac: &Rbac, pods: &Pods) -> Verdict {
    let mut verdict = Verdict::new();
    for (ask, consequence) in &REQUIRED {
        if let Some(review) = asked(&mut verdict, &reviews.0, ask) {
            may(&mut verdict, review, consequence);
        }
    }
    if let Some(approval) = asked(&mut verdict, &reviews.0, &BootstrapperAsks::NewNode) {
        may_or(&mut verdict, approval, |finding| finding.so(BY_HAND).severity(Severity::Minor));
    }
    if pods.labelled("kube-system", "k8s-app", "kube-proxy").next().is_some()
        && let Some(proxy) = asked(&mut verdict, &reviews.0, &BootstrapperAsks::KubeProxyConfig)
    {
        may(&mut verdict, proxy, "kubeadm join cannot read kube-proxy's configuration");
    }
    let mut forbidden: Vec<_> = FORBIDDEN.iter().filter_map(|ask| asked(&mut verdict, &reviews.0, ask)).collect();
    if let Some(certs) = asked(&mut verdict, &reviews.0, &BootstrapperAsks::KubeadmCerts) {
        if rbac.roles.contains_key(&CERTS_ROLE) {
            // kubeadm leaves the Role behind; the Secret goes with its token after two hours.
            verdict.note(format!("{CERTS_ROLE} of an upload of certificates lets a token {}", certs.question));
        } else {
            forbidden.push(certs);
        }
    }
    may_not(&mut verdict, forbidden, "whoever finds a bootstrap token has this right");
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
                || REQUIRED.iter().any(|(required, _)| *required == ask)
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
        assert_eq!(findings[0].expected, "may not get secrets kube-system/seaworthy-none, nor list secrets");
        assert!(findings[0].seen.contains("provisioning-script"));
    }

    #[test]
    fn a_token_that_cannot_ask_for_a_certificate_is_found() {
        let findings = judge(&reviews(&[BootstrapperAsks::CreateRequest]), &Rbac::default(), &proxy())
            .findings(Severity::Critical);
        assert_eq!(findings[0].expected, "may create certificatesigningrequests.certificates.k8s.io");
        assert_eq!(findings[0].impact.as_deref(), Some("a joining kubelet cannot ask for its certificate"));
    }

    #[test]
    fn approval_by_hand_is_a_matter_of_taste() {
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
