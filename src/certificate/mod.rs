//! X.509 certificates: what was presented, what it says, and whether a client would trust it.
//!
//! A [`Certificate`] is bytes, exactly as a server or a file presented them, and stays that way in
//! a recording. Everything else is derived from it when it is needed: [`Certificate::describe`]
//! reads it, [`verify`] gives the verdict of a TLS client at a given time. So a recording made
//! today can be judged by a description written next year.

mod chain;
mod der;
mod description;
mod distinguished_name;
mod hostname;
mod pem;
mod public_key;
mod signature;
#[cfg(test)]
pub(crate) mod testing;
mod trust;
mod usage;

pub(crate) use chain::Chain;
pub(crate) use der::Certificate;
pub(crate) use der::sha256;
pub(crate) use description::Description;
pub(crate) use pem::MAXIMUM_BUNDLE;
pub(crate) use public_key::PublicKey;
pub(crate) use signature::SignatureAlgorithm;
pub(crate) use trust::{Distrust, verify, verify_client};
pub(crate) use usage::{ExtendedKeyUsage, KeyUsage};
