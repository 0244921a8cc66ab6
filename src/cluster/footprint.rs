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

impl Outlying {
    /// The namespace that it is in.
    pub fn namespace(&self) -> Option<String> {
        match self {
            Self::BootstrapToken(_) => Some("kube-system".into()),
            Self::SigningRequest(_) => None,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signing_request_is_in_no_namespace() {
        assert_eq!(Outlying::SigningRequest("x".into()).namespace(), None);
        assert_eq!(Outlying::BootstrapToken("x".into()).namespace().as_deref(), Some("kube-system"));
    }
}
