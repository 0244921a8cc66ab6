//! `seaworthy accept`: write waivers for what a run found.

use std::path::PathBuf;

use clap::Args;
use globset::{Glob, GlobMatcher};
use jiff::civil::Date;
use jiff::{Span, ToSpan};

use super::acceptance::today;
use super::snapshot::Snapshot;
use super::{Failure, say};
use crate::history::{Terms, Waivers, append, entries};
use crate::report::{OutputFile, output_file};
use crate::run::ExitCode;

/// Write waivers for what a run found
///
/// Adds an entry to a file of waivers for each chosen finding and each subject. What the file has stays as it is. `seaworthy run
/// --waivers FILE` then reports these findings as waived until the given day.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seaworthy run --events run.jsonl
  seaworthy accept --from run.jsonl --check PK-08 --reason 'kubelets sign for themselves' \\
    --owner platform --expires 180d --to waivers.yaml
  seaworthy accept --from run.jsonl --subject 'Node n3' --reason 'in repair' --owner ops \\
    --expires 2027-01-31 --fingerprint --to waivers.yaml
  seaworthy run --waivers waivers.yaml")]
pub struct AcceptArgs {
    /// The run: a recording, or what --events or --json wrote
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Only findings of these checks: an id or a glob; repeatable, or separated by commas
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', value_parser = glob)]
    check: Vec<GlobMatcher>,
    /// Only findings about this, as reports name it: a glob such as 'Node n*'
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    subject: Option<GlobMatcher>,
    /// Why they are accepted
    #[arg(long, value_name = "TEXT", value_parser = filled)]
    reason: String,
    /// Who answers for that
    #[arg(long, value_name = "NAME", value_parser = filled)]
    owner: String,
    /// The last day, as 2027-03-31 or 90d; a year from now at most
    #[arg(long, value_name = "DAY", value_parser = day)]
    expires: Date,
    /// Accept only what was seen: if something else is seen of the same subject, it is a new finding
    #[arg(long)]
    fingerprint: bool,
    /// The file of waivers, which is created if it does not exist
    #[arg(long, value_name = "FILE", default_value = "waivers.yaml", value_parser = output_file())]
    to: PathBuf,
}

/// Adds the waivers to the file.
pub async fn run(args: AcceptArgs) -> Result<ExitCode, Failure> {
    let AcceptArgs { from, check, subject, reason, owner, expires, fingerprint, to } = args;
    let run = Snapshot::read(&from).await?;
    let before = match std::fs::read_to_string(&to) {
        Ok(text) => text,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(why) => return Err(Failure::Usage(format!("{}: cannot read the waivers: {why}", to.display()))),
    };
    let known = if before.trim().is_empty() { Waivers::default() } else { Waivers::parse(&before, &to, today())? };
    let chosen = (!check.is_empty()).then_some(check.as_slice());
    let refused = |why: &dyn std::fmt::Display| Failure::Usage(format!("{}: {why}", from.display()));
    let entries = entries(&run.checks, chosen, subject.as_ref()).map_err(|why| refused(&why))?;
    let terms = Terms { reason, owner, expires, only_as_seen: fingerprint };
    let (text, number) =
        append(&before, &known, &entries, &terms).map_err(|why| Failure::Usage(format!("{}: {why}", to.display())))?;
    // What is written can be read, whatever the file was.
    Waivers::parse(&text, &to, today())?;
    let mut file = OutputFile::create(&to)?;
    file.write(|to| to.write_all(text.as_bytes()))?;
    file.publish()?;
    let waivers = if number == 1 { "1 waiver".into() } else { format!("{number} waivers") };
    say(&format!("{}: {waivers} added, until {expires}", to.display()));
    Ok(ExitCode::Seaworthy)
}

fn glob(text: &str) -> Result<GlobMatcher, String> {
    Glob::new(text).map(|glob| glob.compile_matcher()).map_err(|why| why.kind().to_string())
}

fn filled(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("it is empty") } else { Ok(text.to_owned()) }
}

fn day(text: &str) -> Result<Date, String> {
    let wrong = || "write a day as 2027-03-31, or a number of days as 90d".to_owned();
    let span: Option<Span> = text.strip_suffix('d').and_then(|days| days.parse::<i32>().ok()).map(ToSpan::days);
    let day = match span {
        Some(span) => today().checked_add(span).map_err(|_| wrong())?,
        None => text.parse().map_err(|_| wrong())?,
    };
    let last = today().saturating_add(1.year());
    match day {
        day if day < today() => Err(format!("{day} has passed")),
        day if day > last => Err(format!("a waiver may last until {last} at most")),
        day => Ok(day),
    }
}
