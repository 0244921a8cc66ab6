//! `seaworthy uninstall`: removes what `seaworthy install` has made.

use std::io::{self, BufRead, IsTerminal};

use clap::Args;

use super::connection::ConnectionArgs;
use super::{Failure, print};
use crate::install::{self, INSTALLATION, NAME};
use crate::run::ExitCode;
use crate::seen::Unobserved;

/// Remove a periodic audit with everything that `seaworthy install` has made
///
/// A run that is going on is stopped, and cleans up first. What killed runs have left is removed by `seaworthy sweep`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seaworthy uninstall --dry-run        only list what would be removed
  seaworthy uninstall                  list it, ask, and remove it
  seaworthy uninstall --yes            do not ask
  seaworthy uninstall --keep-results   keep the volume and its namespace")]
pub struct UninstallArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// The name of the installation
    #[arg(long, default_value = NAME)]
    name: String,
    /// Only print what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long, conflicts_with = "dry_run")]
    yes: bool,
    /// Keep the volume of results, and the namespace in which it is
    #[arg(long)]
    keep_results: bool,
}

/// Removes an installation.
pub async fn run(args: UninstallArgs) -> Result<ExitCode, Failure> {
    let cluster = args.connection.connect().await?;
    let server = cluster.summary().server.clone();
    let refused = |why: Unobserved| Failure::System(why.to_string());
    let mut found = install::find(&cluster, &args.name).await.map_err(refused)?;
    if let Some(of_helm) = found.iter().find(|installed| installed.is_of_helm()) {
        let (what, name) = (of_helm.title(), &args.name);
        return Err(Failure::Usage(format!("{what} is managed by Helm: run helm uninstall {name} instead")));
    }
    if args.keep_results {
        found.retain(|installed| !installed.holds_results());
    }
    if found.is_empty() {
        print(&format!("{server}: nothing has the label {INSTALLATION}={}\n", args.name))?;
        return Ok(ExitCode::Seaworthy);
    }
    if args.dry_run || !args.yes {
        let list: Vec<String> = found.iter().map(|installed| format!("  {}", installed.title())).collect();
        let what = if args.dry_run { "these would be removed" } else { "these will be removed" };
        print(&format!("{server}: {what}:\n{}\n", list.join("\n")))?;
    }
    if args.dry_run {
        return Ok(ExitCode::Seaworthy);
    }
    if !args.yes && !is_confirmed()? {
        print("nothing was removed\n")?;
        return Ok(ExitCode::Seaworthy);
    }
    let mut left = 0;
    for installed in &found {
        let became = match install::remove(&cluster, installed, &args.name).await {
            Ok(()) => "removed".to_owned(),
            Err(why) => {
                left += 1;
                format!("not removed: {why}")
            }
        };
        print(&format!("{}: {became}\n", installed.title()))?;
    }
    Ok(if left == 0 { ExitCode::Seaworthy } else { ExitCode::Inconclusive })
}

/// Asks on a terminal. A program must state that it means it.
fn is_confirmed() -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage("the standard input is not a terminal: add --yes to remove this".into()));
    }
    print("remove all of it? [y/N] ")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(|why| Failure::System(why.to_string()))?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}
