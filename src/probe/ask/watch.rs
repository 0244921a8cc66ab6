//! The same questions again and again. Each try is written to the standard output at once, so that changes are seen.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use super::http::Strangers;
use super::{dns, greet};
use crate::live::RunId;
use crate::milliseconds::milliseconds;
use crate::probe::fault::{Fault, Got};

/// How long one try may take: long enough for three exchanges, so that a lost packet does not count as a change.
const TRY: Duration = Duration::from_millis(900);
/// The pause between two tries of a target.
const PAUSE: Duration = Duration::from_millis(100);

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchQuestions {
    /// The run that asks.
    pub run: RunId,
    /// The targets, by the name under which their tries are reported.
    pub targets: BTreeMap<String, WatchTarget>,
}

/// What a watch asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WatchTarget {
    /// A probe that serves, by TCP.
    Probe(SocketAddr),
    /// A DNS server, by UDP, for the address of this name. Any answer will do.
    Dns(SocketAddr, String),
    /// An API server, by HTTPS without credentials, over a new connection each time. Any answer of an
    /// API server will do.
    Api(SocketAddr),
}

/// What came of one try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// The target.
    pub target: String,
    /// When it began, in milliseconds since the watch did.
    pub at_ms: u64,
    /// How it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// Watches until the pod gets SIGTERM.
pub async fn watch(questions: &WatchQuestions) -> std::io::Result<()> {
    // As process 1 we do not end by a signal that we do not handle.
    let mut terminate = signal(SignalKind::terminate())?;
    let began = Instant::now();
    let strangers = Strangers::unpooled(TRY);
    let strangers = &strangers;
    let targets = questions.targets.iter().map(|(name, target)| async move {
        loop {
            let at_ms = milliseconds(began.elapsed());
            let fault = ask(target, &questions.run, strangers).await.err();
            report(&Try { target: name.clone(), at_ms, fault })?;
            tokio::time::sleep(PAUSE).await;
        }
    });
    tokio::select! {
        ended = join_all(targets) => ended.into_iter().collect(),
        _ = terminate.recv() => Ok(()),
    }
}

async fn ask(target: &WatchTarget, run: &RunId, strangers: &Got<Strangers>) -> Got<()> {
    match target {
        WatchTarget::Api(at) => {
            let status = strangers.as_ref().map_err(Clone::clone)?.status(&format!("https://{at}/readyz")).await?;
            // A client without credentials may be refused, and only by a server that is alive.
            if matches!(status, 200 | 401 | 403) { Ok(()) } else { Err(Fault::Other(format!("HTTP {status}"))) }
        }
        WatchTarget::Probe(at) => greet::by_tcp(*at, run, TRY).await.map(drop),
        WatchTarget::Dns(server, name) => dns::client::any_answer(*server, name, TRY).await,
    }
}

fn report(done: &Try) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(done)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}
