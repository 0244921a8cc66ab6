//! Permissions as YAML manifests.

use k8s_openapi::api::rbac::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use super::{Permissions, Place, Subject};

/// The name of all that is made.
const NAME: &str = "seaworthy";
const API_GROUP: &str = "rbac.authorization.k8s.io";

/// The roles that grant these permissions, and the bindings that give them to these subjects.
pub fn manifests(permissions: &Permissions, subjects: &[Subject]) -> Result<String, serde_saphyr::ser::Error> {
    if permissions.is_empty() {
        return Ok("# These checks need no permission beyond those that every authenticated user has.\n".into());
    }
    let mut documents = Vec::new();
    for (place, rules) in permissions.rules() {
        match place {
            Place::Cluster => {
                let metadata = metadata(None);
                documents.push(yaml(&v1::ClusterRole { metadata, rules: Some(rules), aggregation_rule: None })?);
            }
            Place::Namespace(namespace) => {
                documents.push(yaml(&v1::Role { metadata: metadata(Some(namespace)), rules: Some(rules) })?);
            }
        }
    }
    for (place, _) in permissions.rules().filter(|_| !subjects.is_empty()) {
        let bound = Some(subjects.iter().map(bound).collect());
        documents.push(match place {
            Place::Cluster => {
                let role_ref = role("ClusterRole");
                yaml(&v1::ClusterRoleBinding { metadata: metadata(None), role_ref, subjects: bound })?
            }
            Place::Namespace(namespace) => {
                let role_ref = role("Role");
                yaml(&v1::RoleBinding { metadata: metadata(Some(namespace)), role_ref, subjects: bound })?
            }
        });
    }
    Ok(documents.join("---\n"))
}

fn yaml(object: &impl Serialize) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(object)
}

fn metadata(namespace: Option<&str>) -> ObjectMeta {
    ObjectMeta { name: Some(NAME.into()), namespace: namespace.map(Into::into), ..ObjectMeta::default() }
}

fn role(kind: &str) -> v1::RoleRef {
    v1::RoleRef { api_group: Some(API_GROUP.into()), kind: kind.into(), name: NAME.into() }
}

fn bound(subject: &Subject) -> v1::Subject {
    let (kind, name, namespace) = match subject {
        Subject::ServiceAccount { namespace, name } => ("ServiceAccount", name, Some(namespace.clone())),
        Subject::User(name) => ("User", name, None),
        Subject::Group(name) => ("Group", name, None),
    };
    let api_group = namespace.is_none().then(|| API_GROUP.to_owned());
    v1::Subject { api_group, kind: kind.into(), name: name.clone(), namespace }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Rule;

    #[test]
    fn the_manifests_are_what_an_administrator_would_write() {
        let rules = [
            Rule::cluster("", "nodes", &["list"]),
            Rule::namespaced("kube-system", "", "configmaps", &["get"]).named(&["kubeadm-config"]),
            Rule::urls(&["/version"]),
        ];
        let permissions = Permissions::new(&rules.into(), None);
        let subjects = ["ServiceAccount:ci/seaworthy", "User:jane"].map(|subject| subject.parse().unwrap());
        insta::assert_snapshot!(manifests(&permissions, &subjects).unwrap());
    }

    #[test]
    fn nothing_to_grant_is_said() {
        let text = manifests(&Permissions::new(&[].into(), None), &[Subject::User("jane".into())]).unwrap();
        assert!(text.starts_with("# These checks need no permission"));
    }
}
