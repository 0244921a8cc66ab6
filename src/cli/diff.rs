//! `seaworthy diff`: what changed between two runs.

use std::fmt::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::snapshot::Snapshot;
use super::{Failure, print_json, say};
use crate::check::subject::listed;
use crate::history::Diff;
use crate::history::diff::Entry;
use crate::report::markdown::escape::{code_block as fenced, text as escaped};
use crate::report::text::page::{INDENT, Page};
use crate::report::text::style::{FAINT, PLAIN, STRONG};
use crate::report::{Colour, Console, shortened};
use crate::run::ExitCode;

/// Show what changed between two runs
///
/// Each run is a recording, or what --events or --json wrote. Of a check that one of the runs skipped, could not complete, or did
/// not select, nothing is reported as gone. The exit code is 1 if the new run has a finding that the old one had not or has it
/// worse, 3 if a run was cut off or no check can be compared, and otherwise 0.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seaworthy diff yesterday.jsonl today.jsonl
  seaworthy diff before-upgrade.json.gz after-upgrade.json.gz --output markdown
  seaworthy diff staging.json production.json --force")]
pub struct DiffArgs {
    /// The earlier run
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The later run
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// The output format
    #[arg(short, long, value_enum, default_value_t = DiffFormat::Text)]
    output: DiffFormat,
    /// Compare runs of different clusters
    #[arg(long)]
    force: bool,
    /// Also list what is unchanged
    #[arg(short, long)]
    verbose: bool,
    /// When to use colour
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    color: Colour,
}

/// How a difference is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiffFormat {
    /// For people
    Text,
    /// As JSON
    Json,
    /// As Markdown
    Markdown,
}

/// A difference, with the runs that it is between.
#[derive(Serialize)]
struct Between<'a> {
    schema_version: u8,
    old: Side<'a>,
    new: Side<'a>,
    #[serde(flatten)]
    diff: &'a Diff,
}

#[derive(Serialize)]
struct Side<'a> {
    cluster: &'a crate::cluster::ClusterSummary,
    profile: &'a str,
    at: jiff::Timestamp,
    complete: bool,
}

impl<'a> From<&'a Snapshot> for Side<'a> {
    fn from(run: &'a Snapshot) -> Self {
        Self { cluster: &run.cluster, profile: &run.profile, at: run.at, complete: run.complete }
    }
}

/// Compares two runs.
pub async fn run(args: DiffArgs) -> Result<ExitCode, Failure> {
    let (old, new) = (Snapshot::read(&args.old).await?, Snapshot::read(&args.new).await?);
    if let Some(why) = old.differs_from(&new.cluster).filter(|_| !args.force) {
        return Err(Failure::Usage(format!("{why}: add --force to compare them all the same")));
    }
    for cut in [&old, &new].into_iter().filter(|run| !run.complete) {
        say(&format!("{}: that run was cut off before its end", cut.path.display()));
    }
    let diff = Diff::of(&old.checks, &new.checks);
    match args.output {
        DiffFormat::Json => {
            print_json(&Between { schema_version: 1, old: (&old).into(), new: (&new).into(), diff: &diff })?;
        }
        DiffFormat::Text => {
            let mut console = Console::stdout(args.color);
            let text = text(&diff, args.verbose, console.width());
            console.write(&text)?;
        }
        DiffFormat::Markdown => Console::stdout(Colour::Never).write(&markdown(&diff))?,
    }
    let ids = |run: &Snapshot| run.checks.len();
    Ok(if diff.has_news() {
        ExitCode::Findings
    } else if !old.complete || !new.complete || diff.incomparable.len() >= ids(&old).max(ids(&new)) {
        ExitCode::Inconclusive
    } else {
        ExitCode::Seaworthy
    })
}

/// As Markdown: what is new first.
fn markdown(diff: &Diff) -> String {
    let mut text = format!("## {}\n\n", counts(diff));
    for (word, entries) in [("New", &diff.new), ("Changed", &diff.changed), ("Gone", &diff.gone)] {
        for Entry { check, subjects, severity, was, expected, seen, fix } in entries {
            let was = was.map(|was| format!(", was {was}")).unwrap_or_default();
            _ = writeln!(text, "### {word}: {check} ({severity}{was})\n\n**{}**\n", escaped(&listed(subjects)));
            _ = writeln!(text, "- expected: {}\n- seen: {}", escaped(expected), escaped(seen));
            if word != "Gone" {
                _ = writeln!(text, "- fix:\n\n{}", fenced(fix));
            }
            text.push('\n');
        }
    }
    for (why, checks) in reasons(diff) {
        _ = writeln!(text, "- incomparable, because {}: {}", escaped(why), checks.join(" "));
    }
    text
}

/// The reasons why checks are incomparable, with these.
fn reasons(diff: &Diff) -> Vec<(&str, Vec<&str>)> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for (check, why) in &diff.incomparable {
        match reasons.iter_mut().find(|(known, _)| known == why) {
            Some((_, checks)) => checks.push(check),
            None => reasons.push((why, vec![check])),
        }
    }
    reasons
}

fn counts(diff: &Diff) -> String {
    let Diff { new, gone, changed, unchanged, incomparable } = diff;
    format!(
        "{} new, {} with another severity, {} gone, {} unchanged; {} checks incomparable",
        new.len(),
        changed.len(),
        gone.len(),
        unchanged.len(),
        incomparable.len()
    )
}

/// For people: what is new first.
fn text(diff: &Diff, all: bool, width: usize) -> String {
    let mut page = Page::new(width, all);
    let lists = [("NEW", &diff.new), ("CHANGED", &diff.changed), ("GONE", &diff.gone)];
    let unchanged = [("UNCHANGED", &diff.unchanged)];
    for (word, entries) in lists.into_iter().chain(unchanged.into_iter().filter(|_| all)) {
        for entry in entries {
            let Entry { check, subjects, severity, was, expected, seen, fix } = entry;
            let severity = match was {
                Some(was) => format!("{severity} (was {was})"),
                None => severity.to_string(),
            };
            page.words(&[(STRONG, word), (STRONG, check), (PLAIN, &severity)], INDENT);
            page.paragraph(INDENT, STRONG, &listed(subjects));
            page.labelled("expected", expected);
            page.labelled("seen", seen);
            if word == "NEW" || word == "CHANGED" {
                page.labelled("fix", fix);
            }
            page.blank();
        }
    }
    for (why, checks) in reasons(diff) {
        let checks = shortened::items(&checks, " ", all);
        page.paragraph(0, FAINT, &format!("incomparable, because {why}: {checks}"));
    }
    page.paragraph(0, STRONG, &counts(diff));
    page.finish()
}
