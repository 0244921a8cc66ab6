//! The command line.

use clap::{Parser, Subcommand};

use super::accept::AcceptArgs;
use super::completion::CompletionArgs;
use super::diff::DiffArgs;
use super::explain::ExplainArgs;
use super::fleet::FleetArgs;
use super::guard::GuardArgs;
use super::image::ImageArgs;
use super::install::InstallArgs;
use super::judge::JudgeArgs;
use super::list::ListArgs;
use super::probe::ProbeCommand;
use super::rbac::RbacArgs;
use super::report::ReplayArgs;
use super::run::RunArgs;
use super::status::StatusArgs;
use super::sweep::SweepArgs;
use super::test::TestArgs;
use super::uninstall::UninstallArgs;
use crate::run::exit_code;

/// Is this Kubernetes cluster seaworthy? Checks what it does, not only how it is configured
#[derive(Debug, Parser)]
#[command(name = "seaworthy", version, max_term_width = 100, after_help = exit_code::HELP)]
pub struct Arguments {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write waivers for what a run found
    Accept(AcceptArgs),
    /// Print the completion script of a shell
    Completion(CompletionArgs),
    /// Show what changed between two runs
    Diff(DiffArgs),
    /// Explain checks: what they assert, why it matters, how to fix findings
    Explain(ExplainArgs),
    /// Check many clusters, and report on all of them together
    Fleet(Box<FleetArgs>),
    /// Stop a node and start it again, for a drill
    #[command(hide = true)]
    Guard(GuardArgs),
    /// Write or push the image of the probe pods, which contains only this program
    Image(ImageArgs),
    /// Print or create a periodic audit in the cluster
    Install(Box<InstallArgs>),
    /// Judge a recording, without a cluster
    Judge(JudgeArgs),
    /// List the checks
    List(ListArgs),
    /// Run inside a probe pod
    #[command(hide = true)]
    Probe {
        /// What to do
        #[command(subcommand)]
        command: ProbeCommand,
    },
    /// Print RBAC manifests with the least privilege that the selected checks need
    Rbac(RbacArgs),
    /// Make reports from an event stream
    Report(ReplayArgs),
    /// Check a cluster and report what is wrong with it
    Run(Box<RunArgs>),
    /// Show how the last run of a periodic audit ended
    Status(StatusArgs),
    /// Clean up after crashed or killed runs
    Sweep(SweepArgs),
    /// Run the checks as test cases, with the arguments and output of `cargo test`
    Test(Box<TestArgs>),
    /// Remove a periodic audit
    Uninstall(UninstallArgs),
}
