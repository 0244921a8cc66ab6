//! The suites on a live cluster, as trials: they exist only when `SEAWORTHY_KUBECONFIG` names a kubeconfig.
//!
//! `SEAWORTHY_PROFILE` chooses what they may do to the cluster; without it, they create nothing.

use std::env;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(kubeconfig) = env::var_os("SEAWORTHY_KUBECONFIG").filter(|path| !path.is_empty()) else {
        // To the standard error: test runners read the list of trials from the standard output.
        let _ = writeln!(
            std::io::stderr(),
            "no live trials: SEAWORTHY_KUBECONFIG names no kubeconfig (and SEAWORTHY_PROFILE a profile other than audit)"
        );
        return ExitCode::SUCCESS;
    };
    let profile = env::var_os("SEAWORTHY_PROFILE").unwrap_or_else(|| "audit".into());
    seaworthy::crypto_provider::install();
    let mut command: Vec<OsString> = ["seaworthy", "test", "--kubeconfig"].map(OsString::from).into();
    command.extend([kubeconfig, "--profile".into(), profile, "--".into()]);
    command.extend(env::args_os().skip(1));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a process can start threads").block_on(seaworthy::cli::main(command))
}
