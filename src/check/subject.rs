//! What a finding is about.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::object_ref::ObjectRef;

/// What a finding is about: an object, a node, an address, an identity or the cluster as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// The Kubernetes kind, which begins with a capital letter; or, of what is not an object, the words for it, such as
    /// `address`, `user`, `zone`, `DNS server`, `URL path` or `cluster`.
    pub kind: String,
    /// The namespace, for a namespaced object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The name; empty for the cluster as a whole.
    pub name: String,
}

impl Subject {
    /// A namespaced object.
    pub fn object(kind: impl Into<String>, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: kind.into(), namespace: Some(namespace.into()), name: name.into() }
    }

    /// An object without a namespace.
    pub fn cluster_object(kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: kind.into(), namespace: None, name: name.into() }
    }

    /// A node.
    pub fn node(name: impl Into<String>) -> Self {
        Self::cluster_object("Node", name)
    }

    /// A network address.
    pub fn address(address: impl ToString) -> Self {
        Self::cluster_object("address", address.to_string())
    }

    /// A user, group or service account.
    pub fn user(name: impl Into<String>) -> Self {
        Self::cluster_object("user", name)
    }

    /// The cluster as a whole.
    pub fn cluster() -> Self {
        Self::cluster_object("cluster", "")
    }
}

/// Subjects in words, the kind once for those that share it: `Node n1, n2, ConfigMap kube-system/coredns`.
pub fn listed<'a>(subjects: impl IntoIterator<Item = &'a Subject>) -> String {
    let mut words = String::new();
    let mut before: Option<&Subject> = None;
    for subject in subjects {
        if before.is_some() {
            words.push_str(", ");
        }
        match before {
            Some(before) if before.kind == subject.kind && before.namespace == subject.namespace => {
                words.push_str(&subject.name);
            }
            _ => words.push_str(&subject.to_string()),
        }
        before = Some(subject);
    }
    words
}

impl From<&ObjectRef> for Subject {
    fn from(object: &ObjectRef) -> Self {
        let ObjectRef { kind, namespace, name } = object.clone();
        Self { kind: kind.into(), namespace: namespace.map(Into::into), name: name.into() }
    }
}

impl From<ObjectRef> for Subject {
    fn from(object: ObjectRef) -> Self {
        Self::from(&object)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.namespace, self.kind.as_str(), self.name.as_str()) {
            (Some(namespace), kind, name) => write!(f, "{kind} {namespace}/{name}"),
            (None, "address", name) => f.write_str(name),
            (None, kind, "") => write!(f, "the {kind}"),
            (None, kind, name) => write!(f, "{kind} {name}"),
        }
    }
}
