//! Endpoints of any kind.

pub mod endpoint;
pub mod reached;

use futures_util::future::join_all;
use tokio::net::TcpStream;

use self::endpoint::{Endpoint, Way};
use self::reached::{Met, Reached, TlsMet};
use super::asker::Asker;
use super::handshake::presented;
use super::token::account_token;
use super::{Ask, each};
use crate::probe::fault::Got;

/// What answers add to a message, in bytes.
mod size {
    /// A port.
    pub(super) const ENDPOINT: usize = 7;
    /// A server's certificate.
    pub(super) const CERTIFICATE: usize = 1500;
}

/// Endpoints of any kind.
pub struct Reach;

impl Ask for Reach {
    type Question = Vec<Endpoint>;
    type Answer = Reached;

    fn parts(question: &Self::Question) -> Vec<(usize, Self::Question)> {
        each(question, |endpoint| if endpoint.way == Way::Certificate { size::CERTIFICATE } else { size::ENDPOINT })
    }

    async fn ask(question: &Self::Question, asker: &Asker) -> Self::Answer {
        let token = account_token().await;
        let met = question.iter().map(async |endpoint| (endpoint.clone(), one(endpoint, &token, asker).await));
        join_all(met).await.into_iter().collect()
    }
}

async fn one(endpoint: &Endpoint, token: &Got<String>, asker: &Asker) -> Got<Met> {
    match &endpoint.way {
        Way::Tcp => asker.terms.answered(async { Ok(TcpStream::connect(endpoint.at).await.map(|_| Met::Open)?) }).await,
        Way::Tls => tls(endpoint, false, asker).await,
        Way::Certificate => tls(endpoint, true, asker).await,
        Way::Http(request) => {
            let strangers = asker.strangers.as_ref().map_err(Clone::clone)?;
            asker.terms.answered(strangers.send(endpoint.at, request, token)).await.map(Met::Status)
        }
    }
}

async fn tls(endpoint: &Endpoint, certificate: bool, asker: &Asker) -> Got<Met> {
    let seen = presented(endpoint.at, None, &[], &asker.terms).await?;
    Ok(Met::Tls(TlsMet {
        asks: seen.client_certificate_requested,
        leaf: certificate.then(|| seen.leaf().clone()),
        refusal: seen.failure,
    }))
}
