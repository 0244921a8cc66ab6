//! `seaworthy sweep`: remove what dead runs have left.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::Failure;
use super::connection::ConnectionArgs;
use crate::join::removal;
use crate::probe::RunId;
use crate::probe::sweep::{find, remove};
use crate::run::ExitCode;

/// How long the removal of one run's leftovers may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Remove what dead runs have left: namespaces, bootstrap tokens, requests for certificates and other objects that carry
/// our labels and whose time is over.
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
    let now = Timestamp::now();
    let sweep = Sweep { run: args.run.map(|run| run.to_string()), dry_run: args.dry_run };
    let (mut removed, mut found) = (BTreeSet::new(), BTreeSet::new());
    for leftover in find(&cluster, args.namespace.as_deref()).await.map_err(refused)? {
        found.insert(leftover.run.clone());
        let what = format!("namespace {}", leftover.footprint.namespace);
        if sweep.decides(&leftover.run, &what, leftover.expires, leftover.is_expired(now))? {
            remove(&cluster, &leftover.run, &leftover.footprint, PATIENCE).await.map_err(refused)?;
            removed.insert(leftover.run.clone());
            say(&format!("run {} in {what}: removed", leftover.run))?;
        }
    }
    // A namespace that was named is somebody's who need not have any right outside of it.
    if args.namespace.is_none() {
        for stray in removal::find(&cluster).await.map_err(refused)? {
            found.insert(stray.run.clone());
            if sweep.decides(&stray.run, &stray.object.to_string(), stray.expires, stray.is_expired(now))? {
                removal::remove(&cluster, &stray.object).await.map_err(refused)?;
                removed.insert(stray.run.clone());
                say(&format!("run {} in {}: removed", stray.run, stray.object))?;
            }
        }
    }
    say(&format!("{} of {} runs removed", removed.len(), found.len()))?;
    Ok(ExitCode::Seaworthy)
}

/// What is to be removed.
struct Sweep {
    run: Option<String>,
    dry_run: bool,
}

impl Sweep {
    /// Whether something of a run is to be removed now; says so where it is not.
    fn decides(&self, run: &str, what: &str, expires: Option<Timestamp>, is_dead: bool) -> Result<bool, Failure> {
        let chosen = self.run.as_ref().map_or(is_dead, |chosen| chosen == run);
        let why_not = match (chosen, expires) {
            (true, _) if self.dry_run => "would be removed".to_owned(),
            (true, _) => return Ok(true),
            (false, Some(expires)) => format!("left alone, it may live until {expires}"),
            (false, None) => "left alone, it does not say until when it may live".to_owned(),
        };
        say(&format!("run {run} in {what}: {why_not}"))?;
        Ok(false)
    }
}

fn say(line: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{line}")
        .map_err(|e| Failure::System(format!("the standard output cannot be written: {e}")))
}
