//! The flags of drills, which take down a part of the cluster.

use clap::{Args, ValueEnum};

use super::Failure;
use super::choice::ChoiceArgs;
use crate::drill::NodePower;
use crate::run::Profile;
use crate::seen::Access;

/// The only profile with which drills may be allowed.
const PROFILE: &str = "ci";

/// Accesses that no profile allows by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Allowed {
    /// Take a part of the cluster down for a while
    Disrupt,
}

/// Whether drills are allowed.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Drills")]
pub struct AllowArgs {
    /// Allow an access that no profile allows by itself; requires --profile ci
    #[arg(long, value_name = "ACCESS")]
    allow: Option<Allowed>,
}

/// Whether drills are allowed, and the commands for them.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Drills")]
pub struct DrillArgs {
    #[command(flatten)]
    allow: AllowArgs,
    /// The command that stops a node like a power failure, with {node} for its name; reports may show it: no secrets
    #[arg(long, value_name = "COMMAND")]
    stop_node: Option<String>,
    /// The command that starts the node again; this machine runs it in any case, and so must not be the node itself
    #[arg(long, value_name = "COMMAND")]
    start_node: Option<String>,
}

impl AllowArgs {
    /// Adds the allowed access to the profile. A profile from a file is never ci, whatever its name.
    pub fn widen(&self, choice: &ChoiceArgs, profile: &mut Profile) -> Result<(), Failure> {
        if self.allow.is_some() {
            if choice.profile != PROFILE {
                let chosen = &choice.profile;
                return Err(usage(format!("--allow disrupt requires --profile {PROFILE}, not {chosen}")));
            }
            profile.allow.insert(Access::Disrupt);
        }
        Ok(())
    }
}

impl DrillArgs {
    /// Adds the allowed access to the profile, and returns the commands for drills.
    pub fn resolve(self, choice: &ChoiceArgs, profile: &mut Profile) -> Result<Option<NodePower>, Failure> {
        self.allow.widen(choice, profile)?;
        match (self.allow.allow, self.stop_node, self.start_node) {
            (None, None, None) => Ok(None),
            (None, ..) => Err(usage("--stop-node and --start-node have no effect without --allow disrupt")),
            (Some(Allowed::Disrupt), Some(stop), Some(start)) => Ok(Some(NodePower {
                stop: stop.parse().map_err(|e| usage(format!("--stop-node: {e}")))?,
                start: start.parse().map_err(|e| usage(format!("--start-node: {e}")))?,
            })),
            (Some(Allowed::Disrupt), ..) => Err(usage(
                "--allow disrupt needs both --stop-node and --start-node, the commands that stop a node and start it again",
            )),
        }
    }
}

fn usage(what: impl Into<String>) -> Failure {
    Failure::Usage(what.into())
}
