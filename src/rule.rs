//! Permissions of RBAC.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a [`Rule`] must be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// By a ClusterRole.
    Cluster,
    /// By a Role in this namespace.
    Namespace(&'static str),
    /// By a Role in the namespace of the probes, or by a ClusterRole when each run makes its own namespace.
    Probes,
    /// By a ClusterRole, and only when each run makes its own namespace.
    OwnNamespace,
    /// By a ClusterRole, and only when this is the kind of impersonation that is granted.
    Impersonation(Impersonation),
}

/// A kind of impersonation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Impersonation {
    /// By the verb `impersonate` on users and groups, which lets its holder do all that they may.
    Legacy,
    /// By the verbs `impersonate:arbitrary-node` and `impersonate-on:arbitrary-node:VERB`, which open nothing else
    /// (KEP-5284, on by default since Kubernetes 1.36).
    Constrained,
}

/// One permission, in the terms of `rbac.authorization.k8s.io/v1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// Where it must be granted.
    pub scope: Scope,
    /// The API group; empty for the core group.
    pub api_group: &'static str,
    /// The resource, with its subresource after a slash; empty for a non-resource URL.
    pub resource: &'static str,
    /// The only names needed; empty for all.
    pub names: &'static [&'static str],
    /// The non-resource URLs; empty for a resource.
    pub urls: &'static [&'static str],
    /// The verbs.
    pub verbs: &'static [&'static str],
}

impl Rule {
    /// A permission on a resource everywhere in the cluster.
    pub const fn cluster(api_group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Self {
        Self { scope: Scope::Cluster, api_group, resource, names: &[], urls: &[], verbs }
    }

    /// A permission on a resource of one namespace.
    pub const fn namespaced(
        namespace: &'static str,
        api_group: &'static str,
        resource: &'static str,
        verbs: &'static [&'static str],
    ) -> Self {
        Self { scope: Scope::Namespace(namespace), api_group, resource, names: &[], urls: &[], verbs }
    }

    /// A permission in the namespace where probes run.
    pub const fn probes(api_group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Self {
        Self { scope: Scope::Probes, api_group, resource, names: &[], urls: &[], verbs }
    }

    /// A permission that only a run which makes its own namespace needs.
    pub const fn own_namespace(
        api_group: &'static str,
        resource: &'static str,
        verbs: &'static [&'static str],
    ) -> Self {
        Self { scope: Scope::OwnNamespace, api_group, resource, names: &[], urls: &[], verbs }
    }

    /// A permission to send requests as another user, by this kind of impersonation.
    pub const fn impersonation(
        kind: Impersonation,
        api_group: &'static str,
        resource: &'static str,
        verbs: &'static [&'static str],
    ) -> Self {
        Self { scope: Scope::Impersonation(kind), api_group, resource, names: &[], urls: &[], verbs }
    }

    /// A permission to do this in the name of a node, by constrained impersonation. The verbs are written out:
    /// `impersonate-on:arbitrary-node:VERB`.
    pub const fn as_node(api_group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Self {
        Self::impersonation(Impersonation::Constrained, api_group, resource, verbs)
    }

    /// A permission to read non-resource URLs.
    pub const fn urls(urls: &'static [&'static str]) -> Self {
        Self { scope: Scope::Cluster, api_group: "", resource: "", names: &[], urls, verbs: &["get"] }
    }

    /// The same permission for a run only that makes its own namespace.
    pub const fn in_own_namespace(self) -> Self {
        Self { scope: Scope::OwnNamespace, ..self }
    }

    /// Two lists of permissions as one.
    pub const fn joined<const N: usize>(first: &[Self], second: &[Self]) -> [Self; N] {
        assert!(first.len() + second.len() == N, "N is the length of both");
        let mut all = [Self::urls(&[]); N];
        let mut i = 0;
        while i < N {
            all[i] = if i < first.len() { first[i] } else { second[i - first.len()] };
            i += 1;
        }
        all
    }

    /// The same permission on these names only.
    pub const fn named(self, names: &'static [&'static str]) -> Self {
        Self { names, ..self }
    }
}

impl fmt::Display for Rule {
    /// The permission as one would ask for it: `get configmaps kubeadm-config in kube-system`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.verbs.join(", "))?;
        if !self.urls.is_empty() {
            return write!(f, " {}", self.urls.join(", "));
        }
        write!(f, " {}", self.resource)?;
        if !self.api_group.is_empty() {
            write!(f, ".{}", self.api_group)?;
        }
        if !self.names.is_empty() {
            write!(f, " {}", self.names.join(", "))?;
        }
        match self.scope {
            Scope::Cluster | Scope::Impersonation(Impersonation::Legacy) => Ok(()),
            Scope::Namespace(namespace) => write!(f, " in {namespace}"),
            Scope::Probes => f.write_str(" in the namespace of the probes"),
            Scope::OwnNamespace => f.write_str(" (unless --namespace names an existing one)"),
            Scope::Impersonation(Impersonation::Constrained) => f.write_str(" (by constrained impersonation)"),
        }
    }
}
