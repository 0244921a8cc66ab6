//! The permissions that observing needs, as an administrator grants them.

pub mod manifests;
pub mod permissions;
pub mod subject;

pub use manifests::manifests;
pub use permissions::{Permissions, Place};
pub use subject::Subject;
