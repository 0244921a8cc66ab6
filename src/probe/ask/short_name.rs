//! A short name, as any program in the pod asks the C library for it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures_util::future::join_all;
use hickory_proto::rr::RecordType;
use tokio::net::lookup_host;

use super::asker::Asker;
use super::dns::client::response_by_udp;
use super::resolver;
use super::retried::retried;
use super::terms::Terms;
use super::{Ask, whole};
use crate::probe::fault::{Fault, Got};

/// A name with fewer dots than a search list is for.
const NAME: &str = "kubernetes.default";
/// What the answer adds to a message, in bytes.
const SIZE: usize = 30;

/// The addresses of the API by its short name, which the C library finds by the search list: whether to ask, and which.
pub struct ShortName;

impl Ask for ShortName {
    type Question = bool;
    type Answer = Option<Got<BTreeSet<IpAddr>>>;

    fn parts(question: &bool) -> Vec<(usize, bool)> {
        whole(question, SIZE)
    }

    async fn ask(question: &bool, asker: &Asker) -> Self::Answer {
        if !question {
            return None;
        }
        Some(tokio::select! {
            found = lookups(&asker.terms) => found,
            // The C library would only wait for longer.
            fault = silence(asker) => Err(fault),
        })
    }
}

/// It is looked up again beside a lookup that takes long, because the C library waits for seconds when a packet is lost.
async fn lookups(terms: &Terms) -> Got<BTreeSet<IpAddr>> {
    let lookup = async || match lookup_host((NAME, 0)).await {
        Ok(found) => Ok(found.map(|address| address.ip()).collect()),
        Err(why) => Err(Fault::Unresolved(why.to_string())),
    };
    // Each name of the search list takes an answer.
    let patience = terms.answer * 3 / 2;
    terms.within(patience, retried(patience, lookup)).await
}

/// Ends with a fault when all servers of the pod are silent, and never where one of them answers anything.
async fn silence(asker: &Asker) -> Fault {
    let ask = async |server| {
        let answer = retried(asker.terms.answer, || response_by_udp(server, NAME, RecordType::A));
        asker.terms.answered(answer).await.err().filter(Fault::is_silence)
    };
    let silent = join_all(resolver::read().await.servers().map(ask)).await;
    match silent.into_iter().collect::<Option<Vec<_>>>().and_then(|mut silent| silent.pop()) {
        Some(fault) => fault,
        None => std::future::pending().await,
    }
}
