//! A stopped node and its guard, as seen by the one that asked for it.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::guard::STOP;

/// How long the command may take that starts the node, before one goes on without its end.
pub const START: Duration = Duration::from_secs(120);

/// A node that is stopped, and started again as soon as this value goes, however it goes.
pub struct Guarded {
    _child: Child,
    input: ChildStdin,
    told: Lines<BufReader<ChildStdout>>,
}

impl Guarded {
    /// Has a node stopped. `program` is this program, of which the guard is another process.
    pub fn stop(program: &Path, stop: &str, start: &str) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(["guard".to_owned(), format!("--stop={stop}"), format!("--start={start}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("its input and output are not piped"));
        };
        Ok(Self { _child: child, input, told: BufReader::new(output).lines() })
    }

    /// How the command ended that stops the node, or why that is not known.
    pub async fn stopped(&mut self) -> Result<(), String> {
        next(&mut self.told, STOP + Duration::from_secs(5)).await
    }

    /// Has the node started, and tells how the command ended that does, or why that is not known.
    pub async fn start(mut self) -> Result<(), String> {
        drop(self.input);
        next(&mut self.told, START).await
    }
}

async fn next(told: &mut Lines<BufReader<ChildStdout>>, patience: Duration) -> Result<(), String> {
    match timeout(patience, told.next_line()).await {
        Ok(Ok(Some(line))) => serde_json::from_str(&line).unwrap_or_else(|e| Err(e.to_string())),
        Ok(Ok(None)) => Err("the process that was to run it has ended".into()),
        Ok(Err(e)) => Err(e.to_string()),
        Err(_) => Err(format!("it did not end within {} s", patience.as_secs())),
    }
}
