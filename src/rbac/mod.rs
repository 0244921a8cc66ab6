//! The permissions that observing needs, as an administrator grants them.

pub(crate) mod manifests;
pub(crate) mod permissions;
pub(crate) mod subject;

pub(crate) use manifests::{Manifest, manifests, objects};
pub(crate) use permissions::{Permissions, Place};
pub(crate) use subject::Subject;
