//! The cluster's DNS.

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite =
    Suite { name: "dns", about: "the cluster's DNS: its Service, its servers, its answers", checks: &[] };
