//! What a run leaves in the cluster until it is cleaned up.

use std::fmt;

use crate::bootstrap_token::SECRET_NAME;

/// An object of a run that is in no namespace of the run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outlying {
    /// The bootstrap token with this id: a Secret of kube-system.
    BootstrapToken(String),
    /// The certificate signing request of this name.
    SigningRequest(String),
}

impl fmt::Display for Outlying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BootstrapToken(id) => write!(f, "Secret kube-system/{SECRET_NAME}{id}"),
            Self::SigningRequest(name) => write!(f, "CertificateSigningRequest {name}"),
        }
    }
}

/// Where a run has created objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// The namespace that holds them.
    pub namespace: String,
    /// Whether the run made the namespace, and so removes it.
    pub own_namespace: bool,
    /// The service account in it that all other objects belong to.
    pub owner: String,
}
