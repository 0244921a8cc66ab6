//! The API server at its ClusterIP, as a client in the pod meets it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::asker::Asker;
use super::handshake::presented;
use super::http::http_fault;
use super::repeated::{Latency, repeated};
use super::terms::Terms;
use super::token::account_token;
use super::{Ask, whole};
use crate::certificate::{Certificate, Distrust, verify};
use crate::handshake::Handshake;
use crate::http_client::direct;
use crate::probe::fault::{Fault, Got};
use crate::seen::{Seen, Unobserved};

/// A header without a meaning that takes eight full packets of an Ethernet.
const PADDING: (&str, &str, usize) = ("x-seaworthy-padding", "0123456789abcdef", 750);

/// What the answer adds to a message, in bytes.
const SIZE: usize = 300;

/// The API server at its ClusterIP.
pub struct Api;

/// What is asked of the API server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiQuestion {
    /// Where pods dial it.
    pub address: SocketAddr,
    /// The certificates that pods trust, in PEM: what ConfigMap kube-root-ca.crt holds in the namespace of the probes. A
    /// volume would hold the same, but the kubelet takes up to seconds more to start a pod with it.
    pub authority: Got<String>,
    /// The names under which its certificate must be valid, in addition to the address.
    pub names: Vec<String>,
    /// How often to connect.
    pub connections: u32,
    /// Where its instances are published, each of which is dialled once.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub instances: BTreeSet<SocketAddr>,
}

/// What the API server answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApiAnswer {
    /// How many connections got a certificate.
    pub connected: u32,
    /// How many were tried: fewer than asked for where they took long.
    pub tried: u32,
    /// The first failure to connect.
    pub fault: Option<Fault>,
    /// The serial numbers of the certificates, which distinguish the instances.
    pub serials: Vec<String>,
    /// Whether the certificate is valid under each name that pods use; the address is among them.
    pub names: BTreeMap<String, Result<(), Distrust>>,
    /// The status of GET /version with the service account's token, verified with the pod's own CA.
    pub version: Got<u16>,
    /// The status of the same request with so long a header that it takes full packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub large: Option<Got<u16>>,
    /// How long connecting took.
    pub latency: Option<Latency>,
    /// Whether each instance presents a certificate to a client that dials its own address.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub instances: BTreeMap<SocketAddr, Got<()>>,
}

impl ApiAnswer {
    /// Itself, if the probe had the time to connect.
    pub fn seen(&self) -> Seen<&Self> {
        match &self.fault {
            Some(fault @ Fault::Unanswered) if self.tried == 0 => Err(Unobserved::unreachable("the API server", fault)),
            _ => Ok(self),
        }
    }
}

impl Ask for Api {
    type Question = Option<ApiQuestion>;
    type Answer = Option<ApiAnswer>;

    fn parts(question: &Self::Question) -> Vec<(usize, Self::Question)> {
        whole(question, SIZE)
    }

    async fn ask(question: &Self::Question, asker: &Asker) -> Self::Answer {
        match question {
            Some(question) => Some(answer(question, &asker.terms).await),
            None => None,
        }
    }
}

/// Connects many times, checks the certificate under every name, and asks for the version with the pod's own token.
async fn answer(question: &ApiQuestion, terms: &Terms) -> ApiAnswer {
    let fault = |cause: &dyn std::fmt::Display| Fault::Other(format!("ConfigMap kube-root-ca.crt: {cause}"));
    let pem = question.authority.as_deref().map_err(Clone::clone);
    let roots = pem.clone().and_then(|pem| Certificate::from_pem_bundle(pem).map_err(|e| fault(&e)));
    let (trusted, pem) = match &roots {
        Ok(roots) => (roots.as_slice(), pem),
        Err(fault) => (&[][..], Err(fault.clone())),
    };
    let name = question.names.first().map(String::as_str);
    let (handshakes, instances, (version, large)) = tokio::join!(
        repeated(question.connections, terms, || presented(question.address, name, trusted, terms)),
        join_all(question.instances.iter().map(|instance| presented(*instance, name, trusted, terms))),
        requests(question, pem, terms)
    );
    let unanswered = question.connections > 0 && handshakes.is_empty();
    let mut answer = ApiAnswer {
        connected: 0,
        tried: u32::try_from(handshakes.len()).unwrap_or(u32::MAX),
        fault: unanswered.then_some(Fault::Unanswered),
        serials: Vec::new(),
        names: BTreeMap::new(),
        version,
        large,
        latency: None,
        instances: question.instances.iter().copied().zip(instances.into_iter().map(|seen| seen.map(drop))).collect(),
    };
    let mut serials = BTreeSet::new();
    let mut took = Vec::new();
    for (seen, micros) in handshakes {
        match seen {
            Ok(seen) => {
                answer.connected += 1;
                took.push(micros);
                // Without CAs no certificate can be verified.
                if roots.is_ok() {
                    verify_names(question, trusted, &seen, &mut answer);
                }
                serials.extend(seen.leaf().describe().ok().map(|leaf| leaf.serial));
            }
            Err(fault) => answer.fault = answer.fault.or(Some(fault)),
        }
    }
    answer.serials = serials.into_iter().collect();
    answer.latency = Latency::of(took);
    answer
}

/// A name that fails on one instance fails: another instance's certificate does not make up for it.
fn verify_names(question: &ApiQuestion, roots: &[Certificate], seen: &Handshake, answer: &mut ApiAnswer) {
    let address = question.address.ip().to_string();
    for name in question.names.iter().chain([&address]) {
        let verdict = verify(&seen.chain, roots, Some(name), Timestamp::now());
        let entry = answer.names.entry(name.clone()).or_insert(Ok(()));
        if entry.is_ok() {
            *entry = verdict;
        }
    }
}

/// Asks for the version with the pod's token, over a connection that is verified with the CA that pods trust; then again in
/// full packets, if that has worked.
async fn requests(question: &ApiQuestion, pem: Got<&str>, terms: &Terms) -> (Got<u16>, Option<Got<u16>>) {
    let prepared = async {
        let other = |e: &dyn std::fmt::Display| Fault::Other(e.to_string());
        let roots = reqwest::Certificate::from_pem_bundle(pem?.as_bytes()).map_err(|e| other(&e))?;
        let client = direct(terms.answer).tls_certs_only(roots).build().map_err(|e| other(&e))?;
        let request = client.get(format!("https://{}/version", question.address));
        Ok(request.bearer_auth(account_token().await?))
    };
    let request = match prepared.await {
        Ok(request) => request,
        Err(fault) => return (Err(fault), None),
    };
    let again = request.try_clone();
    let version = terms.answered(status(request)).await;
    let large = match again.filter(|_| version.is_ok()) {
        Some(again) => Some(terms.answered(status(again.header(PADDING.0, PADDING.1.repeat(PADDING.2)))).await),
        None => None,
    };
    // What there was no time to ask was not asked.
    (version, large.filter(|large| *large != Err(Fault::Unanswered)))
}

async fn status(request: reqwest::RequestBuilder) -> Got<u16> {
    let response = request.send().await.map_err(|e| http_fault(&e))?;
    Ok(response.status().as_u16())
}
