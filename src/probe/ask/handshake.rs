//! TLS handshakes, and how they fail.

use std::net::SocketAddr;

use super::terms::Terms;
use crate::certificate::Certificate;
use crate::dial::handshake;
use crate::handshake::{Authority, Handshake, Target, Unreachable};
use crate::probe::fault::{Fault, Got};

/// What a server presents to a client that asks for this name, or for none.
pub(super) async fn presented(
    at: SocketAddr,
    name: Option<&str>,
    roots: &[Certificate],
    terms: &Terms,
) -> Got<Handshake> {
    let target = Target { address: Authority::from(at), server_name: name.map(str::to_owned) };
    // It is large, and a probe makes many at once.
    let handshake = Box::pin(handshake(&target, roots, terms.answer));
    terms.answered(async { handshake.await.map_err(fault) }).await
}

fn fault(unreachable: Unreachable) -> Fault {
    match unreachable {
        Unreachable::Refused => Fault::Refused,
        Unreachable::TimedOut { .. } => Fault::TimedOut,
        Unreachable::Reset | Unreachable::Closed => Fault::Reset,
        Unreachable::NotTls { answer } => Fault::NotTls(answer),
        strange @ Unreachable::Declined { .. } => Fault::Stranger(strange.to_string()),
        other => Fault::Other(other.to_string()),
    }
}
