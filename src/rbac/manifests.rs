//! Permissions as YAML manifests, written as the documentation of Kubernetes writes them.

use std::fmt::Write;

use k8s_openapi::api::rbac::v1::PolicyRule;

use super::{Permissions, Place, Subject};

/// The name of all that is made.
const NAME: &str = "seaworthy";
const API_GROUP: &str = "rbac.authorization.k8s.io";

/// The roles that grant these permissions, and the bindings that give them to these subjects.
pub(crate) fn manifests(permissions: &Permissions, subjects: &[Subject]) -> String {
    if permissions.is_empty() {
        return "# These checks need no permission beyond those that every authenticated user has.\n".into();
    }
    let roles = permissions.rules().map(|(place, rules)| role(place, &rules));
    let bindings = permissions.rules().filter(|_| !subjects.is_empty()).map(|(place, _)| binding(place, subjects));
    roles.chain(bindings).collect::<Vec<_>>().join("---\n")
}

fn role(place: &Place, rules: &[PolicyRule]) -> String {
    let mut text = head(kind(place), place);
    text.push_str("rules:\n");
    for rule in rules {
        let mut start = "-";
        for (key, words) in [
            ("apiGroups", &rule.api_groups),
            ("resources", &rule.resources),
            ("resourceNames", &rule.resource_names),
            ("nonResourceURLs", &rule.non_resource_urls),
            ("verbs", &Some(rule.verbs.clone())),
        ] {
            if let Some(words) = words {
                let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
                _ = writeln!(text, "{start} {key}: [{}]", words.join(", "));
                start = " ";
            }
        }
    }
    text
}

fn binding(place: &Place, subjects: &[Subject]) -> String {
    let mut text = head(&format!("{}Binding", kind(place)), place);
    _ = writeln!(text, "roleRef:\n  apiGroup: {API_GROUP}\n  kind: {}\n  name: {NAME}\nsubjects:", kind(place));
    for subject in subjects {
        _ = match subject {
            Subject::ServiceAccount { namespace, name } => {
                writeln!(text, "- kind: ServiceAccount\n  name: {}\n  namespace: {}", quoted(name), quoted(namespace))
            }
            Subject::User(name) => writeln!(text, "- apiGroup: {API_GROUP}\n  kind: User\n  name: {}", quoted(name)),
            Subject::Group(name) => writeln!(text, "- apiGroup: {API_GROUP}\n  kind: Group\n  name: {}", quoted(name)),
        };
    }
    text
}

fn head(kind: &str, place: &Place) -> String {
    let mut text = format!("apiVersion: {API_GROUP}/v1\nkind: {kind}\nmetadata:\n  name: {NAME}\n");
    if let Place::Namespace(namespace) = place {
        _ = writeln!(text, "  namespace: {}", quoted(namespace));
    }
    text
}

const fn kind(place: &Place) -> &'static str {
    match place {
        Place::Cluster => "ClusterRole",
        Place::Namespace(_) => "Role",
    }
}

/// A text in double quotes: YAML reads them as JSON does.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};

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
