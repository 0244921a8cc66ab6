//! # The Node authorizer lets a node read what its pods need, and nothing else
//!
//! ## Why
//! The Node authorizer limits each kubelet to the objects of its own pods. Without it, either no pod starts, or the
//! nodes got their rights by RBAC instead and one stolen kubelet credential reads every Secret.
//!
//! ## Fix
//! Start the API server with `--authorization-mode=Node,RBAC` (in `/etc/kubernetes/manifests/kube-apiserver.yaml` on
//! every control-plane node) and delete bindings that name nodes:
//! `kubectl get clusterrolebindings,rolebindings -A -o wide | grep system:node`.
//! If only the ConfigMap is denied, compare the node's name with the common name of the kubelet's client certificate.
//!
//! ## Source
//! kubernetes/kubernetes `plugin/pkg/auth/authorizer/node/node_authorizer.go` and `graph.go`;
//! <https://kubernetes.io/docs/reference/access-authn-authz/node/>

use super::helpers::node_rights::NODE_AND_RBAC;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::node_reviews::{NodeAsks, NodeReviews};
use crate::suites::rights::{Forbidden, asked, may};

crate::check!(
    "AA-02",
    "node-authorizer",
    Critical,
    judge,
    builds_on: ["AA-03", "AA-04", "AA-18"],
    blocked_by: ["AA-19", "AA-21"]
);

/// How the Node authorizer denies; RBAC never gives this reason.
const ITS_WORDS: &str = "no relationship found between node";
const FORBIDDEN: Forbidden<'_> = Forbidden {
    expected: "a node is denied a Secret that no pod on it refers to",
    impact: "one stolen kubelet credential reads Secrets of the whole cluster",
    fix: NODE_AND_RBAC,
};

fn judge(reviews: &NodeReviews) -> Verdict {
    let mut verdict = Verdict::new();
    if let Some(own) = asked(&mut verdict, &reviews.0, &NodeAsks::OwnConfigMap) {
        let fix = format!(
            "on each control-plane node, set --authorization-mode=Node,RBAC in \
             /etc/kubernetes/manifests/kube-apiserver.yaml; if it is set, compare {} with the certificate's subject on \
             the node: openssl x509 -noout -subject -in /var/lib/kubelet/pki/kubelet-client-current.pem",
            own.question.user
        );
        may(&mut verdict, own, Severity::Critical, "the kubelet cannot start the pod that needs this ConfigMap", &fix);
    }
    if let Some(unrelated) = asked(&mut verdict, &reviews.0, &NodeAsks::UnrelatedSecret) {
        FORBIDDEN.judge(&mut verdict, None, [unrelated]);
        if let Ok(answer) = unrelated.decided()
            && !answer.allowed
        {
            verdict.expect(Subject::user(&unrelated.question.user), answer.reason.contains(ITS_WORDS), || {
                Finding::new(format!("the Node authorizer denies the request: {ITS_WORDS} …"), answer.words())
                    .impact("the Node authorizer is off, so nodes have whatever rights RBAC grants them")
                    .fix(
                        "on each control-plane node, set --authorization-mode=Node,RBAC in \
                         /etc/kubernetes/manifests/kube-apiserver.yaml",
                    )
                    .severity(Severity::Major)
            });
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::access_review::{Review, Who, testing};
    use crate::seen::Unobserved;

    fn judged(config_map: fn(Review) -> Review, secret: fn(Review) -> Review) -> Verdict {
        let kubelet = Who::kubelet("n2");
        let own = kubelet.may("get", "configmaps").in_namespace("kube-system").named("kube-root-ca.crt");
        let unrelated = kubelet.may("get", "secrets").in_namespace("kube-system").named("seaworthy-none");
        let own = config_map(testing::allowed(own, ""));
        let words = "node: no relationship found between node 'n2' and this object";
        let unrelated = secret(testing::denied(unrelated, words));
        judge(&NodeReviews([(NodeAsks::OwnConfigMap, own), (NodeAsks::UnrelatedSecret, unrelated)].into()))
    }

    #[test]
    fn own_is_allowed_and_unrelated_is_denied_by_the_node_authorizer() {
        let verdict = judged(|own| own, |unrelated| unrelated);
        assert!(verdict.findings(Severity::Critical).is_empty() && verdict.saw_everything());
    }

    #[test]
    fn without_the_node_authorizer_a_node_reads_nothing() {
        let deny = |review: Review| testing::denied(review.question, "");
        let findings = judged(deny, deny).findings(Severity::Critical);
        assert_eq!(findings[0].expected, "may get configmaps kube-system/kube-root-ca.crt");
        assert!(findings[1].expected.contains("no relationship found"), "{findings:?}");
    }

    #[test]
    fn a_node_with_rights_by_rbac_reads_everything() {
        let allow =
            |review: Review| testing::allowed(review.question, "RBAC: allowed by ClusterRoleBinding \"system:node\"");
        let findings = judged(allow, allow).findings(Severity::Critical);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].evidence, ["system:node:n2 may get secrets kube-system/seaworthy-none"]);
        assert!(findings[0].seen.contains("system:node"));
    }

    #[test]
    fn a_question_without_an_answer_is_inconclusive() {
        let unanswered = |review: Review| Review { answer: Err(Unobserved::Interrupted), ..review };
        assert_eq!(judged(unanswered, |unrelated| unrelated).gaps().len(), 1);
    }
}
