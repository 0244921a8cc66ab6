//! `seaworthy report`: make reports from an event stream.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::reporting::{STANDARD_INPUT, check_files, finish, open, resolve_without_cluster};
use super::{Failure, say};
use crate::event::reading::Stream;
use crate::event::{Event, RunStarted};
use crate::push::PushArgs;
use crate::report::{Progress, Wanted};
use crate::run::ExitCode;

/// Make reports from an event stream
///
/// Converts what `seaworthy run --events` wrote into any format. The exit code states whether that worked, not what the run
/// found: 0, 3 if the stream was cut off before the run ended, or 5 if a target of --push could not be reached.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seaworthy run --events run.jsonl
  seaworthy report run.jsonl --junit report.xml
  seaworthy report run.jsonl --verbose
  seaworthy report run.jsonl --output json
  seaworthy report --from run.jsonl --to sarif=report.sarif --to markdown")]
pub struct ReplayArgs {
    /// The event stream; - for the standard input
    #[arg(value_name = "EVENTS", required_unless_present = "from")]
    file: Option<PathBuf>,
    /// The event stream, as another way to name it
    #[arg(long, value_name = "EVENTS", conflicts_with = "file")]
    from: Option<PathBuf>,
    #[command(flatten)]
    reports: Wanted,
    #[command(flatten)]
    push: PushArgs,
}

/// Replays an event stream.
pub async fn run(args: ReplayArgs) -> Result<ExitCode, Failure> {
    let file = args.file.or(args.from).expect("one of the two is required");
    let read = args.push.files().into_iter().chain([("EVENTS", Some(file.as_path()))]);
    check_files(&args.reports, &read.collect::<Vec<_>>(), None)?;
    let mut pushes = resolve_without_cluster(&args.push)?;
    let stream = if file == Path::new("-") {
        Stream::parse(io::stdin().lock(), Path::new(STANDARD_INPUT))?
    } else {
        Stream::read(&file)?
    };
    let mut reports = open(&args.reports, Progress::Hidden)?;
    for event in &stream.events {
        reports.event(event);
        pushes.event(event);
    }
    let delivered = finish(reports, pushes).await?;
    if let Some(Event::RunStarted(RunStarted { failed: Some(cause), .. })) = stream.events.first() {
        say(&format!("{}: the run failed: {cause}", file.display()));
    }
    if stream.complete {
        return Ok(delivered.exit_code(ExitCode::Seaworthy));
    }
    say(&format!("{}: the stream is cut off before the end of the run", file.display()));
    Ok(ExitCode::Inconclusive)
}
