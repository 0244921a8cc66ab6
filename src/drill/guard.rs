//! The process that stops a node and starts it again, whatever happens to the run that started it.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, setsid};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// How long the command that stops the node may take. After that it is killed, so that it cannot stop the node later.
pub const STOP: Duration = Duration::from_secs(60);
/// How long the node stays stopped at most, if nothing asks to start it.
const LONGEST: Duration = Duration::from_secs(180);

/// Stops the node, and starts it when the standard input ends. The result of each command is a line on the standard output.
pub async fn guard(stop: &str, start: &str) -> Result<(), String> {
    // Signals from the terminal or from a shutdown must not leave the node stopped.
    let _ = setsid();
    let _deaf = [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    report(&stopped(stop).await);
    let mut until_it_ends = Vec::new();
    let _ = timeout(LONGEST, tokio::io::stdin().read_to_end(&mut until_it_ends)).await;
    let started = ended(shell(start).status().await);
    report(&started);
    started.map_err(|why| format!("the node is still stopped ({why}): run this by hand: {start}"))
}

async fn stopped(command: &str) -> Result<(), String> {
    let mut child = shell(command).process_group(0).spawn().map_err(|e| e.to_string())?;
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    if let Ok(status) = timeout(STOP, child.wait()).await {
        return ended(status);
    }
    let _ = group.map(|group| kill_process_group(group, Signal::KILL));
    Err(format!("it did not end within {} s", STOP.as_secs()))
}

/// A command whose output cannot block it.
fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    shell
}

fn ended(status: std::io::Result<std::process::ExitStatus>) -> Result<(), String> {
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(e) => Err(e.to_string()),
    }
}

fn report(ended: &Result<(), String>) {
    let mut line = serde_json::to_vec(ended).unwrap_or_default();
    line.push(b'\n');
    // A closed standard output is not a reason to end.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(&line).and_then(|()| out.flush());
}
