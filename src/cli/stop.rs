//! What stops a run before its end.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::Failure;
use crate::run::ExitCode;

/// Becomes true at the first Ctrl-C or SIGTERM: the run stops, cleans up and still reports. The second one ends the process.
pub(super) fn cancel_on_signal() -> Result<watch::Receiver<bool>, Failure> {
    let unable = |e| Failure::System(format!("cannot handle signals: {e}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unable)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(unable)?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            // The receivers only need the first one.
            let _ = stop.send(true);
        }
        #[expect(clippy::exit, reason = "the second signal ends the clean-up")]
        std::process::exit(ExitCode::Interrupted as i32);
    });
    Ok(stopped)
}
