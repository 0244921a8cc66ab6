//! The floor: the lists of a run, one after the other over one connection, page by page and not decoded.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::read::MultiGzDecoder;
use http::Method;
use serde::Deserialize;

use super::connection::Connection;
use super::control_plane::ApiServer;

/// How far into an answer its `metadata` reaches.
const HEAD: u64 = 4096;

/// A line of the audit log.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Audited {
    #[serde(rename = "requestURI")]
    uri: String,
    verb: String,
    impersonated_user: Option<serde_json::Value>,
}

/// The requests of a run, from the audit log.
pub(crate) struct Requests {
    pub(crate) number: usize,
    lists: BTreeSet<String>,
}

impl Requests {
    /// Those after the first `skip` bytes of the log.
    pub(crate) fn after(log: &Path, skip: usize) -> io::Result<Self> {
        let text = fs::read_to_string(log)?;
        let audited: Vec<Audited> =
            text[skip..].lines().map(serde_json::from_str).collect::<Result<_, _>>().map_err(io::Error::other)?;
        let lists = audited.iter().filter(|request| request.verb == "list" && request.impersonated_user.is_none());
        Ok(Self { number: audited.len(), lists: lists.filter_map(|request| first_page(&request.uri)).collect() })
    }
}

/// The address of a whole list, without how it is paged; none of a list that is only begun.
fn first_page(uri: &str) -> Option<String> {
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let parts: Vec<&str> = query.split('&').filter(|part| !part.starts_with("continue=")).collect();
    parts.contains(&"limit=500").then(|| format!("{path}?{}", parts.join("&")))
}

/// Fetches all lists, and returns how long that took and how many bytes came.
pub(crate) async fn floor(
    api: &ApiServer,
    requests: &Requests,
) -> Result<(Duration, usize), Box<dyn std::error::Error + Send + Sync>> {
    let mut connection = Connection::secure(api.address, api.pki.of_floor()).await?;
    let (began, mut bytes) = (Instant::now(), 0);
    for list in &requests.lists {
        let mut page = Some(list.clone());
        while let Some(path) = page {
            let (status, body) = connection.send(Method::GET, &path, Vec::new()).await?;
            bytes += body.len();
            // A list that the run asked for in vain, such as one of a group that is not served.
            if status != 200 {
                break;
            }
            page = next(&body).map(|token| format!("{list}&continue={token}"));
        }
    }
    Ok((began.elapsed(), bytes))
}

/// The token of the next page.
fn next(body: &[u8]) -> Option<String> {
    let mut head = Vec::new();
    let read = if body.starts_with(&[0x1f, 0x8b]) {
        MultiGzDecoder::new(body).take(HEAD).read_to_end(&mut head)
    } else {
        body.take(HEAD).read_to_end(&mut head)
    };
    read.expect("an answer can be unpacked");
    let head = String::from_utf8_lossy(&head);
    let (_, rest) = head.split_once("\"continue\":\"")?;
    rest.split('"').next().map(str::to_owned)
}
