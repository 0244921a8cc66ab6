//! The run as a ClusterReport of `openreports.io/v1alpha1`, for `kubectl apply --server-side` and what reads such reports.

pub mod document;
pub mod name;
pub mod result;
