//! The rights of CoreDNS.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::pods::{Pod, Pods};
use crate::fact::access_review::{self, Question, Review, Who, review_all};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// The resources from which CoreDNS builds its answers, with their API groups.
const RESOURCES: [(&str, &str); 4] =
    [("services", ""), ("endpointslices", "discovery.k8s.io"), ("namespaces", ""), ("pods", "")];

/// Whether the service accounts of the CoreDNS pods may list and watch the resources that it needs, by account and
/// question.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CorednsReviews(pub BTreeMap<String, Review>);

impl Observe for CorednsReviews {
    type Needs<'a> = (&'a Pods,);
    const NAME: &'static str = "coredns-reviews";
    const ACCESS: Access = Access::Review;
    const RULES: &'static [Rule] = &[access_review::RULE];

    async fn observe(Live { cluster, .. }: &Live, (pods,): Self::Needs<'_>) -> Seen<Self> {
        review_all(cluster, questions(pods)?).await.map(Self)
    }
}

fn questions(pods: &Pods) -> Seen<BTreeMap<String, Question>> {
    let coredns = pods.labelled("kube-system", "k8s-app", "kube-dns").filter(|pod| runs_coredns(pod));
    let questions: BTreeMap<_, _> = coredns
        .flat_map(|pod| {
            let account = Who::service_account(&pod.namespace, &pod.service_account);
            RESOURCES.into_iter().flat_map(move |(resource, group)| {
                ["list", "watch"].map(|verb| account.may(verb, resource).of_group(group))
            })
        })
        .map(|question| (format!("{}: {question}", question.user), question))
        .collect();
    if questions.is_empty() {
        return Err(Unobserved::absent("no pod of kube-system with the label k8s-app=kube-dns runs CoreDNS"));
    }
    Ok(questions)
}

fn runs_coredns(pod: &Pod) -> bool {
    pod.containers.iter().any(|container| container.name == "coredns" || container.image.contains("coredns"))
}

crate::observed!(CorednsReviews);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::pods::Container;
    use crate::object_ref::NamespacedName;

    fn pod(name: &str, image: &str) -> (NamespacedName, Pod) {
        let pod = Pod {
            namespace: "kube-system".into(),
            name: name.into(),
            labels: [("k8s-app".to_owned(), "kube-dns".to_owned())].into(),
            service_account: "coredns".into(),
            containers: vec![Container { name: "dns".into(), image: image.into(), ..Container::default() }],
            ..Pod::default()
        };
        (NamespacedName::new("kube-system", name.to_owned()), pod)
    }

    #[test]
    fn replicas_of_one_service_account_are_one_question() {
        let pods = Pods([pod("a", "example.org/coredns:v1"), pod("b", "example.org/coredns:v1")].into());
        let questions = questions(&pods).unwrap();
        assert_eq!(questions.len(), 8);
        assert!(
            questions.contains_key("system:serviceaccount:kube-system:coredns: list endpointslices.discovery.k8s.io")
        );
    }

    #[test]
    fn another_server_is_not_asked_about() {
        assert!(questions(&Pods([pod("a", "example.org/kube-dns:v1")].into())).unwrap_err().is_skip());
    }
}
