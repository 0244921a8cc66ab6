//! Endpoints of any kind, all at once.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use tokio::net::TcpStream;

use super::http::{Strangers, account_token};
use super::terms::Terms;
use super::unreachable_fault;
use crate::cluster::handshake::{Authority, Target, handshake};
use crate::probe::endpoint::{Ask, Endpoint};
use crate::probe::fault::Got;
use crate::probe::reached::{Met, Reached, TlsMet};

/// Looks at every endpoint.
pub async fn ask(endpoints: &[Endpoint], strangers: &Got<Strangers>, terms: &Terms) -> Reached {
    let token = account_token().await;
    let met = endpoints.iter().map(|endpoint| async {
        let met = match &endpoint.ask {
            Ask::Tcp => connect(endpoint, terms).await,
            Ask::Tls => tls(endpoint, false, terms).await,
            Ask::Certificate => tls(endpoint, true, terms).await,
            Ask::Http(request) => match strangers {
                Ok(strangers) => terms.answered(strangers.send(endpoint.at, request, &token)).await.map(Met::Status),
                Err(fault) => Err(fault.clone()),
            },
        };
        (endpoint.clone(), met)
    });
    Reached(join_all(met).await.into_iter().collect::<BTreeMap<_, _>>())
}

async fn connect(endpoint: &Endpoint, terms: &Terms) -> Got<Met> {
    terms.answered(async { Ok(TcpStream::connect(endpoint.at).await.map(|_| Met::Open)?) }).await
}

async fn tls(endpoint: &Endpoint, certificate: bool, terms: &Terms) -> Got<Met> {
    let target = Target { address: Authority::from(endpoint.at), server_name: None };
    let seen = handshake(&target, &[], terms.answer);
    let seen = terms.answered(async { seen.await.map_err(unreachable_fault) }).await?;
    Ok(Met::Tls(TlsMet {
        asks: seen.client_certificate_requested,
        leaf: certificate.then(|| seen.leaf().clone()),
        refusal: seen.failure,
    }))
}
