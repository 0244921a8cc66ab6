//! HTTP on the node's own network.

use std::time::Duration;

use super::answer::HttpAnswer;
use super::question::Excerpt;
use crate::probe::ask::http::http_fault;
use crate::probe::fault::{Fault, Got};

/// The most that is read of a text, in bytes.
const READ_LIMIT: u64 = 8 << 20;

/// Asks without credentials, and verifies no certificate: nothing secret is sent.
pub(super) async fn get(excerpt: &Excerpt, patience: Duration) -> Got<HttpAnswer> {
    let client = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .timeout(patience)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(crate::USER_AGENT)
        .build()
        .map_err(|e| Fault::Other(e.to_string()))?;
    let mut response = client.get(&excerpt.of).send().await.map_err(|e| http_fault(&e))?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| http_fault(&e))? {
        body.extend_from_slice(&chunk);
        if body.len() as u64 > READ_LIMIT {
            return Err(Fault::Other(format!("the answer is larger than {READ_LIMIT} bytes")));
        }
    }
    Ok(HttpAnswer { status, body: excerpt.of_text(&String::from_utf8_lossy(&body)) })
}
