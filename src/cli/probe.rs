//! `seaworthy probe`: runs inside the probe pods. Internal.

use std::env;

use clap::Subcommand;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Failure;
use crate::probe::ask::topics::ask;
use crate::probe::ask::watch::{self, WatchQuestions};
use crate::probe::host::{self, HostQuestions};
use crate::probe::message::MESSAGE_LIMIT;
use crate::probe::{Questions, message, question, serve};
use crate::run::ExitCode;

/// The file in which a container leaves its termination message for the kubelet.
const TERMINATION_MESSAGE: &str = "/dev/termination-log";

/// The programs of probe pods.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ProbeCommand {
    /// Answer the other probes until the pod ends
    Serve,
    /// Ask all questions at once and write the answers to the termination message
    Ask,
    /// Ask the same questions repeatedly, and print each answer to the standard output
    Watch,
    /// Inspect the node and write what was seen to the termination message
    Host,
}

/// Runs it.
pub async fn run(command: ProbeCommand) -> Result<ExitCode, Failure> {
    let done = match command {
        ProbeCommand::Serve => serve::serve().await.map_err(|e| Failure::System(format!("cannot serve: {e}"))),
        ProbeCommand::Ask => {
            let room = |questions: &Questions| questions.batch.message_limit;
            answer(room, async |questions| ask(&questions).await).await
        }
        ProbeCommand::Watch => {
            let questions: WatchQuestions = questions()?;
            watch::watch(&questions).await.map_err(|e| Failure::System(format!("cannot watch: {e}")))
        }
        ProbeCommand::Host => {
            answer(|_| MESSAGE_LIMIT, async |questions: HostQuestions| host::ask(&questions).await).await
        }
    };
    if let Err(failure) = &done {
        // The run sees nothing else of this pod.
        let _ = std::fs::write(TERMINATION_MESSAGE, failure.to_string());
    }
    done.map(|()| ExitCode::Seaworthy)
}

async fn answer<Q: DeserializeOwned, A: Serialize>(
    room: impl FnOnce(&Q) -> usize,
    ask: impl AsyncFnOnce(Q) -> A,
) -> Result<(), Failure> {
    let system = |e: &dyn std::fmt::Display| Failure::System(e.to_string());
    let questions: Q = questions()?;
    let room = room(&questions);
    let message = message::pack_within(&ask(questions).await, room).map_err(|e| system(&e))?;
    std::fs::write(TERMINATION_MESSAGE, message).map_err(|e| system(&format!("{TERMINATION_MESSAGE}: {e}")))
}

fn questions<Q: DeserializeOwned>() -> Result<Q, Failure> {
    let unusable = |e: &dyn std::fmt::Display| Failure::System(format!("{}: {e}", question::VARIABLE));
    let text = env::var(question::VARIABLE).map_err(|e| unusable(&e))?;
    serde_json::from_str(&text).map_err(|e| unusable(&e))
}
