//! The administrator's commands that stop a node and start it again.

use std::str::FromStr;

use crate::seen::{Seen, Unobserved};

/// The placeholder for the node's name in a command.
const NODE: &str = "{node}";

/// How a node is stopped and started again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePower {
    /// The command that stops it.
    pub stop: NodeCommand,
    /// The command that starts it again.
    pub start: NodeCommand,
}

/// A command for the shell, in which `{node}` stands for the name of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCommand(String);

/// A command without the placeholder.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} does not contain {{node}}, the placeholder for the name of the node")]
pub struct NamesNoNode(String);

impl FromStr for NodeCommand {
    type Err = NamesNoNode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains(NODE) { Ok(Self(text.into())) } else { Err(NamesNoNode(text.into())) }
    }
}

impl NodeCommand {
    /// The command for this node. The name is inserted unchanged, inside quotes or not. It must have only characters that
    /// Kubernetes allows, none of which is special to a shell.
    pub fn of(&self, node: &str) -> Seen<String> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        if node.starts_with(|first: char| first.is_ascii_alphanumeric()) && node.bytes().all(plain) {
            Ok(self.0.replace(NODE, node))
        } else {
            Err(Unobserved::invalid("the API server", format!("{node:?} is not the name of a node")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_for_one_node() {
        let command: NodeCommand = "ssh '{node}' poweroff # {node}".parse().unwrap();
        assert_eq!(command.of("n3.example-1.org").unwrap(), "ssh 'n3.example-1.org' poweroff # n3.example-1.org");
        for name in ["", "-n", "n3;reboot", "n 3", "$(reboot)", "N3", "n3\n"] {
            assert!(command.of(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_command_that_would_be_the_same_for_every_node_is_none() {
        assert!("poweroff".parse::<NodeCommand>().unwrap_err().to_string().contains("does not contain {node}"));
    }
}
