//! Permissions as the objects that grant them.

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject as BoundSubject,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use super::{Permissions, Place, Subject};
use crate::yaml;

/// The name of what `seaworthy rbac` prints.
const NAME: &str = "seaworthy";
const API_GROUP: &str = "rbac.authorization.k8s.io";

/// An object of RBAC.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Manifest {
    /// Grants in the whole cluster.
    ClusterRole(ClusterRole),
    /// Grants in a namespace.
    Role(Role),
    /// Gives a `ClusterRole` to subjects.
    ClusterRoleBinding(ClusterRoleBinding),
    /// Gives a `Role` to subjects.
    RoleBinding(RoleBinding),
}

/// The roles that grant these permissions, and the bindings that give them to these subjects, as YAML.
pub(crate) fn manifests(permissions: &Permissions, subjects: &[Subject]) -> String {
    if permissions.is_empty() {
        return "# These checks need no permission beyond those that every authenticated user has.\n".into();
    }
    yaml::documents(&objects(permissions, subjects, NAME, &BTreeMap::new()))
}

/// The same as objects of this name and with these labels.
pub(crate) fn objects(
    permissions: &Permissions,
    subjects: &[Subject],
    name: &str,
    labels: &BTreeMap<String, String>,
) -> Vec<Manifest> {
    let metadata = |place: &Place| ObjectMeta {
        name: Some(name.to_owned()),
        namespace: namespace(place),
        labels: Some(labels.clone()).filter(|labels| !labels.is_empty()),
        ..ObjectMeta::default()
    };
    let roles = permissions.rules().map(|(place, rules)| role(place, metadata(place), rules));
    let bindings = permissions
        .rules()
        .filter(|_| !subjects.is_empty())
        .map(|(place, _)| binding(place, metadata(place), name, subjects));
    roles.chain(bindings).collect()
}

fn role(place: &Place, metadata: ObjectMeta, rules: Vec<PolicyRule>) -> Manifest {
    let rules = Some(rules);
    match place {
        Place::Cluster => Manifest::ClusterRole(ClusterRole { metadata, rules, ..ClusterRole::default() }),
        Place::Namespace(_) => Manifest::Role(Role { metadata, rules }),
    }
}

fn binding(place: &Place, metadata: ObjectMeta, name: &str, subjects: &[Subject]) -> Manifest {
    let role_ref = |kind: &str| RoleRef { api_group: Some(API_GROUP.into()), kind: kind.into(), name: name.into() };
    let subjects = Some(subjects.iter().map(bound).collect());
    match place {
        Place::Cluster => {
            let role_ref = role_ref("ClusterRole");
            Manifest::ClusterRoleBinding(ClusterRoleBinding { metadata, role_ref, subjects })
        }
        Place::Namespace(_) => Manifest::RoleBinding(RoleBinding { metadata, role_ref: role_ref("Role"), subjects }),
    }
}

fn bound(subject: &Subject) -> BoundSubject {
    let of_group = |kind: &str, name: &str| BoundSubject {
        api_group: Some(API_GROUP.into()),
        kind: kind.into(),
        name: name.into(),
        namespace: None,
    };
    match subject {
        Subject::ServiceAccount { namespace, name } => BoundSubject {
            api_group: None,
            kind: "ServiceAccount".into(),
            name: name.clone(),
            namespace: Some(namespace.clone()),
        },
        Subject::User(name) => of_group("User", name),
        Subject::Group(name) => of_group("Group", name),
    }
}

fn namespace(place: &Place) -> Option<String> {
    match place {
        Place::Cluster => None,
        Place::Namespace(namespace) => Some(namespace.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{Impersonation, Rule};

    fn permissions() -> Permissions {
        let rules = [
            Rule::cluster("", "nodes", &["list"]),
            Rule::namespaced("kube-system", "", "configmaps", &["get"]).named(&["kubeadm-config"]),
            Rule::urls(&["/version"]),
        ];
        Permissions::new(&rules.into(), None, Impersonation::Legacy)
    }

    fn subjects() -> [Subject; 2] {
        ["ServiceAccount:ci/seaworthy", "User:oidc:\"jane\""].map(|subject| subject.parse().unwrap())
    }

    #[test]
    fn the_manifests_are_what_an_administrator_would_write() {
        insta::assert_snapshot!(manifests(&permissions(), &subjects()));
    }

    #[test]
    fn the_manifests_are_the_objects_that_they_look_like() {
        let text = manifests(&permissions(), &subjects());
        let documents: Vec<_> = text.split("---\n").collect();
        let [cluster_role, role, cluster_binding, binding] = documents[..] else { panic!("{text}") };
        let cluster_role: ClusterRole = serde_saphyr::from_str(cluster_role).unwrap();
        assert_eq!(cluster_role.rules.unwrap()[0].api_groups, Some(vec![String::new()]));
        let role: Role = serde_saphyr::from_str(role).unwrap();
        assert_eq!(role.metadata.namespace.as_deref(), Some("kube-system"));
        let cluster_binding: ClusterRoleBinding = serde_saphyr::from_str(cluster_binding).unwrap();
        assert_eq!(cluster_binding.subjects.unwrap()[1].name, "oidc:\"jane\"");
        let binding: RoleBinding = serde_saphyr::from_str(binding).unwrap();
        assert_eq!(
            (binding.role_ref.kind.as_str(), binding.metadata.namespace.as_deref()),
            ("Role", Some("kube-system"))
        );
    }

    #[test]
    fn nothing_to_grant_is_said() {
        let text =
            manifests(&Permissions::new(&[].into(), None, Impersonation::Legacy), &[Subject::User("jane".into())]);
        assert!(text.starts_with("# These checks need no permission"));
    }
}
