//! The command line: one file per command.

pub mod accept;
pub mod acceptance;
pub mod arguments;
pub mod choice;
pub mod completion;
pub mod connection;
pub mod diff;
pub mod drill;
pub mod explain;
pub mod failure;
pub mod fleet;
pub mod guard;
pub mod image;
pub mod install;
pub mod judge;
pub mod list;
mod plugin;
pub mod probe;
pub mod rbac;
pub mod report;
pub mod reporting;
pub mod run;
pub mod session;
mod settle;
pub mod snapshot;
pub mod status;
mod stop;
pub mod sweep;
pub mod table;
pub mod test;
pub mod uninstall;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use serde::Serialize;

use self::arguments::{Arguments, Command};
pub use self::failure::Failure;
use self::plugin::Started;
use crate::report::{Colour, Console, OutputError};

/// Runs the program: parses the command line, runs the command, and prints a failure in one line.
pub async fn main(command: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command: Vec<OsString> = command.into_iter().collect();
    let mut parser = Arguments::command();
    match Started::of(command.first()) {
        Started::Alone => {}
        Started::Plugin => parser = parser.bin_name("kubectl seaworthy"),
        Started::Completion => {
            parser.build();
            let words: Vec<_> = command[1..].iter().map(|word| word.to_string_lossy().into_owned()).collect();
            // kubectl that does not read the answer has no use for a failure.
            let _ = print(&plugin::completions(&parser, &words));
            return crate::run::ExitCode::Seaworthy.into();
        }
    }
    let parsed = parser.try_get_matches_from_mut(command);
    let parsed = parsed.and_then(|matches| Arguments::from_arg_matches(&matches).map_err(|e| e.format(&mut parser)));
    let arguments = match parsed {
        Ok(arguments) => arguments,
        // Help and version are not errors; clap prints them to the right stream.
        Err(e) => {
            let code = if e.use_stderr() { crate::run::ExitCode::Usage } else { crate::run::ExitCode::Seaworthy };
            let _ = e.print();
            return code.into();
        }
    };
    let done = match arguments.command {
        Command::Accept(args) => accept::run(args).await,
        Command::Completion(args) => completion::run(args),
        Command::Diff(args) => diff::run(args).await,
        Command::Explain(args) => explain::run(args),
        Command::Fleet(args) => Box::pin(fleet::run(*args)).await,
        Command::Guard(args) => guard::run(args).await,
        Command::Image(args) => image::run(args).await.map(|()| crate::run::ExitCode::Seaworthy).map_err(Failure::from),
        Command::Install(args) => Box::pin(install::run(*args)).await,
        Command::Judge(args) => judge::run(args).await,
        Command::List(args) => list::run(args),
        Command::Probe { command } => probe::run(command).await,
        Command::Rbac(args) => rbac::run(args),
        Command::Report(args) => report::run(args).await,
        Command::Run(args) => Box::pin(run::run(*args)).await,
        Command::Status(args) => Box::pin(status::run(args)).await,
        Command::Sweep(args) => Box::pin(sweep::run(args)).await,
        Command::Test(args) => Box::pin(test::run(*args)).await,
        Command::Uninstall(args) => Box::pin(uninstall::run(args)).await,
    };
    done.unwrap_or_else(Failure::report).into()
}

/// Prints a result.
fn print(text: &str) -> Result<(), OutputError> {
    Console::stdout(Colour::Never).write(text)
}

/// Prints a result as JSON.
fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::System(e.to_string()))?;
    Ok(print(&format!("{text}\n"))?)
}

/// Prints a message that is not a result.
fn say(text: &str) {
    // A closed standard error is not a reason to fail.
    let _ = writeln!(std::io::stderr(), "seaworthy: {text}");
}
