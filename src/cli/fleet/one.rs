//! The run on one cluster of a fleet.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::sources::{Source, Way};
use crate::check::Check;
use crate::cli::Failure;
use crate::cli::choice::FilterArgs;
use crate::cli::judge::judging;
use crate::cli::run::conduct;
use crate::cli::session::{Asked, ProbeArgs, Session};
use crate::cluster::Settings;
use crate::event::{Event, Events};
use crate::fleet::Member;
use crate::history::Acceptance;
use crate::recording::Recording;
use crate::redaction::Redaction;
use crate::report::jsonl::JsonLines;
use crate::report::{Gathered, OutputFile, Report, StreamFile};
use crate::run::{ExitCode, Plan, Profile, engine};

/// What is done with every cluster.
pub(super) struct Orders {
    pub(super) settings: Settings,
    pub(super) probes: ProbeArgs,
    pub(super) profile: Profile,
    pub(super) checks: Vec<&'static Check>,
    pub(super) filter: FilterArgs,
    pub(super) stopped: watch::Receiver<bool>,
}

/// What became of a cluster.
pub(super) enum Ended {
    /// Its run is over.
    Run {
        member: Member,
        run: Box<Gathered>,
        exit_code: ExitCode,
        /// Whether its own files could be written.
        written: Result<(), Failure>,
    },
    /// There was no run.
    NotBegun { member: Member, why: String, exit_code: ExitCode },
}

/// Runs in a thread of its own: what judging one cluster takes delays no request to another.
pub(super) async fn in_own_thread(orders: Arc<Orders>, source: Source, member: Member) -> Ended {
    if *orders.stopped.borrow() {
        let why = "the fleet was stopped before this cluster was asked".to_owned();
        return Ended::NotBegun { member, why, exit_code: ExitCode::Interrupted };
    }
    let handle = tokio::runtime::Handle::current();
    let of = member.clone();
    let work = move || handle.block_on(Box::pin(run(&orders, source, of)));
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(ended)) => ended,
        Ok(Err(why)) => Ended::NotBegun { member, why: why.line(), exit_code: why.exit_code() },
        Err(why) => {
            let why = format!("its run ended before its verdict: {why}");
            Ended::NotBegun { member, why, exit_code: ExitCode::Inconclusive }
        }
    }
}

async fn run(orders: &Orders, source: Source, member: Member) -> Result<Ended, Failure> {
    match source.way {
        Way::Live(kubeconfig) => {
            let record = member.recording.as_deref().map(OutputFile::create).transpose()?;
            let stream = member.events.as_deref().map(StreamFile::create).transpose()?;
            let asked = kubeconfig.map_err(Failure::from).map(|kubeconfig| Asked {
                kubeconfig,
                settings: orders.settings.clone(),
                stopped: orders.stopped.clone(),
            });
            // Its row says what is in the way.
            let session = Session::ask(asked, orders.probes.clone(), orders.profile.clone(), None, |_| {}).await;
            let (events, receiver) = Events::channel();
            let gathering = tokio::spawn(gather(receiver, session.redaction.clone(), stream));
            let plan = Plan::new(orders.checks.clone());
            let (recorded, exit_code) =
                conduct(&session, plan, (orders.filter.named(), Acceptance::default()), record, events).await;
            let (run, written) = gathering.await.map_err(|e| Failure::System(format!("reporting failed: {e}")))?;
            // A file that was not made is not named.
            let recording = member.recording.clone().filter(|_| session.has_begun() && recorded.is_ok());
            let member = Member { recording, ..member };
            Ok(Ended::Run { member, run, exit_code, written: recorded.and(written) })
        }
        Way::Recorded(path) => judge(orders, &path, member).await,
    }
}

/// Judges a recording as `seaworthy judge` does.
async fn judge(orders: &Orders, path: &Path, member: Member) -> Result<Ended, Failure> {
    let recording = Recording::read(path)?;
    let stream = member.events.as_deref().map(StreamFile::create).transpose()?;
    let run = judging(recording, &path.display().to_string(), &orders.filter)?;
    let (events, receiver) = Events::channel();
    let gathering = tokio::spawn(gather(receiver, Redaction::default(), stream));
    let exit_code = engine::run(run, events).await.exit_code;
    let (run, written) = gathering.await.map_err(|e| Failure::System(format!("reporting failed: {e}")))?;
    Ok(Ended::Run { member, run, exit_code, written })
}

/// Gathers a run from its events, from which its own secrets are removed first, and writes them to its stream.
async fn gather(
    mut events: mpsc::UnboundedReceiver<Event>,
    redaction: Redaction,
    stream: Option<StreamFile>,
) -> (Box<Gathered>, Result<(), Failure>) {
    let (mut run, mut stream, mut written) = (Box::<Gathered>::default(), stream.map(JsonLines::new), Ok(()));
    while let Some(event) = events.recv().await {
        let event = event.redacted(&redaction);
        if let Some(lines) = &mut stream
            && let Err(why) = lines.event(&event)
        {
            written = Err(Failure::from(why));
            stream = None;
        }
        run.event(&event);
    }
    (run, written)
}
