//! HTTP on the node's own network.

use std::time::Duration;

use super::answer::HttpAnswer;
use super::question::Excerpt;
use crate::http_client::stranger;
use crate::probe::ask::http::{bytes, http_fault};
use crate::probe::fault::{Fault, Got};

/// The most that is read of a text, in bytes.
const READ_LIMIT: usize = 8 << 20;

/// Asks without credentials, and verifies no certificate: nothing secret is sent.
pub(super) async fn get(excerpt: &Excerpt, patience: Duration) -> Got<HttpAnswer> {
    let client = stranger(patience).build().map_err(|e| Fault::Other(e.to_string()))?;
    let response = client.get(&excerpt.of).send().await.map_err(|e| http_fault(&e))?;
    let status = response.status().as_u16();
    let body = bytes(response, READ_LIMIT).await?;
    Ok(HttpAnswer { status, body: excerpt.of_text(&String::from_utf8_lossy(&body)) })
}
