//! `seaworthy list`: the checks.

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::choice::{Suggested, chosen, patterns, profiles};
use super::table::{table, width};
use super::{Failure, print, print_json};
use crate::check::{Check, Severity};
use crate::report::{Colour, Console};
use crate::run::{ExitCode, Plan, Profile, Selection};
use crate::seen::Access;

/// List the checks
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seaworthy list
  seaworthy list --profile audit
  seaworthy list 'pki,DN-*' --output wide
  seaworthy list --output json")]
pub struct ListArgs {
    /// List only these checks: an id, a glob or a suite; repeatable, or separated by commas
    #[arg(value_name = "PATTERN", value_parser = Suggested(patterns), hide_possible_values = true)]
    patterns: Vec<String>,
    /// The same
    #[arg(long, value_name = "PATTERN", value_parser = Suggested(patterns), hide_possible_values = true)]
    select: Vec<String>,
    /// Leave out these checks
    #[arg(long, value_name = "PATTERN", value_parser = Suggested(patterns), hide_possible_values = true)]
    skip: Vec<String>,
    /// List the checks of a run with this profile, including those that it skips because it does not allow an access
    #[arg(long, value_name = "PROFILE", value_parser = Suggested(profiles), hide_possible_values = true)]
    profile: Option<String>,
    /// The output format
    #[arg(short, long, value_enum, default_value_t = ListFormat::Text)]
    output: ListFormat,
}

/// The format of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// One line for each check, cut to the terminal's width
    Text,
    /// With the facts that each check needs, and not cut
    Wide,
    /// As JSON
    Json,
}

/// A listed check.
#[derive(Debug, Serialize)]
struct Listed {
    id: &'static str,
    name: &'static str,
    suite: &'static str,
    severity: Severity,
    access: Vec<Access>,
    facts: Vec<&'static str>,
    title: String,
}

impl Listed {
    fn new(check: &'static Check) -> Self {
        let plan = Plan::new(vec![check]);
        Self {
            id: check.id,
            name: check.name,
            suite: check.suite,
            severity: check.severity,
            access: plan.accesses().into_iter().collect(),
            facts: plan.facts.nodes().into_keys().collect(),
            title: check.documentation().title,
        }
    }

    fn row(&self) -> [String; 6] {
        let access: Vec<_> = self.access.iter().map(|access| access.name()).collect();
        let (id, name, suite) = (self.id.to_owned(), self.name.to_owned(), self.suite.to_owned());
        [id, name, suite, self.severity.to_string(), access.join(","), self.title.clone()]
    }
}

/// The least width of the title, for which other columns are left out.
const ROOM: usize = 36;

/// The table without the columns for which a terminal has no room: SUITE is left out first, then ACCESS, then NAME.
fn fitted(heading: [&str; 6], rows: &[[String; 6]], terminal: Option<usize>) -> String {
    fn only<'a, const N: usize>(
        columns: [usize; N],
        heading: [&'a str; 6],
        rows: &[[String; 6]],
    ) -> ([&'a str; N], Vec<[String; N]>) {
        (columns.map(|i| heading[i]), rows.iter().map(|row| columns.map(|i| row[i].clone())).collect())
    }
    let fits = |before: usize| terminal.is_none_or(|terminal| before + ROOM <= terminal);
    if fits(width(&heading[..5], rows.iter().map(|row| &row[..5]))) {
        return table(heading, rows, terminal);
    }
    let (some, cells) = only([0, 1, 3, 4, 5], heading, rows);
    if fits(width(&some[..4], cells.iter().map(|row| &row[..4]))) {
        return table(some, &cells, terminal);
    }
    let (some, cells) = only([0, 1, 3, 5], heading, rows);
    if fits(width(&some[..3], cells.iter().map(|row| &row[..3]))) {
        return table(some, &cells, terminal);
    }
    let (some, cells) = only([0, 3, 5], heading, rows);
    table(some, &cells, terminal)
}

/// Lists the checks.
pub fn run(args: ListArgs) -> Result<ExitCode, Failure> {
    let select = [args.patterns, args.select].concat();
    let checks = match &args.profile {
        Some(profile) => chosen(&Profile::load(profile)?, &select, &args.skip)?,
        None if select.is_empty() => Selection::new(&["*".into()], &args.skip)?.checks()?,
        None => Selection::new(&select, &args.skip)?.checks()?,
    };
    let checks: Vec<_> = checks.into_iter().map(Listed::new).collect();
    let heading = ["ID", "NAME", "SUITE", "SEVERITY", "ACCESS", "TITLE"];
    match args.output {
        ListFormat::Text => {
            let rows: Vec<_> = checks.iter().map(Listed::row).collect();
            print(&fitted(heading, &rows, Console::stdout(Colour::Never).terminal_width()))?;
        }
        ListFormat::Wide => {
            let rows: Vec<_> = checks
                .iter()
                .map(|check| {
                    let [id, name, suite, severity, access, title] = check.row();
                    [id, name, suite, severity, access, check.facts.join(","), title]
                })
                .collect();
            let [id, name, suite, severity, access, title] = heading;
            print(&table([id, name, suite, severity, access, "FACTS", title], &rows, None))?;
        }
        ListFormat::Json => print_json(&checks)?,
    }
    Ok(ExitCode::Seaworthy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_has_room_on_a_narrow_terminal() {
        let rows: Vec<_> = crate::suites::checks().map(|check| Listed::new(check).row()).collect();
        let heading = ["ID", "NAME", "SUITE", "SEVERITY", "ACCESS", "TITLE"];
        for terminal in [60, 80, 100, 120, 400] {
            let text = fitted(heading, &rows, Some(terminal));
            let first = text.lines().next().unwrap();
            assert!(first.find("TITLE").unwrap() + ROOM <= terminal, "{first}");
            assert!(first.starts_with("ID ") && first.contains("SEVERITY"), "{first}");
            assert_eq!(first.contains("SUITE"), terminal == 400, "{first}");
        }
        assert!(fitted(heading, &rows, None).lines().next().unwrap().contains("ACCESS"));
    }
}
