//! A cluster in a few words.

use serde::{Deserialize, Serialize};

/// A cluster in a few words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSummary {
    /// The name of the kubeconfig's context.
    pub name: String,
    /// The API server's URL.
    pub server: String,
    /// The API server's version.
    pub version: String,
}
