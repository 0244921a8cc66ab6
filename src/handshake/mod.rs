//! What servers present in TLS handshakes, as it is recorded.

mod outdated;
mod presented;
mod target;
mod unreachable;

pub use outdated::Outdated;
pub use presented::{Handshake, TlsVersion};
pub use target::{Authority, NotAnAuthority, Target};
pub use unreachable::Unreachable;
