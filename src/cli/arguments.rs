//! The command line's shape.

use clap::{Parser, Subcommand};

use super::image::ImageArgs;
use super::probe::ProbeCommand;
use super::run::RunArgs;
use super::sweep::SweepArgs;
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
    /// Check a cluster and report what is wrong with it
    Run(Box<RunArgs>),
    /// What runs inside the probe pods
    #[command(hide = true)]
    Probe {
        /// What to do
        #[command(subcommand)]
        command: ProbeCommand,
    },
    /// Write or push the image of the probe pods, made of this very program
    Image(ImageArgs),
    /// Remove what dead runs have left in the cluster
    Sweep(SweepArgs),
}
