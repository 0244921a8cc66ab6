//! What the checks of this suite share.

pub(super) mod assumed_domain;
pub(super) mod no_endpoint;
pub(super) mod node_cache;
