//! seaworthy: is this Kubernetes cluster seaworthy?

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything makes a TLS configuration: one provider for all of it.
    seaworthy::crypto_provider::install();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a process can start threads");
    let code = runtime.block_on(seaworthy::cli::main(std::env::args_os()));
    // A name that is still being looked up cannot be stopped, and is not waited for.
    runtime.shutdown_background();
    code
}
