//! The API server at its ClusterIP, as a client in the pod meets it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use futures_util::future::join_all;
use jiff::Timestamp;

use super::batch::Terms;
use crate::certificate::{Certificate, verify};
use crate::cluster::handshake::{Authority, Handshake, Target, Unreachable, handshake};
use crate::probe::answer::{ApiAnswer, Fault, Got, Latency};
use crate::probe::question::ApiQuestion;

/// Where the service account's files are.
pub(super) const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Connects many times, checks the certificate under every name, and asks for the version with the pod's own token.
pub async fn ask(question: &ApiQuestion, terms: &Terms) -> ApiAnswer {
    let authority = Path::new(ACCOUNT).join("ca.crt");
    let pem =
        tokio::fs::read_to_string(&authority).await.map_err(|e| Fault::Other(format!("{}: {e}", authority.display())));
    let roots = pem.and_then(|pem| {
        let roots =
            Certificate::from_pem_bundle(&pem).map_err(|e| Fault::Other(format!("{}: {e}", authority.display())))?;
        Ok((pem, roots))
    });
    let (trusted, pem) = match &roots {
        Ok((pem, roots)) => (roots.as_slice(), Ok(pem.as_str())),
        Err(fault) => (&[][..], Err(fault.clone())),
    };
    let (handshakes, version) = tokio::join!(connect(question, trusted, terms), version(question, pem, terms));
    let mut answer = ApiAnswer {
        connected: 0,
        tried: question.connections,
        fault: None,
        serials: Vec::new(),
        names: BTreeMap::new(),
        version,
        latency: None,
    };
    let mut serials = BTreeSet::new();
    let mut took = Vec::new();
    for (seen, micros) in handshakes {
        match seen {
            Ok(seen) => {
                answer.connected += 1;
                took.push(micros);
                judge_names(question, trusted, &seen, &mut answer);
                serials.extend(seen.leaf().describe().ok().map(|leaf| leaf.serial));
            }
            Err(unreachable) => answer.fault = answer.fault.or(Some(fault(unreachable))),
        }
    }
    answer.serials = serials.into_iter().collect();
    answer.latency = Latency::of(took);
    answer
}

async fn connect(
    question: &ApiQuestion,
    roots: &[Certificate],
    terms: &Terms,
) -> Vec<(Result<Handshake, Unreachable>, u64)> {
    let target = Target { address: Authority::from(question.address), server_name: question.names.first().cloned() };
    join_all((0..question.connections).map(|_| async {
        let began = Instant::now();
        let seen = handshake(&target, roots, terms.answer).await;
        (seen, u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX))
    }))
    .await
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

/// Asks for the version with the pod's token, over a connection that is verified with the pod's own CA.
async fn version(question: &ApiQuestion, pem: Got<&str>, terms: &Terms) -> Got<u16> {
    let other = |e: &dyn std::fmt::Display| Fault::Other(e.to_string());
    let token = tokio::fs::read_to_string(Path::new(ACCOUNT).join("token")).await.map_err(|e| other(&e))?;
    let roots = reqwest::Certificate::from_pem_bundle(pem?.as_bytes()).map_err(|e| other(&e))?;
    let client = reqwest::Client::builder()
        .tls_certs_only(roots)
        .timeout(terms.answer)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(crate::USER_AGENT)
        .build()
        .map_err(|e| other(&e))?;
    let url = format!("https://{}/version", question.address);
    let response = client.get(url).bearer_auth(token.trim()).send().await.map_err(|e| super::http_fault(&e))?;
    Ok(response.status().as_u16())
}

fn fault(unreachable: Unreachable) -> Fault {
    match unreachable {
        Unreachable::Refused => Fault::Refused,
        Unreachable::TimedOut { .. } => Fault::TimedOut,
        Unreachable::Reset | Unreachable::Closed => Fault::Reset,
        other => Fault::Other(other.to_string()),
    }
}
