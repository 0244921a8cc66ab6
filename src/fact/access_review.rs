//! Questions to the authorizers: one SubjectAccessReview each, which is not persisted.

use std::collections::BTreeMap;
use std::fmt;

use futures_util::future::join_all;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Rule;
use crate::cluster::{Call, Cluster};
use crate::seen::{Seen, Unobserved};

/// The RBAC that asking needs.
pub(crate) const RULE: Rule = Rule::cluster("authorization.k8s.io", "subjectaccessreviews", &["create"]);

/// The user in a question to the authorizers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    user: String,
    groups: Vec<String>,
}

impl Who {
    /// An authenticated user, with these groups in addition to `system:authenticated`.
    pub(crate) fn user(name: impl Into<String>, groups: &[&str]) -> Self {
        let groups = groups.iter().copied().chain(["system:authenticated"]).map(str::to_owned).collect();
        Self { user: name.into(), groups }
    }

    /// The kubelet of a node, as the Node authorizer identifies it.
    pub(crate) fn kubelet(node: &str) -> Self {
        Self::user(format!("system:node:{node}"), &["system:nodes"])
    }

    /// A service account.
    pub(crate) fn service_account(namespace: &str, name: &str) -> Self {
        let of_namespace = format!("system:serviceaccounts:{namespace}");
        Self::user(format!("system:serviceaccount:{namespace}:{name}"), &["system:serviceaccounts", &of_namespace])
    }

    /// Whether it may do this to a resource, with its subresource after a slash.
    pub(crate) fn may(&self, verb: &str, resource: &str) -> Question {
        let (resource, subresource) = match resource.split_once('/') {
            Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
            None => (resource, None),
        };
        Question {
            user: self.user.clone(),
            groups: self.groups.clone(),
            verb: verb.into(),
            group: String::new(),
            resource: resource.into(),
            subresource,
            namespace: None,
            name: None,
            field: None,
        }
    }
}

/// Whether a user may do something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Question {
    /// The user.
    pub user: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// The verb.
    pub verb: String,
    /// The API group; empty for the core group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The resource.
    pub resource: String,
    /// The subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subresource: Option<String>,
    /// The namespace; none for the whole cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The object's name; none for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A field and its value that all objects share; none for all objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<(String, String)>,
}

impl Question {
    /// The API group of the resource.
    pub fn of_group(self, group: &str) -> Self {
        Self { group: group.into(), ..self }
    }

    /// Only in this namespace.
    pub fn in_namespace(self, namespace: impl Into<String>) -> Self {
        Self { namespace: Some(namespace.into()), ..self }
    }

    /// Only on the object of this name.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Only on objects with this value in a field.
    pub fn where_field(self, field: impl Into<String>, value: impl Into<String>) -> Self {
        Self { field: Some((field.into(), value.into())), ..self }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if [&self.verb, &self.group, &self.resource].into_iter().all(|part| part == "*") {
            return f.write_str("do everything");
        }
        write!(f, "{} {}", self.verb, self.resource)?;
        if let Some(subresource) = &self.subresource {
            write!(f, "/{subresource}")?;
        }
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        match (&self.namespace, &self.name) {
            (Some(namespace), Some(name)) => write!(f, " {namespace}/{name}")?,
            (Some(namespace), None) => write!(f, " in namespace {namespace}")?,
            (None, Some(name)) => write!(f, " {name}")?,
            (None, None) => {}
        }
        match &self.field {
            Some((field, value)) => write!(f, " of {field}={value}"),
            None => Ok(()),
        }
    }
}

/// The answer of the authorizers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// Whether one of them allows it.
    pub allowed: bool,
    /// Whether one of them denies it explicitly, so that the next ones were not asked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub denied: bool,
    /// Their reason.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// An error during the evaluation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluation_error: Option<String>,
}

impl Answer {
    /// The answer in a few words.
    pub fn words(&self) -> String {
        let words = match (self.allowed, self.reason.as_str()) {
            (true, "") => "allowed, by an authorizer that gives no reason".to_owned(),
            (true, reason) => format!("allowed: {reason}"),
            (false, "") => "denied: no authorizer allows it".to_owned(),
            (false, reason) => format!("denied: {reason}"),
        };
        match &self.evaluation_error {
            Some(error) => format!("{words} (evaluation error: {error})"),
            None => words,
        }
    }
}

/// A question with its answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Review {
    /// The question.
    pub question: Question,
    /// The answer, or why there is none.
    pub answer: Seen<Answer>,
}

impl Review {
    /// The answer, if it is conclusive: a denial while an authorizer failed is not, because that one might have allowed
    /// it.
    pub fn decided(&self) -> Seen<&Answer> {
        let answer = self.answer.as_ref().map_err(Clone::clone)?;
        match &answer.evaluation_error {
            Some(error) if !answer.allowed => {
                Err(Unobserved::invalid(format!("whether {} may {}", self.question.user, self.question), error))
            }
            _ => Ok(answer),
        }
    }
}

/// Asks the authorizers one question.
pub(crate) async fn review(cluster: &Cluster, question: &Question) -> Seen<Answer> {
    let Question { user, groups, verb, group, resource, subresource, namespace, name, field } = question;
    let selector =
        field.as_ref().map(|(key, value)| json!({"requirements": [{"key": key, "operator": "In", "values": [value]}]}));
    let call = Call::create::<SubjectAccessReview>(json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user,
            "groups": groups,
            "resourceAttributes": {
                "verb": verb, "group": group, "resource": resource, "subresource": subresource,
                "namespace": namespace, "name": name, "fieldSelector": selector,
            },
        },
    }));
    let reviewed: SubjectAccessReview = cluster.fetch(&call).await?;
    let status =
        reviewed.status.ok_or_else(|| Unobserved::invalid(call.to_string(), format!("no answer to {question}")))?;
    Ok(Answer {
        allowed: status.allowed,
        denied: status.denied.unwrap_or_default(),
        reason: status.reason.unwrap_or_default(),
        evaluation_error: status.evaluation_error.filter(|error| !error.is_empty()),
    })
}

/// Asks many questions at once. If none was answered, returns why the first was not.
pub(crate) async fn review_all<K: Ord>(
    cluster: &Cluster,
    questions: impl IntoIterator<Item = (K, Question)>,
) -> Seen<BTreeMap<K, Review>> {
    let reviews: BTreeMap<K, Review> = join_all(questions.into_iter().map(async |(key, question)| {
        let answer = review(cluster, &question).await;
        (key, Review { question, answer })
    }))
    .await
    .into_iter()
    .collect();
    match reviews.values().next() {
        Some(Review { answer: Err(why), .. }) if reviews.values().all(|review| review.answer.is_err()) => {
            Err(why.clone())
        }
        _ => Ok(reviews),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::{Answer, Question, Review};

    /// A question that was answered with yes, for this reason.
    pub(crate) fn allowed(question: Question, reason: &str) -> Review {
        Review { question, answer: Ok(Answer { allowed: true, reason: reason.into(), ..Answer::default() }) }
    }

    /// A question that was answered with no, for this reason.
    pub(crate) fn denied(question: Question, reason: &str) -> Review {
        Review { question, answer: Ok(Answer { reason: reason.into(), ..Answer::default() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_reads_like_a_permission() {
        let kubelet = Who::kubelet("n1");
        let question = kubelet.may("create", "serviceaccounts/token").in_namespace("kube-system").named("coredns");
        assert_eq!(question.to_string(), "create serviceaccounts/token kube-system/coredns");
        assert_eq!(question.groups, ["system:nodes", "system:authenticated"]);
        let question = kubelet.may("list", "leases").of_group("coordination.k8s.io").in_namespace("kube-node-lease");
        assert_eq!(question.to_string(), "list leases.coordination.k8s.io in namespace kube-node-lease");
        assert_eq!(kubelet.may("get", "nodes").named("n2").to_string(), "get nodes n2");
        let question = kubelet.may("list", "pods").where_field("spec.nodeName", "n1");
        assert_eq!(question.to_string(), "list pods of spec.nodeName=n1");
        assert_eq!(kubelet.may("*", "*").of_group("*").to_string(), "do everything");
    }

    #[test]
    fn a_service_account_is_in_the_groups_that_its_token_has() {
        let question = Who::service_account("kube-system", "coredns").may("list", "services");
        assert_eq!(question.user, "system:serviceaccount:kube-system:coredns");
        assert_eq!(
            question.groups,
            ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"]
        );
    }

    #[test]
    fn a_denial_while_an_authorizer_failed_is_none() {
        let mut review = testing::denied(Who::kubelet("n1").may("list", "secrets"), "");
        assert!(review.decided().is_ok_and(|answer| !answer.allowed));
        let Ok(answer) = &mut review.answer else { panic!() };
        answer.evaluation_error = Some("webhook: timed out".into());
        assert!(review.decided().unwrap_err().to_string().ends_with("webhook: timed out"));
        let Ok(answer) = &mut review.answer else { panic!() };
        answer.allowed = true;
        assert!(review.decided().is_ok_and(|answer| answer.allowed), "another authorizer has allowed it");
    }

    #[test]
    fn an_answer_says_why() {
        let answer = Answer { allowed: true, reason: "RBAC: allowed by …".into(), ..Answer::default() };
        assert_eq!(answer.words(), "allowed: RBAC: allowed by …");
        let answer = Answer { evaluation_error: Some("no such role".into()), ..Answer::default() };
        assert_eq!(answer.words(), "denied: no authorizer allows it (evaluation error: no such role)");
    }
}
