//! The rights of pods without a service account of their own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::namespaces::Namespaces;
use crate::fact::access_review::{self, Review, Who, review_all};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen};

/// The number of namespaces for which the authorizers are asked; RBAC itself is read for all.
const SAMPLE: usize = 3;

/// The rights of the service accounts `default` in a few namespaces, by namespace and question.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DefaultServiceAccountReviews {
    /// The answers, by the question in words.
    pub reviews: BTreeMap<String, Review>,
    /// The namespaces.
    pub asked: Vec<String>,
    /// How many namespaces were left out.
    pub unasked: usize,
}

impl Observe for DefaultServiceAccountReviews {
    type Needs<'a> = (&'a Namespaces,);
    const NAME: &'static str = "default-service-account-reviews";
    const ACCESS: Access = Access::Review;
    const RULES: &'static [Rule] = &[access_review::RULE];

    async fn observe(Live { cluster, .. }: &Live, (namespaces,): Self::Needs<'_>) -> Seen<Self> {
        let asked = sample(namespaces);
        let questions = asked.iter().flat_map(|namespace| {
            let account = Who::service_account(namespace, "default");
            [account.may("list", "secrets"), account.may("create", "pods")]
                .map(|question| question.in_namespace(namespace))
                .map(|question| (question.to_string(), question))
        });
        let reviews = review_all(cluster, questions).await?;
        Ok(Self { reviews, unasked: namespaces.0.len().saturating_sub(asked.len()), asked })
    }
}

/// The namespaces where such rights do the most harm and where most such pods run, then the first others.
fn sample(namespaces: &Namespaces) -> Vec<String> {
    let known = ["kube-system", "default"].into_iter().filter(|name| namespaces.0.contains_key(*name));
    let others = namespaces.0.keys().map(String::as_str).filter(|name| !["kube-system", "default"].contains(name));
    known.chain(others).take(SAMPLE).map(str::to_owned).collect()
}

crate::observed!(DefaultServiceAccountReviews);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::facts::namespaces::Namespace;

    #[test]
    fn few_namespaces_are_asked_about_and_the_system_first() {
        let names = ["a", "b", "c", "d", "default", "kube-system"];
        let namespaces = Namespaces(names.map(|name| (name.to_owned(), Namespace::default())).into());
        assert_eq!(sample(&namespaces), ["kube-system", "default", "a"]);
    }
}
