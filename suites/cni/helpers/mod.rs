//! What the checks of this suite share.

pub(super) mod paths;
