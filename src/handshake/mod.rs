//! What servers present in TLS handshakes, as it is recorded.

mod outdated;
mod presented;
mod target;
mod unreachable;

pub(crate) use outdated::Outdated;
pub(crate) use presented::{Handshake, TlsVersion};
pub(crate) use target::{Authority, Target};
pub(crate) use unreachable::Unreachable;
