//! `seaworthy sweep`: clean up after crashed or killed runs.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::connection::{ConnectionArgs, namespace};
use super::session::FINALIZED;
use super::{Failure, print};
use crate::join::{removal, stray};
use crate::live::RunId;
use crate::probe::sweep::{Leftover, finalized, find, remove};
use crate::run::ExitCode;
use crate::seen::{Seen, Unobserved};

/// How long the removal of one run's leftovers may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Clean up after crashed or killed runs: remove expired namespaces, bootstrap tokens, certificate signing requests and other
/// objects with our labels
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seaworthy sweep               remove the leftovers of expired runs
  seaworthy sweep --dry-run     only say what would be removed
  seaworthy sweep --run x7f4k   remove what one run has left, now; the namespace
                                of the run has its id in its name
  seaworthy sweep -n team-a     look in a namespace in which -n put runs
  seaworthy sweep --wait        end when the namespaces are deleted, too")]
pub struct SweepArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Look in this namespace, instead of looking for namespaces that runs have created
    #[arg(short, long, value_name = "NAME", value_parser = namespace)]
    namespace: Option<String>,
    /// Remove what this run has left, even if it has not expired; the run must have ended
    #[arg(long, value_name = "ID")]
    run: Option<RunId>,
    /// Only print what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Wait until namespaces that are being deleted are gone from the API, not just empty
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
}

/// Removes what crashed or killed runs have left.
pub async fn run(args: SweepArgs) -> Result<ExitCode, Failure> {
    let cluster = args.connection.connect().await?;
    let refused = |why: Unobserved| Failure::System(why.to_string());
    let now = Timestamp::now();
    let mut sweep = Sweep { run: args.run, dry_run: args.dry_run, removed: BTreeSet::new(), left: BTreeSet::new() };
    let mut found = BTreeSet::new();
    let mut deleting = Vec::new();
    for leftover in find(&cluster, args.namespace.as_deref()).await.map_err(refused)? {
        let Leftover { run, footprint, expires, deleting: since } = &leftover;
        let what = format!("namespace {}", footprint.namespace);
        if let Some(since) = since {
            print(&format!("run {run} in {what}: its deletion began at {since}\n"))?;
            if footprint.own_namespace {
                deleting.push(leftover);
            }
            continue;
        }
        found.insert(run.clone());
        if sweep.decides(run, &what, *expires, leftover.is_expired(now))? {
            let done = remove(&cluster, run, footprint, PATIENCE).await;
            if footprint.own_namespace && done.is_ok() {
                deleting.push(leftover.clone());
            }
            sweep.report(run, &what, done)?;
        }
    }
    // A user who names a namespace may have no permissions outside of it.
    if args.namespace.is_none() {
        for stray in stray::find(&cluster).await.map_err(refused)? {
            found.insert(stray.run.clone());
            if sweep.decides(&stray.run, &stray.object.to_string(), stray.expires, stray.is_expired(now))? {
                let done = removal::remove(&cluster, &stray.object, PATIENCE).await;
                sweep.report(&stray.run, &stray.object.to_string(), done)?;
            }
        }
    }
    for Leftover { run, footprint, .. } in deleting.iter().filter(|_| args.wait) {
        let what = format!("namespace {}", footprint.namespace);
        if let Err(why) = finalized(&cluster, &footprint.namespace, FINALIZED).await {
            sweep.report(run, &what, Err(why))?;
        }
    }
    let removed = sweep.removed.difference(&sweep.left).count();
    print(&format!("{removed} of {} runs removed\n", found.len()))?;
    Ok(if sweep.left.is_empty() { ExitCode::Seaworthy } else { ExitCode::Inconclusive })
}

/// What to remove.
struct Sweep {
    run: Option<RunId>,
    dry_run: bool,
    /// Runs that had something removed.
    removed: BTreeSet<RunId>,
    /// Runs that still have something left.
    left: BTreeSet<RunId>,
}

impl Sweep {
    /// Prints the result of a removal. After a failed one, the others are still tried.
    fn report(&mut self, run: &RunId, what: &str, done: Seen<()>) -> Result<(), Failure> {
        let what_became = match done {
            Ok(()) => {
                self.removed.insert(run.clone());
                "removed".to_owned()
            }
            Err(why) => {
                self.left.insert(run.clone());
                format!("not removed: {why}")
            }
        };
        Ok(print(&format!("run {run} in {what}: {what_became}\n"))?)
    }

    /// Whether to remove an object of a run now; prints the reason if not.
    fn decides(&self, run: &RunId, what: &str, expires: Option<Timestamp>, is_dead: bool) -> Result<bool, Failure> {
        let chosen = self.run.as_ref().map_or(is_dead, |chosen| chosen == run);
        let why_not = match (chosen, expires) {
            (true, _) if self.dry_run => "would be removed".to_owned(),
            (true, _) => return Ok(true),
            (false, Some(expires)) => format!("kept: expires at {expires}"),
            (false, None) => "kept: it has no expiry".to_owned(),
        };
        print(&format!("run {run} in {what}: {why_not}\n"))?;
        Ok(false)
    }
}
