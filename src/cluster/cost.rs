//! What a run costs a cluster.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a run cost the cluster, until its verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// How many requests were sent to the API server.
    pub requests: usize,
    /// How many of all requests were sent again after a transient fault, by its cause.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub retries: BTreeMap<String, usize>,
    /// How many exchanges with kubelets there were.
    #[serde(default, skip_serializing_if = "is_none")]
    pub kubelet_requests: usize,
    /// How many bytes the bodies of all answers had, unpacked.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub received_bytes: u64,
    /// How many pods were created.
    #[serde(default, skip_serializing_if = "is_none")]
    pub pods: usize,
}

impl Cost {
    /// Whether nothing was asked.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none(number: &usize) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
