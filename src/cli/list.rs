//! `seaworthy list`: which checks there are.

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::choice::FilterArgs;
use super::table::table;
use super::{Failure, print, print_json};
use crate::check::{Check, Severity};
use crate::fact::Access;
use crate::report::{Colour, Console};
use crate::run::{ExitCode, Plan, Selection};

/// List the checks
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seaworthy list
  seaworthy list --select pki,'DN-*' --output wide
  seaworthy list --output json")]
pub struct ListArgs {
    /// List only these: an id, a glob or a suite; repeatable, or separated by commas
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    select: Vec<String>,
    /// Leave these out
    #[arg(long, value_name = "PATTERN")]
    skip: Vec<String>,
    /// How the list is written
    #[arg(short, long, value_enum, default_value_t = ListFormat::Text)]
    output: ListFormat,
}

/// How the list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// One line for each check, cut to the terminal's width
    Text,
    /// With the facts that each check takes, and not cut
    Wide,
    /// As JSON
    Json,
}

/// A check as it is listed.
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
            suite: check.suite(),
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

/// Lists the checks.
pub fn run(args: ListArgs) -> Result<ExitCode, Failure> {
    let filter = FilterArgs { select: args.select, skip: args.skip, fail_on: None };
    let checks: Vec<_> = Selection::new(&filter.select, &filter.skip)?.checks()?.into_iter().map(Listed::new).collect();
    let heading = ["ID", "NAME", "SUITE", "SEVERITY", "ACCESS", "TITLE"];
    match args.output {
        ListFormat::Text => {
            let rows: Vec<_> = checks.iter().map(Listed::row).collect();
            print(&table(heading, &rows, Console::stdout(Colour::Never).terminal_width()))?;
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
