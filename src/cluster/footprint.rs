//! What a run leaves in the cluster until it is cleaned up.

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
