//! The cloud identities that pods can take.

pub mod instance_metadata;

use crate::check::Suite;

/// The suite.
pub static SUITE: Suite = Suite {
    name: "cloud-identity",
    about: "cloud identities: what pods can act as at the provider",
    checks: &[&instance_metadata::CHECK],
};
