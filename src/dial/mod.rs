//! The TLS recorder: what a server presents in a handshake.
//!
//! [`handshake`] dials any address, asks for any name, and keeps everything that was presented,
//! whether or not a client would trust it. The connection carries no request and no credential, so
//! it is safe to complete a handshake with a server that is not trusted. A completed handshake
//! leaves no error in that server's log.
//!
//! # What the server is offered
//!
//! TLS 1.2 and 1.3 with the cipher suites of rustls, and every signature algorithm back to SHA-1,
//! so that old certificates are presented too. A server that speaks neither version answers with an
//! alert: [`Unreachable::Declined`]. No application protocol (ALPN) is offered: Kubernetes' servers
//! do not insist on one.
//!
//! # Client certificates
//!
//! None is offered. A server that demands one refuses the connection, in TLS 1.3 after the client
//! considers the handshake complete. So the recorder waits for the refusal, or for the session
//! ticket that servers send after they accept the client, or for a moment. A refusal is a
//! [`failure`](Handshake::failure) of an otherwise complete record.

mod connection;
mod deadline;
mod outdated;
mod recorder;
mod unreachable;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, crypto::aws_lc_rs};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
};

pub(crate) use self::outdated::{outdated, outdated_over};
use self::{
    connection::{Connection, Ending},
    deadline::Deadline,
    recorder::Recorder,
};
use crate::certificate::{Certificate, verify};
use crate::handshake::{Authority, Handshake, Target, TlsVersion, Unreachable};

/// For how long a server may take to refuse a client without a certificate.
const REFUSAL_WAIT: Duration = Duration::from_secs(1);

/// For how long a server that asked for no certificate may take to send its session ticket. Nothing
/// depends on it, but servers log an error if the client disconnects before.
const TICKET_WAIT: Duration = Duration::from_millis(100);

/// Dials `target` and records what it presents. `roots` matter to the verdict only. `deadline` is
/// for all of it: resolving the name, connecting, and the handshake.
///
/// # Errors
/// If no certificate was presented. The [`Handshake`] contains any later failure.
pub(crate) async fn handshake(
    target: &Target,
    roots: &[Certificate],
    deadline: Duration,
) -> Result<Handshake, Unreachable> {
    let deadline = Deadline::after(deadline);
    let connected = deadline.limit(connect(&target.address)).await;
    let stream = connected.unwrap_or_else(|| Err(deadline.missed().into()))?;
    record(stream, target, roots, deadline).await
}

/// As [`handshake`], over a stream that is open already, such as a tunnel through a proxy. The
/// address of `target` is recorded and not dialled.
///
/// # Errors
/// As for [`handshake`].
pub(crate) async fn handshake_over<S>(
    stream: S,
    target: &Target,
    roots: &[Certificate],
    deadline: Duration,
) -> Result<Handshake, Unreachable>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    record(stream, target, roots, Deadline::after(deadline)).await
}

fn spoken(version: ProtocolVersion) -> Option<TlsVersion> {
    match version {
        ProtocolVersion::TLSv1_2 => Some(TlsVersion::Tls12),
        ProtocolVersion::TLSv1_3 => Some(TlsVersion::Tls13),
        _ => None,
    }
}

/// Connects to the first of the host's addresses that answers.
async fn connect(address: &Authority) -> Result<TcpStream, Unreachable> {
    let addresses: Vec<_> = lookup_host((address.host(), address.port()))
        .await
        .map_err(|error| Unreachable::not_resolved(address.host(), &error))?
        .collect();
    Ok(TcpStream::connect(addresses.as_slice()).await?)
}

async fn record<S>(
    stream: S,
    target: &Target,
    roots: &[Certificate],
    deadline: Deadline,
) -> Result<Handshake, Unreachable>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let recorder = Arc::new(Recorder::default());
    let mut connection = Connection::new(stream, client(&recorder, target)?);
    let ending = settle(&mut connection, &recorder, deadline).await.err();

    let version = connection.tls().protocol_version().and_then(spoken);
    deadline.limit(connection.close()).await;

    let (Some(chain), Some(version)) = (recorder.chain(), version) else {
        // A handshake does not complete without a certificate, so that there is an end.
        return Err(ending.unwrap_or(Ending::Closed).into());
    };
    Ok(Handshake {
        address: target.address.clone(),
        server_name: target.server_name.clone(),
        version,
        client_certificate_requested: recorder.client_certificate_requested(),
        verdict: verify(chain, roots, target.server_name.as_deref(), Timestamp::now()),
        failure: ending.map(|ending| ending.to_string()).or_else(|| recorder.doubt()),
        chain: chain.clone(),
    })
}

/// Completes the handshake and waits until the server accepts it.
async fn settle<S>(connection: &mut Connection<S>, recorder: &Recorder, deadline: Deadline) -> Result<(), Ending>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let completed = deadline.limit(connection.complete()).await;
    completed.unwrap_or_else(|| Err(deadline.missed()))?;

    let wait = if recorder.client_certificate_requested() { REFUSAL_WAIT } else { TICKET_WAIT };
    // A server that is silent for so long does not refuse.
    deadline.at_most(wait).limit(connection.accepted()).await.unwrap_or(Ok(()))
}

/// A client that passes everything to the recorder and requests the target's name.
fn client(recorder: &Arc<Recorder>, target: &Target) -> Result<ClientConnection, Unreachable> {
    let failed = |error: rustls::Error| Unreachable::Other { text: error.to_string() };
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(recorder.clone())
        .with_client_cert_resolver(recorder.clone());
    ClientConnection::new(Arc::new(config), asked_for(target)?).map_err(failed)
}

fn asked_for(target: &Target) -> Result<ServerName<'static>, Unreachable> {
    // rustls requires a name, and does not send one that is an address.
    let Some(name) = &target.server_name else {
        return Ok(ServerName::from(IpAddr::from(Ipv4Addr::UNSPECIFIED)));
    };
    ServerName::try_from(name.clone())
        .map_err(|_| Unreachable::Other { text: format!("{name:?} is neither a DNS name nor an IP address") })
}

#[cfg(test)]
mod tests;
