//! What a rehearsal of a node's join makes and takes away: bootstrap tokens, keys, requests for certificates.
//!
//! A token's secret and a private key exist in memory only. Tokens expire by themselves; requests for certificates are
//! collected by the controller-manager an hour after they were decided, a day if they were not.

pub mod applicant;
pub mod removal;
pub mod request;
pub mod token;
pub mod whoami;

use std::time::Duration;

use jiff::SignedDuration;

pub use applicant::Applicant;
pub use token::Minted;
pub use whoami::WhoAmI;

/// How long tokens and certificates live: the least that the API server grants a certificate.
pub const LIFETIME: SignedDuration = SignedDuration::from_mins(10);
/// How long a controller may take for its part. A live one needs a second.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How often is looked whether it has done it.
pub const PAUSE: Duration = Duration::from_millis(100);
