//! What a run was given.

use super::RunId;
use crate::drill::NodePower;

/// What a run was given by its flags.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The run's id, which marks everything that it creates.
    pub run: RunId,
    /// The image of the probe pods.
    pub image: String,
    /// An existing namespace to use; without one, the run makes its own.
    pub namespace: Option<String>,
    /// How a node is stopped and started again, in a run that may do so.
    pub power: Option<NodePower>,
}

impl Inputs {
    /// The namespace in which probes run.
    pub fn place(&self) -> String {
        self.namespace.clone().unwrap_or_else(|| self.run.name())
    }
}
