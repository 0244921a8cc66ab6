//! The flags of drills, which take a part of the cluster down.

use clap::{Args, ValueEnum};

use super::Failure;
use super::choice::ChoiceArgs;
use crate::drill::NodePower;
use crate::run::Profile;
use crate::seen::Access;

/// The only profile beside which drills may be allowed.
const PROFILE: &str = "ci";

/// What no profile allows by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Allowed {
    /// Take a part of the cluster down for a while
    Disrupt,
}

/// Whether drills are allowed.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Drills")]
pub struct AllowArgs {
    /// Allow what no profile allows by itself, beside --profile ci
    #[arg(long, value_name = "ACCESS")]
    allow: Option<Allowed>,
}

/// What drills are allowed, and how they are done.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Drills")]
pub struct DrillArgs {
    #[command(flatten)]
    allow: AllowArgs,
    /// The command that stops a node as by a power cut, with {node} for its name; it may be seen in reports, so no secrets
    #[arg(long, value_name = "COMMAND")]
    stop_node: Option<String>,
    /// The command that starts it again; it is run whatever happens, from this machine, which must not be the node's own
    #[arg(long, value_name = "COMMAND")]
    start_node: Option<String>,
}

impl AllowArgs {
    /// Adds to the profile what is allowed besides. A profile of a file is not ci, whatever its name.
    pub fn widen(&self, choice: &ChoiceArgs, profile: &mut Profile) -> Result<(), Failure> {
        if self.allow.is_some() {
            if choice.profile != PROFILE {
                let chosen = &choice.profile;
                return Err(usage(format!("--allow disrupt: only beside --profile {PROFILE}, not {chosen}")));
            }
            profile.allow.insert(Access::Disrupt);
        }
        Ok(())
    }
}

impl DrillArgs {
    /// Adds to the profile what is allowed besides, and says how it is done.
    pub fn resolve(self, choice: &ChoiceArgs, profile: &mut Profile) -> Result<Option<NodePower>, Failure> {
        self.allow.widen(choice, profile)?;
        match (self.allow.allow, self.stop_node, self.start_node) {
            (None, None, None) => Ok(None),
            (None, ..) => Err(usage("--stop-node and --start-node are of no use without --allow disrupt")),
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
