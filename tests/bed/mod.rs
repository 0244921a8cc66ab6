//! The program that makes real clusters, as `SEAWORTHY_BED` names it: `up`, `down`, `kubeconfig`, `exec`, `kubectl`.

use std::env;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use libtest_mimic::Failed;

/// The program that makes clusters, one of which is up.
#[derive(Clone)]
pub(crate) struct Bed {
    /// The program.
    pub(crate) program: PathBuf,
}

impl Bed {
    /// The one that the environment names.
    pub(crate) fn named() -> Option<Self> {
        let program = env::var_os("SEAWORTHY_BED").filter(|path| !path.is_empty())?;
        Some(Self { program: program.into() })
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> Result<String, Failed> {
        Ok(output(Command::new(&self.program).arg("kubeconfig"))?.trim().to_owned())
    }

    /// Runs kubectl as the administrator.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String, Failed> {
        output(Command::new(&self.program).arg("kubectl").args(arguments))
    }

    /// Makes these objects.
    pub(crate) fn apply(&self, manifests: &str) -> Result<(), Failed> {
        let mut command = Command::new(&self.program);
        command
            .args(["kubectl", "apply", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        child.stdin.take().ok_or("its input is piped")?.write_all(manifests.as_bytes())?;
        succeeded(&command, child.wait_with_output()?).map(drop)
    }
}

/// The program under test: the one that the environment names, whose image the nodes have, or the one just built.
pub(crate) fn seaworthy() -> OsString {
    env::var_os("SEAWORTHY_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_seaworthy").into())
}

/// What a command printed, when it succeeded.
pub(crate) fn output(command: &mut Command) -> Result<String, Failed> {
    let done = command.output()?;
    succeeded(command, done)
}

fn succeeded(command: &Command, done: std::process::Output) -> Result<String, Failed> {
    if !done.status.success() {
        let said = [done.stdout, done.stderr].concat();
        return Err(format!("{command:?}: {}\n{}", done.status, String::from_utf8_lossy(&said)).into());
    }
    Ok(String::from_utf8(done.stdout)?)
}
