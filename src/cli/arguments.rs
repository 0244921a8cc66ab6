//! The command line's shape.

use clap::{Parser, Subcommand};

use super::completion::CompletionArgs;
use super::explain::ExplainArgs;
use super::guard::GuardArgs;
use super::image::ImageArgs;
use super::judge::JudgeArgs;
use super::list::ListArgs;
use super::probe::ProbeCommand;
use super::rbac::RbacArgs;
use super::report::ReplayArgs;
use super::run::RunArgs;
use super::sweep::SweepArgs;
use super::test::TestArgs;
use crate::run::exit_code;

/// Is this Kubernetes cluster seaworthy? Judged by what it does, not by its settings.
#[derive(Debug, Parser)]
#[command(name = "seaworthy", version, max_term_width = 100, after_help = exit_code::HELP)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the completion script of a shell
    Completion(CompletionArgs),
    /// Explain checks: what they assert, why it matters, how a finding is mended
    Explain(ExplainArgs),
    /// What stops a node and starts it again, for a drill
    #[command(hide = true)]
    Guard(GuardArgs),
    /// Write or push the image of the probe pods, made of this very program
    Image(ImageArgs),
    /// Judge a recording, without a cluster
    Judge(JudgeArgs),
    /// List the checks
    List(ListArgs),
    /// What runs inside the probe pods
    #[command(hide = true)]
    Probe {
        /// What to do
        #[command(subcommand)]
        command: ProbeCommand,
    },
    /// Print the RBAC manifests that the selected checks need, and nothing more
    Rbac(RbacArgs),
    /// Make reports of an event stream
    Report(ReplayArgs),
    /// Check a cluster and report what is wrong with it
    Run(Box<RunArgs>),
    /// Remove what dead runs have left in the cluster
    Sweep(SweepArgs),
    /// Run the checks as test cases, with the arguments and the output of `cargo test`
    Test(Box<TestArgs>),
}
