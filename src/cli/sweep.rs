//! `seaworthy sweep`: remove what dead runs have left.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::Failure;
use super::connection::ConnectionArgs;
use crate::probe::RunId;
use crate::probe::sweep::{find, remove};
use crate::run::ExitCode;

/// How long the removal of one run's leftovers may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Remove what dead runs have left: namespaces and objects that carry our labels and whose time is over.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seaworthy sweep                 remove the leftovers of every run whose time is over
  seaworthy sweep --dry-run       only say what would be removed
  seaworthy sweep --run x7f4k     remove those of one run, now; its id is in the name of its namespace
  seaworthy sweep -n team-a       look in a namespace in which runs with -n were made")]
pub struct SweepArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Look in this namespace, instead of for namespaces that runs have made
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Remove what this run has left, though its time is not over: it must not be running any more
    #[arg(long, value_name = "ID")]
    run: Option<RunId>,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

/// Removes what dead runs have left.
pub async fn run(args: SweepArgs) -> Result<ExitCode, Failure> {
    let cluster = args.connection.connect().await?;
    let refused = |why: crate::fact::Unobserved| Failure::System(why.to_string());
    let found = find(&cluster, args.namespace.as_deref()).await.map_err(refused)?;
    let now = Timestamp::now();
    let mut out = std::io::stdout();
    let mut removed = BTreeSet::new();
    for leftover in &found {
        let chosen = match &args.run {
            Some(run) => leftover.run == run.to_string(),
            None => leftover.is_expired(now),
        };
        let place = &leftover.footprint.namespace;
        let line = match (chosen, args.dry_run) {
            (true, true) => format!("run {} in namespace {place}: would be removed", leftover.run),
            (true, false) => {
                remove(&cluster, &leftover.run, &leftover.footprint, PATIENCE).await.map_err(refused)?;
                removed.insert(&leftover.run);
                format!("run {} in namespace {place}: removed", leftover.run)
            }
            (false, _) => match leftover.expires {
                Some(expires) => {
                    format!("run {} in namespace {place}: left alone, it may live until {expires}", leftover.run)
                }
                None => format!(
                    "run {} in namespace {place}: left alone, it does not say until when it may live",
                    leftover.run
                ),
            },
        };
        writeln!(out, "{line}").map_err(|e| Failure::System(format!("the standard output cannot be written: {e}")))?;
    }
    let runs: BTreeSet<_> = found.iter().map(|leftover| &leftover.run).collect();
    let total = format!("{} of {} runs removed", removed.len(), runs.len());
    writeln!(out, "{total}").map_err(|e| Failure::System(format!("the standard output cannot be written: {e}")))?;
    Ok(ExitCode::Seaworthy)
}
