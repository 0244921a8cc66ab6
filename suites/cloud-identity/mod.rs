//! What a cloud lets pods act as.

pub mod instance_metadata;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "cloud-identity",
    about: "the cloud's identities: what pods may act as at the provider",
    checks: &[&instance_metadata::CHECK],
};
