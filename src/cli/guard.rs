//! `seaworthy guard`: stops a node and starts it again, for a drill. Internal.

use clap::Args;

use super::Failure;
use crate::drill::guard::guard;
use crate::run::ExitCode;

/// The commands for this node.
#[derive(Debug, Args)]
pub struct GuardArgs {
    /// The command that stops it
    #[arg(long)]
    stop: String,
    /// The command that starts it again
    #[arg(long)]
    start: String,
}

/// Runs them. A failure to start the node goes to the standard error, which may outlive the process that reads the output.
pub async fn run(args: GuardArgs) -> Result<ExitCode, Failure> {
    guard(&args.stop, &args.start).await.map(|()| ExitCode::Seaworthy).map_err(Failure::System)
}
