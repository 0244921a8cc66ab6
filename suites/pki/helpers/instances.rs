//! The API server instances that can be dialled from where this program runs.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::check::{Subject, Verdict};
use crate::fact::facts::api_server_handshakes::ApiServerHandshakes;
use crate::handshake::Handshake;
use crate::seen::{Seen, Unobserved};

/// Each published instance. Where none can be reached, as from outside of a network of nodes or of a managed control
/// plane, or where the instances are unknown, the verdict to give instead.
#[expect(clippy::result_large_err, reason = "the verdict is returned at once, and not passed along")]
pub(crate) fn instances(seen: &ApiServerHandshakes) -> Result<&BTreeMap<SocketAddr, Seen<Handshake>>, Verdict> {
    let instances = seen.instances.as_ref().map_err(|why| {
        let mut verdict = Verdict::new();
        verdict.unseen(Subject::object("EndpointSlice", "default", "kubernetes"), why);
        verdict
    })?;
    if seen.endpoint.is_ok()
        && let Some((first, _)) = instances.first_key_value()
        && instances.values().all(is_out_of_reach)
    {
        return Err(Verdict::not_applicable(format!(
            "the API server answers at its URL, but no instance can be reached from here at the address where it is \
             published, such as {first}"
        )));
    }
    Ok(instances)
}

/// Whether nothing answered at all, rather than something unexpected.
pub(crate) fn is_out_of_reach<T>(seen: &Seen<T>) -> bool {
    seen.as_ref().is_err_and(Unobserved::is_out_of_reach)
}
