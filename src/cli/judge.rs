//! `seaworthy judge`: judge a recording, without a cluster.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use super::acceptance::AcceptanceArgs;
use super::choice::FilterArgs;
use super::reporting::{STANDARD_INPUT, check_files, consume, open};
use super::say;
use crate::check::Check;
use crate::event::{Events, RunStarted};
use crate::push::Pushes;
use crate::recording::Recording;
use crate::redaction::Redaction;
use crate::report::{Gathered, Progress, Wanted};
use crate::run::{Conclusion, ExitCode, Run, Selection, engine};
use crate::suites;

/// The recording in the program.
const EXAMPLE: &[u8] = include_bytes!("../../fixtures/example.json.gz");
/// Its name in reports.
const EXAMPLE_NAME: &str = "the example that comes with seaworthy (a cluster with three planted faults)";

/// Judge a recording, without a cluster
///
/// The checks, the profile and the gate are those of the run that made the recording, unless flags override them. The same
/// program gives the same verdicts as that run, byte for byte.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seaworthy run --record today.json.gz             make a recording
  seaworthy judge today.json.gz                    judge it again, anywhere
  ssh host cat today.json.gz | seaworthy judge -
  seaworthy judge today.json.gz --select 'PK-*' --fail-on critical \\
    --junit report.xml")]
pub struct JudgeArgs {
    /// A recording that `seaworthy run --record` has written; - for the standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    acceptance: AcceptanceArgs,
    #[command(flatten)]
    reports: Wanted,
}

/// Judges a recording from a file.
pub async fn run(args: JudgeArgs) -> Result<ExitCode, Failure> {
    let mut read = vec![("FILE", Some(args.file.as_path()))];
    read.extend(args.acceptance.files());
    check_files(&args.reports, &read, None)?;
    let (recording, name) = if args.file == Path::new("-") {
        (Recording::read_from(io::stdin().lock(), Path::new(STANDARD_INPUT))?, STANDARD_INPUT.to_owned())
    } else {
        (Recording::read(&args.file)?, args.file.display().to_string())
    };
    judge(recording, &name, &args.filter, &args.acceptance, &args.reports, Pushes::default()).await
}

/// Judges the example.
pub async fn example(
    filter: &FilterArgs,
    acceptance: &AcceptanceArgs,
    reports: &Wanted,
    pushes: Pushes,
) -> Result<ExitCode, Failure> {
    let recording = Recording::parse(EXAMPLE, Path::new(EXAMPLE_NAME))?;
    judge(recording, EXAMPLE_NAME, filter, acceptance, reports, pushes).await
}

async fn judge(
    recording: Recording,
    name: &str,
    filter: &FilterArgs,
    acceptance: &AcceptanceArgs,
    reports: &Wanted,
    pushes: Pushes,
) -> Result<ExitCode, Failure> {
    let acceptance = Box::pin(acceptance.read()).await?.of(&recording.header.cluster)?;
    let run = Run { acceptance, ..judging(recording, name, filter)? };
    let reports = open(reports, Progress::Hidden)?;
    let (events, receiver) = Events::channel();
    let reporting = tokio::spawn(consume(receiver, reports, pushes, Redaction::default()));
    let Conclusion { exit_code, .. } = engine::run(run, events).await;
    let delivered = reporting.await.map_err(|e| Failure::System(format!("reporting failed: {e}")))??;
    Ok(delivered.exit_code(exit_code))
}

/// The run that judges a recording, of which flags may change the checks and the gate.
pub fn judging(recording: Recording, name: &str, filter: &FilterArgs) -> Result<Run, Failure> {
    let checks = chosen(&recording, name, filter)?;
    let run = Run::judging(recording, checks);
    let gate = filter.fail_on.unwrap_or(run.gate);
    let seaworthy = env!("CARGO_PKG_VERSION").into();
    let started = RunStarted { seaworthy, gate, recording: Some(name.into()), ..run.started };
    Ok(Run { gate, named: filter.named(), started, ..run })
}

/// What judging a recording gives, as its own run was judged.
pub async fn gathered(recording: Recording, name: &str) -> Result<Gathered, Failure> {
    let (events, mut receiver) = Events::channel();
    engine::run(judging(recording, name, &FilterArgs::default())?, events).await;
    let mut run = Gathered::default();
    while let Some(event) = receiver.recv().await {
        run.event(&event.redacted(&Redaction::default()));
    }
    Ok(run)
}

/// The selected checks, or else those of the recorded run.
pub(super) fn chosen(recording: &Recording, name: &str, filter: &FilterArgs) -> Result<Vec<&'static Check>, Failure> {
    if !filter.select.is_empty() {
        return Ok(Selection::new(&filter.select, &filter.skip)?.checks()?);
    }
    let (known, unknown): (Vec<_>, Vec<_>) =
        recording.header.checks.iter().cloned().partition(|id| suites::check(id).is_some());
    if !unknown.is_empty() {
        say(&format!("{name}: this version does not have {}: left out", unknown.join(", ")));
    }
    Ok(Selection::new(&known, &filter.skip)?.checks()?)
}
