//! What several checks of this suite share.

pub(super) mod node_rights;
pub(super) mod node_writes;
