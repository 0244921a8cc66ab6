//! `seaworthy completion`: shell completion.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::arguments::Arguments;
use super::{Failure, print};
use crate::run::ExitCode;

/// Print the completion script of a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  source <(seaworthy completion bash)
  seaworthy completion zsh > \"${fpath[1]}/_seaworthy\"
  seaworthy completion fish > ~/.config/fish/completions/seaworthy.fish")]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the completion script.
pub fn run(args: CompletionArgs) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "seaworthy", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::Seaworthy)
}
