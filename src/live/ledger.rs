//! What a run leaves in the cluster until it is cleaned up.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

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

/// What a run has created, for the clean-up at its end.
#[derive(Default)]
pub struct Ledger {
    footprints: Mutex<Vec<Footprint>>,
    outlying: Mutex<BTreeSet<Outlying>>,
    pods: AtomicUsize,
}

impl Ledger {
    /// Adds a place where the run creates objects.
    pub fn add(&self, footprint: Footprint) {
        self.footprints.lock().unwrap_or_else(PoisonError::into_inner).push(footprint);
    }

    /// Strikes out a place, because the cluster refused to create anything there.
    pub fn strike_place(&self, footprint: &Footprint) {
        self.footprints.lock().unwrap_or_else(PoisonError::into_inner).retain(|known| known != footprint);
    }

    /// Where the run has created objects.
    pub fn footprints(&self) -> Vec<Footprint> {
        self.footprints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a pod.
    pub fn add_pod(&self) {
        self.pods.fetch_add(1, Ordering::Relaxed);
    }

    /// How many pods the run has created.
    pub fn pods(&self) -> usize {
        self.pods.load(Ordering::Relaxed)
    }

    /// Adds an object that is in no namespace of the run.
    pub fn add_outlying(&self, object: Outlying) {
        self.outlying.lock().unwrap_or_else(PoisonError::into_inner).insert(object);
    }

    /// Strikes one out, because it is deleted or was never created.
    pub fn strike(&self, object: &Outlying) {
        self.outlying.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
    }

    /// The objects of the run that are left in no namespace of the run.
    pub fn outlying(&self) -> BTreeSet<Outlying> {
        self.outlying.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
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
