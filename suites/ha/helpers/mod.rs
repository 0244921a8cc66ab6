//! What the checks of this suite share.

pub(super) mod etcdctl;
mod member_disk;
pub(super) mod member_metrics;
