//! Objects of a control plane that more than one observation reads: the addresses of its API servers, the leases of its
//! leaders.

pub(crate) mod leases;
pub(crate) mod published;
