//! What observing a fact does to the cluster.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The worst effect that observing a fact has, mildest first. A profile allows a set of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Reads through the Kubernetes API.
    Read,
    /// Asks the authorizers with a SubjectAccessReview, which is not persisted.
    Review,
    /// Sends requests without credentials.
    Anonymous,
    /// Opens TCP and TLS connections without sending a request.
    Handshake,
    /// Sends writes with `dryRun=All`.
    DryRun,
    /// Sends requests as another user, by impersonation.
    Impersonate,
    /// Creates namespaced objects, among them probe pods, and removes them.
    Create,
    /// Runs pods with hostPath or hostNetwork.
    Privileged,
    /// Gives a service account of its own a right in the whole cluster, for as long as it runs.
    Grant,
    /// Makes bootstrap tokens and certificate signing requests, among them a node's.
    Join,
    /// Takes parts of the cluster down for a while.
    Disrupt,
}

impl Access {
    /// Every access, mildest first.
    pub const ALL: [Self; 11] = [
        Self::Read,
        Self::Review,
        Self::Anonymous,
        Self::Handshake,
        Self::DryRun,
        Self::Impersonate,
        Self::Create,
        Self::Privileged,
        Self::Grant,
        Self::Join,
        Self::Disrupt,
    ];

    /// The name that profiles and messages use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Review => "review",
            Self::Anonymous => "anonymous",
            Self::Handshake => "handshake",
            Self::DryRun => "dry-run",
            Self::Impersonate => "impersonate",
            Self::Create => "create",
            Self::Privileged => "privileged",
            Self::Grant => "grant",
            Self::Join => "join",
            Self::Disrupt => "disrupt",
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
