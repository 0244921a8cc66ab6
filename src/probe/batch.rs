//! What all questions of a probe have in common.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::message::MESSAGE_LIMIT;
use crate::live::RunId;
use crate::milliseconds::milliseconds;

/// What all questions of a probe have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The run that asks.
    pub run: RunId,
    /// The addresses of the probe's own node.
    pub node_addresses: Vec<IpAddr>,
    /// How long names and addresses may take to become known to all nodes, in milliseconds.
    pub settle_ms: u64,
    /// How long one answer may take, in milliseconds.
    pub answer_ms: u64,
    /// By when the probe answers with what it has, in milliseconds since it began.
    pub deadline_ms: u64,
    /// How many bytes the answers may take, packed.
    pub message_limit: usize,
}

impl Batch {
    /// Questions whose answers take at most `answer`, by `deadline`.
    pub fn of(run: RunId, answer: Duration, deadline: Duration) -> Self {
        Self {
            run,
            node_addresses: Vec::new(),
            settle_ms: 0,
            answer_ms: milliseconds(answer),
            deadline_ms: milliseconds(deadline),
            message_limit: MESSAGE_LIMIT,
        }
    }
}
