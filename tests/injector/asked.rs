//! What a request asks for, in words that are the same in every run.

use std::sync::LazyLock;

use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, UPGRADE};
use hyper::{Method, Request};
use regex::Regex;

/// The parts of paths that differ from run to run: ids of runs and of bootstrap tokens.
static RANDOM: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("(seaworthy-)[a-z0-9]{5}|(bootstrap-token-)[a-z0-9]{6}").expect("it is valid"));

/// What a request asks for.
#[expect(clippy::struct_excessive_bools, reason = "what a request says of itself")]
pub(super) struct Asked {
    /// What is asked, by whom.
    pub(super) key: String,
    /// Whether the answer goes on until it is ended: a watch, or a log that is followed.
    pub(super) is_stream: bool,
    /// Whether it asks for a page of a list that is not the first one.
    pub(super) is_next_page: bool,
    /// Whether it may change something.
    pub(super) is_write: bool,
    /// Whether the connection becomes one of another protocol.
    pub(super) is_upgrade: bool,
    /// Whether the answer may be compressed.
    pub(super) accepts_gzip: bool,
}

impl Asked {
    /// What this request asks for, sent by this caller.
    pub(super) fn by<B>(caller: &str, request: &Request<B>) -> Self {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let query: Vec<_> = request.uri().query().unwrap_or_default().split('&').collect();
        let names: Vec<_> = query.iter().map(|one| one.split('=').next().unwrap_or_default()).collect();
        let has = |pair: &str| query.contains(&pair);
        let bearer = if request.headers().contains_key(AUTHORIZATION) { " with a token" } else { "" };
        let user = header("impersonate-user").unwrap_or_default();
        let (method, path) = (request.method(), request.uri().path());
        let key = format!("{method} {path}?{} by {caller}{bearer} as {user}", names.join("&"));
        Self {
            key: RANDOM.replace_all(&key, "$1$2RANDOM").into_owned(),
            is_stream: has("watch=true") || has("follow=true"),
            is_next_page: names.contains(&"continue"),
            is_write: method != Method::GET,
            is_upgrade: request.headers().contains_key(UPGRADE),
            accepts_gzip: header(ACCEPT_ENCODING.as_str()).is_some_and(|accepted| accepted.contains("gzip")),
        }
    }
}
