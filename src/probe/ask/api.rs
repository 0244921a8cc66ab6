//! The API server at its ClusterIP, as a client in the pod meets it.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use jiff::Timestamp;

use super::http::account_token;
use super::repeated::repeated;
use super::terms::Terms;
use super::unreachable_fault;
use crate::certificate::{Certificate, verify};
use crate::cluster::handshake::{Authority, Handshake, Target, handshake};
use crate::probe::answer::{ApiAnswer, Latency};
use crate::probe::fault::{Fault, Got};
use crate::probe::question::ApiQuestion;

/// A header that means nothing and takes eight full packets of an Ethernet.
const PADDING: (&str, &str, usize) = ("x-seaworthy-padding", "0123456789abcdef", 750);

/// Connects many times, checks the certificate under every name, and asks for the version with the pod's own token.
pub async fn ask(question: &ApiQuestion, terms: &Terms) -> ApiAnswer {
    let fault = |cause: &dyn std::fmt::Display| Fault::Other(format!("ConfigMap kube-root-ca.crt: {cause}"));
    let pem = question.authority.as_deref().map_err(Clone::clone);
    let roots = pem.clone().and_then(|pem| Certificate::from_pem_bundle(pem).map_err(|e| fault(&e)));
    let (trusted, pem) = match &roots {
        Ok(roots) => (roots.as_slice(), pem),
        Err(fault) => (&[][..], Err(fault.clone())),
    };
    let connect = async |address| {
        let target = Target { address: Authority::from(address), server_name: question.names.first().cloned() };
        handshake(&target, trusted, terms.answer).await.map_err(unreachable_fault)
    };
    // The ClusterIP has been known for long: where it is silent, newer ones are not waited for.
    let at_cluster_ip = async || {
        let seen = terms.answered(connect(question.address)).await;
        // The first one counts.
        let _ = terms.old_service_answers.set(!matches!(seen, Err(Fault::TimedOut)));
        seen
    };
    let (handshakes, instances, (version, large)) = tokio::join!(
        repeated(question.connections, terms, at_cluster_ip),
        join_all(question.instances.iter().map(|instance| terms.answered(connect(*instance)))),
        requests(question, pem, terms)
    );
    let instance = |seen: Got<Handshake>| seen.map(drop);
    let mut answer = ApiAnswer {
        connected: 0,
        tried: u32::try_from(handshakes.len()).unwrap_or(u32::MAX),
        fault: None,
        serials: Vec::new(),
        names: BTreeMap::new(),
        version,
        large,
        latency: None,
        instances: question.instances.iter().copied().zip(instances.into_iter().map(instance)).collect(),
    };
    if question.connections > 0 && handshakes.is_empty() {
        answer.fault = Some(Fault::Unanswered);
    }
    let mut serials = BTreeSet::new();
    let mut took = Vec::new();
    for (seen, micros) in handshakes {
        match seen {
            Ok(seen) => {
                answer.connected += 1;
                took.push(micros);
                // Without authorities nothing can be said of a certificate.
                if roots.is_ok() {
                    judge_names(question, trusted, &seen, &mut answer);
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
fn judge_names(question: &ApiQuestion, roots: &[Certificate], seen: &Handshake, answer: &mut ApiAnswer) {
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
        let client = reqwest::Client::builder()
            .tls_certs_only(roots)
            .timeout(terms.answer)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(crate::USER_AGENT)
            .build()
            .map_err(|e| other(&e))?;
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
    (version, large)
}

async fn status(request: reqwest::RequestBuilder) -> Got<u16> {
    let response = request.send().await.map_err(|e| super::http_fault(&e))?;
    Ok(response.status().as_u16())
}
