//! The command line: one file per command.

pub mod arguments;
pub mod connection;
pub mod failure;
pub mod image;
pub mod judge;
pub mod probe;
pub mod run;
pub mod sweep;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
pub use failure::Failure;

/// Runs the program: parses the command line, dispatches, and says in one line what went wrong.
pub async fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Help and version are not errors; clap prints them to the right stream.
        Err(e) => {
            let code = if e.use_stderr() { crate::run::ExitCode::Usage } else { crate::run::ExitCode::Seaworthy };
            return e.print().map_or(crate::run::ExitCode::Usage, |()| code).into();
        }
    };
    let done = match arguments.command {
        Command::Run(args) => run::run(*args).await,
        Command::Probe { command } => probe::run(command).await,
        Command::Sweep(args) => sweep::run(args).await,
        Command::Image(args) => image::run(args).await.map(|()| crate::run::ExitCode::Seaworthy).map_err(Failure::from),
    };
    done.unwrap_or_else(|failure| failure.report()).into()
}
