//! What the checks of this suite, and some of others, share.

pub(crate) mod distrust;
pub(super) mod instances;
pub(crate) mod issued;
pub(super) mod kubeadm_certificates;
pub(crate) mod lifetime;
pub(super) mod names;
pub(super) mod server;
#[cfg(test)]
pub(crate) mod testing;
