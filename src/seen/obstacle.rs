//! What keeps a run from asking its cluster.

use serde::{Deserialize, Serialize};

/// What keeps a run from asking its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Obstacle {
    /// There is no cluster to ask: the kubeconfig cannot be used, no API server answers, or the run was stopped.
    Cluster,
    /// The certificate of the server is not accepted: only what needs no trust is asked.
    Certificate,
    /// The server rejects the credential: only what needs none is asked.
    Credential,
}
