//! A stopped node and its guard, as the run sees them.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::guard::STOP;

/// How long the run waits for the command that starts the node.
pub const START: Duration = Duration::from_secs(120);

/// A stopped node, which is started again as soon as this value is dropped, for whatever reason.
pub struct Guarded {
    _child: Child,
    input: ChildStdin,
    results: Lines<BufReader<ChildStdout>>,
}

impl Guarded {
    /// Stops a node. `program` is this program, which the guard runs as another process.
    pub fn stop(program: &Path, stop: &str, start: &str) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(["guard".to_owned(), format!("--stop={stop}"), format!("--start={start}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("its input and output are not piped"));
        };
        Ok(Self { _child: child, input, results: BufReader::new(output).lines() })
    }

    /// The result of the command that stops the node, or why it is not known.
    pub async fn stopped(&mut self) -> Result<(), String> {
        next(&mut self.results, STOP + Duration::from_secs(5)).await
    }

    /// Starts the node. Returns the result of the command, or why it is not known.
    pub async fn start(mut self) -> Result<(), String> {
        drop(self.input);
        next(&mut self.results, START).await
    }
}

async fn next(results: &mut Lines<BufReader<ChildStdout>>, patience: Duration) -> Result<(), String> {
    match timeout(patience, results.next_line()).await {
        Ok(Ok(Some(line))) => serde_json::from_str(&line).unwrap_or_else(|e| Err(e.to_string())),
        Ok(Ok(None)) => Err("the guard process ended before it ran".into()),
        Ok(Err(e)) => Err(e.to_string()),
        Err(_) => Err(format!("it did not end within {} s", patience.as_secs())),
    }
}
