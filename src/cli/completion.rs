//! `seaworthy completion`: shell completion.

use clap::{Args, Command, CommandFactory};
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
    // Internal commands are not offered.
    let all = Arguments::command();
    let offered = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let mut command = Command::new("seaworthy").version(env!("CARGO_PKG_VERSION")).subcommands(offered);
    clap_complete::generate(args.shell, &mut command, "seaworthy", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::Seaworthy)
}
