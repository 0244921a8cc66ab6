//! The program as a plugin of kubectl, by the name under which it is started.
//!
//! kubectl runs `kubectl-seaworthy` for `kubectl seaworthy`, and asks `kubectl_complete-seaworthy` what a shell may offer. Both
//! are links to this program.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::{Arg, ArgAction, Command};

/// A shell should offer nothing else (`ShellCompDirectiveNoFileComp` of cobra).
const NOTHING_ELSE: &str = ":4";
/// A shell should offer files (`ShellCompDirectiveDefault`).
const FILES: &str = ":0";

/// Under which name the program was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Started {
    /// Under its own, or any other.
    Alone,
    /// By kubectl, as its plugin.
    Plugin,
    /// By kubectl, which asks what may come next.
    Completion,
}

impl Started {
    /// Under this name.
    pub(super) fn of(program: Option<&OsString>) -> Self {
        let name = program.and_then(|program| Path::new(program).file_stem()).and_then(OsStr::to_str);
        match name {
            Some("kubectl-seaworthy") => Self::Plugin,
            Some("kubectl_complete-seaworthy") => Self::Completion,
            _ => Self::Alone,
        }
    }
}

/// What may come next after these words, of which the last one has only begun: one on each line, and then how a shell should go
/// on.
pub(super) fn completions(root: &Command, words: &[String]) -> String {
    let (begun, before) = words.split_last().map_or(("", [].as_slice()), |(last, before)| (last.as_str(), before));
    let named = before.iter().find_map(|word| root.find_subcommand(word).filter(|command| !command.is_hide_set()));
    let Some(command) = named else {
        let commands = root.get_subcommands().filter(|command| !command.is_hide_set());
        return offered(commands.map(|command| command.get_name().to_owned()), begun, NOTHING_ELSE);
    };
    // --flag=VALUE is one word, and the shell replaces all of it.
    if let Some((flag, _)) = begun.split_once('=') {
        let values = flag_named(command, flag).map(values).unwrap_or_default();
        return offered(values.into_iter().map(|value| format!("{flag}={value}")), begun, NOTHING_ELSE);
    }
    let expects = before.last().and_then(|word| flag_named(command, word)).filter(|flag| takes_value(flag));
    if let Some(flag) = expects {
        return of_values(flag, begun);
    }
    if begun.starts_with('-') {
        let flags = command.get_arguments().filter(|flag| !flag.is_hide_set()).filter_map(Arg::get_long);
        return offered(flags.map(|flag| format!("--{flag}")), begun, NOTHING_ELSE);
    }
    match command.get_positionals().next() {
        Some(positional) => of_values(positional, begun),
        None => offered(std::iter::empty(), begun, NOTHING_ELSE),
    }
}

fn flag_named<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let long = word.strip_prefix("--");
    let short =
        word.strip_prefix('-').filter(|short| short.chars().count() == 1).and_then(|short| short.chars().next());
    command.get_arguments().find(|flag| {
        flag.get_long().is_some_and(|name| long == Some(name))
            || flag.get_short().is_some_and(|name| short == Some(name))
    })
}

fn takes_value(flag: &Arg) -> bool {
    matches!(flag.get_action(), ArgAction::Set | ArgAction::Append)
}

fn values(of: &Arg) -> Vec<String> {
    let possible = of.get_value_parser().possible_values();
    possible.into_iter().flatten().map(|value| value.get_name().to_owned()).collect()
}

/// The values that are known, or else files.
fn of_values(of: &Arg, begun: &str) -> String {
    let values = values(of);
    let then = if values.is_empty() { FILES } else { NOTHING_ELSE };
    offered(values.into_iter(), begun, then)
}

fn offered(words: impl Iterator<Item = String>, begun: &str, then: &str) -> String {
    let mut text: String = words.filter(|word| word.starts_with(begun)).map(|word| word + "\n").collect();
    text.push_str(then);
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::arguments::Arguments;
    use super::*;

    fn after(words: &[&str]) -> String {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let mut root = Arguments::command();
        root.build();
        completions(&root, &words)
    }

    #[test]
    fn commands_flags_and_values_are_offered() {
        assert_eq!(after(&["u"]), "uninstall\n:4\n");
        assert!(!after(&[""]).contains("guard") && after(&[]).contains("run\n"));
        assert_eq!(after(&["run", "--prof"]), "--profile\n:4\n");
        assert_eq!(after(&["run", "--profile", "post"]), "post-install\n:4\n");
        assert_eq!(after(&["run", "--profile=a"]), "--profile=audit\n:4\n");
        assert_eq!(after(&["run", "-o", "jun"]), "junit\n:4\n");
        assert!(after(&["explain", "PK-0"]).starts_with("PK-01\nPK-02\n"));
    }

    #[test]
    fn where_nothing_is_known_files_are_offered() {
        assert_eq!(after(&["run", "--kubeconfig", ""]), ":0\n");
        assert_eq!(after(&["judge", "a"]), ":0\n");
        assert_eq!(after(&["run", "--keep", "x"]), ":4\n");
    }

    #[test]
    fn the_name_decides() {
        let started = |name: &str| Started::of(Some(&name.into()));
        assert_eq!(started("/usr/bin/kubectl-seaworthy"), Started::Plugin);
        assert_eq!(started("kubectl_complete-seaworthy"), Started::Completion);
        assert_eq!((started("seaworthy"), Started::of(None)), (Started::Alone, Started::Alone));
    }
}
