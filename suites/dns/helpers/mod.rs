//! What the checks of this suite share.

pub(super) mod assumed_domain;
pub(super) mod config_map;
pub(super) mod no_endpoint;
pub(super) mod node_cache;
pub(super) mod upstreams;
