//! Servers and clocks for tests.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use jiff::Timestamp;

use crate::certificate::Chain;
use crate::certificate::testing::Leaf;
use crate::fact::facts::api_server_handshakes::ApiServerHandshakes;
use crate::fact::facts::clock::Clock;
use crate::handshake::{Handshake, TlsVersion};
use crate::seen::Seen;

/// When the tests take place.
pub(crate) fn now() -> Timestamp {
    "2026-11-23T14:00:00Z".parse().unwrap()
}

/// The clocks of the cluster and of this program.
pub(crate) fn clock() -> Clock {
    Clock { server: now(), here: now() }
}

/// The handshake with a server that presents this certificate alone.
#[expect(clippy::unnecessary_wraps, reason = "facts hold what was seen, or why not")]
pub(crate) fn presented(leaf: &Leaf) -> Seen<Handshake> {
    Ok(Handshake {
        address: "127.0.0.1:6443".parse().unwrap(),
        server_name: None,
        version: TlsVersion::Tls13,
        chain: Chain::try_from(vec![leaf.certificate.clone()]).unwrap(),
        client_certificate_requested: true,
        verdict: Ok(()),
        failure: None,
    })
}

/// What the endpoint and the instances present.
pub(crate) fn handshakes<const N: usize>(
    endpoint: Seen<Handshake>,
    instances: [(&str, Seen<Handshake>); N],
) -> ApiServerHandshakes {
    let instances: BTreeMap<SocketAddr, _> =
        instances.into_iter().map(|(address, seen)| (address.parse().unwrap(), seen)).collect();
    ApiServerHandshakes { at: now(), endpoint, refusal: None, instances: Ok(instances) }
}
