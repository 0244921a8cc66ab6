//! # CoreDNS has the permissions that it needs
//!
//! ## Why
//! A CoreDNS that was upgraded past its ClusterRole stays Ready while it waits for EndpointSlices that it may not list:
//! its pods look healthy, but no name resolves.
//!
//! ## Fix
//! `kubectl edit clusterrole system:coredns` and permit to list and watch `endpointslices` of `discovery.k8s.io`, and
//! `services`, `namespaces` and `pods` of the core group. Or `kubeadm init phase addon coredns --config kubeadm.yaml`
//! (with the cluster's own settings, as AD-01 shows) recreates it, together with CoreDNS itself.
//!
//! ## Source
//! kubernetes/kubernetes `cmd/kubeadm/app/phases/addons/dns/manifests.go` (`CoreDNSClusterRole`). The authorizers are
//! asked about the service accounts of the pods that run CoreDNS. CoreDNS reads pods only if the Corefile contains
//! `pods verified`, which kubeadm's does not.

use crate::check::{Severity, Verdict};
use crate::fact::access_review::Question;
use crate::fact::facts::coredns_reviews::CorednsReviews;
use crate::fact::facts::rbac::{Grant, Rbac};
use crate::holder::Holder;
use crate::object_ref::ObjectRef;
use crate::suites::rights::may;

crate::check!("DN-08", "coredns-rights", Major, judge, blocked_by: ["AA-03", "AA-19", "AA-21"]);

fn judge(reviews: &CorednsReviews, rbac: Option<&Rbac>) -> Verdict {
    let mut verdict = Verdict::new();
    for review in reviews.0.values() {
        let Question { user, group, resource, .. } = &review.question;
        let (severity, impact) = match resource.as_str() {
            "pods" => (Severity::Minor, "if the Corefile contains `pods verified`, names of pods do not resolve"),
            _ => (Severity::Major, "CoreDNS waits for these objects: its pods are Ready, but no cluster name resolves"),
        };
        let role = rbac.and_then(|rbac| role(rbac, user));
        // kubeadm's name, where none is bound or the bindings could not be read.
        let name = role.map_or("system:coredns", |role| role.name.as_ref());
        let add = format!(
            "add the rule {{apiGroups: ['{group}'], resources: [{resource}], verbs: [list, watch]}}: kubectl edit \
             clusterrole {name}"
        );
        let manager = role.and_then(|role| rbac?.manager(role));
        let fix = manager.map_or(add.clone(), |manager| manager.add_to(&add));
        may(&mut verdict, review, severity, impact, &fix);
    }
    verdict
}

/// The ClusterRole that is bound to a user in the whole cluster, if it exists: the one whose rules grow with CoreDNS.
fn role<'a>(rbac: &'a Rbac, user: &str) -> Option<&'a ObjectRef> {
    let account = Holder::User(user.to_owned().into()).canonical();
    let is_bound = |grant: &Grant<'_>| grant.namespace().is_none() && grant.rules.is_some();
    let mut bound = rbac.grants().filter(is_bound);
    let grant = bound.find(|grant| grant.binding.holders.iter().any(|holder| holder.canonical() == account))?;
    Some(&grant.binding.role)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::access_review::{Review, Who, testing};
    use crate::seen::Unobserved;

    fn judged(answer: impl Fn(Question) -> Review) -> Verdict {
        let account = Who::service_account("kube-system", "coredns");
        let questions =
            ["services", "endpointslices", "namespaces", "pods"].map(|resource| account.may("list", resource));
        judge(&CorednsReviews(questions.map(|question| (question.to_string(), answer(question))).into()), None)
    }

    #[test]
    fn the_rights_of_kubeadm_are_enough() {
        let verdict = judged(|question| testing::allowed(question, "RBAC: system:coredns"));
        assert!(verdict.findings(Severity::Major).is_empty());
        assert_eq!(verdict.observations(), 4);
    }

    #[test]
    fn an_old_role_without_endpointslices_is_found() {
        let findings = judged(|question| {
            if question.resource == "endpointslices" {
                testing::denied(question, "")
            } else {
                testing::allowed(question, "")
            }
        })
        .findings(Severity::Major);
        assert_eq!((findings.len(), findings[0].expected.as_str()), (1, "may list endpointslices"));
        assert_eq!(findings[0].subjects[0].name, "system:serviceaccount:kube-system:coredns");
    }

    #[test]
    fn without_an_answer_it_is_not_checked() {
        let verdict = judged(|question| Review { question, answer: Err(Unobserved::Interrupted) });
        assert_eq!(verdict.gaps().len(), 1);
    }
}
