//! The API server instances that can be dialled from where the harness runs.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::check::{Subject, Verdict, names};
use crate::cluster::handshake::Handshake;
use crate::fact::facts::api_server_handshakes::ApiServerHandshakes;
use crate::seen::{Seen, Unobserved};

/// Each published instance. Where none can be reached, as from outside of a network of nodes or of a managed control
/// plane, or where the instances are not known, the verdict to give instead.
pub(super) fn instances(seen: &ApiServerHandshakes) -> Result<&BTreeMap<SocketAddr, Seen<Handshake>>, Verdict> {
    let instances = seen.instances.as_ref().map_err(|why| {
        let mut verdict = Verdict::new();
        verdict.unseen(Subject::object("EndpointSlice", "default", "kubernetes"), why);
        verdict
    })?;
    if seen.endpoint.is_ok() && !instances.is_empty() && instances.values().all(is_out_of_reach) {
        return Err(Verdict::not_applicable(format!(
            "the API server answers at its URL, but no instance can be reached from here at the address where it is \
             published ({})",
            names(instances.keys())
        )));
    }
    Ok(instances)
}

/// Whether nothing answered at all, rather than something strange.
pub(super) fn is_out_of_reach<T>(seen: &Seen<T>) -> bool {
    seen.as_ref().is_err_and(Unobserved::is_out_of_reach)
}
