//! What the checks of this suite share.

pub(super) mod kube_proxy;
pub(super) mod service_cidr;
