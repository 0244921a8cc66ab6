//! Rights that probes are given in the whole cluster until the end of the run.

use serde_json::{Value, json};

use super::object::Mark;

/// Something that may be got of the whole cluster, with what gives the right to it.
pub(super) struct Grant<'a> {
    /// The run, and what its probes are for.
    pub mark: Mark<'a>,
    /// The namespace of the probes, by name and uid. What grants the right is in no namespace, so that it belongs to this
    /// one and not to an object in it: where the program is killed and cannot delete it, it is deleted with the namespace.
    pub namespace: (&'a str, &'a str),
    /// What may be got, as `nodes/metrics`.
    pub resources: &'a [&'a str],
}

impl Grant<'_> {
    fn name(&self) -> String {
        self.mark.level.name(self.mark.run)
    }

    fn metadata(&self) -> Value {
        let (name, uid) = self.namespace;
        let mut metadata = self.mark.metadata(&self.name());
        metadata["ownerReferences"] = json!([{ "apiVersion": "v1", "kind": "Namespace", "name": name, "uid": uid }]);
        metadata
    }

    /// The ClusterRole.
    pub(super) fn role(&self) -> Value {
        json!({
            "metadata": self.metadata(),
            "rules": [{ "apiGroups": [""], "resources": self.resources, "verbs": ["get"] }],
        })
    }

    /// The ClusterRoleBinding of the probes' service account.
    pub(super) fn binding(&self) -> Value {
        json!({
            "metadata": self.metadata(),
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": self.name() },
            "subjects": [{ "kind": "ServiceAccount", "name": self.name(), "namespace": self.namespace.0 }],
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::live::RunId;
    use crate::probe::object::{Level, MANAGED_BY};

    #[test]
    fn a_right_is_given_to_one_account_and_goes_with_its_namespace() {
        let run: RunId = "x7f4k".parse().unwrap();
        let mark = Mark { run: &run, level: Level::Monitoring, expires: Timestamp::UNIX_EPOCH, owner: None };
        let grant = Grant { mark, namespace: ("seaworthy-x7f4k-monitoring", "u-1"), resources: &["nodes/metrics"] };
        for object in [grant.role(), grant.binding()] {
            assert_eq!(object["metadata"]["name"], "seaworthy-x7f4k-monitoring");
            assert_eq!(object["metadata"]["labels"][MANAGED_BY.0], MANAGED_BY.1);
            assert_eq!(object["metadata"]["ownerReferences"][0]["kind"], "Namespace");
            assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], "u-1");
        }
        assert_eq!(
            grant.role()["rules"],
            json!([{ "apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"] }])
        );
        let subjects = &grant.binding()["subjects"];
        let name = "seaworthy-x7f4k-monitoring";
        assert_eq!(subjects, &json!([{ "kind": "ServiceAccount", "name": name, "namespace": name }]));
    }
}
