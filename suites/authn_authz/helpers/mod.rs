//! What several checks of this suite share.

pub(super) mod add_ons;
pub(super) mod expected_holders;
pub(super) mod node_rights;
pub(super) mod node_writes;
pub(super) mod path;
pub(super) mod power_paths;
pub(super) mod power_removal;
pub(super) mod powers;
