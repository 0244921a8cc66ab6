//! High availability, and etcd.

pub mod etcd_clients;
pub mod etcd_members;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite =
    Suite { name: "ha", about: "high availability, and etcd", checks: &[&etcd_members::CHECK, &etcd_clients::CHECK] };
