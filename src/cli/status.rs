//! `seaworthy status`: how the last run of a periodic audit ended.

use std::fmt::Write;

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::connection::{ConnectionArgs, namespace};
use super::{Failure, print, print_json};
use crate::install::NAME;
use crate::install::status::{self, LastRun, State, Status};
use crate::report::text::wrap::printable;
use crate::run::ExitCode;

/// Show how the last run of a periodic audit ended, when the next one begins, and where the results are
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seaworthy status
  seaworthy status --output json")]
pub struct StatusArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// The name of the installation
    #[arg(long, default_value = NAME)]
    name: String,
    /// Look in this namespace [default: in all of them]
    #[arg(short, long, value_name = "NAME", value_parser = namespace)]
    namespace: Option<String>,
    /// The output format
    #[arg(short, long, value_enum, default_value_t = StatusFormat::Text)]
    output: StatusFormat,
}

/// The format of the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatusFormat {
    /// For people
    Text,
    /// As JSON
    Json,
}

/// Shows the status.
pub async fn run(args: StatusArgs) -> Result<ExitCode, Failure> {
    let cluster = args.connection.connect().await?;
    let found = status::of(&cluster, &args.name, args.namespace.as_deref()).await;
    let found = found.map_err(|why| Failure::System(why.to_string()))?;
    if found.is_empty() {
        let (server, name) = (&cluster.summary().server, &args.name);
        return Err(Failure::Usage(format!(
            "{server}: there is no CronJob of an installation {name}: `seaworthy install --apply` makes one"
        )));
    }
    match args.output {
        StatusFormat::Json => print_json(&found)?,
        StatusFormat::Text => print(&found.iter().map(text).collect::<Vec<_>>().join("\n"))?,
    }
    Ok(ExitCode::Seaworthy)
}

/// One fact a line.
fn text(status: &Status) -> String {
    let Status { name, namespace, schedule, time_zone, suspended, next, image, last, claim } = status;
    let zone = time_zone.as_deref().unwrap_or("the time zone of the controller-manager");
    let next = match (suspended, next) {
        (true, _) => "suspended: no run begins".to_owned(),
        (false, Some(next)) => next.to_string(),
        (false, None) => "not known here".to_owned(),
    };
    let mut lines = vec![
        ("installation", format!("CronJob {namespace}/{name}")),
        ("image", image.clone()),
        ("schedule", format!("{schedule} ({zone})")),
        ("next run", next),
    ];
    match last {
        None => lines.push(("last run", "none yet".into())),
        Some(run) => {
            lines.push(("last run", in_words(run)));
            if let Some(verdict) = &run.verdict {
                lines.push(("verdict", verdict.clone()));
            }
            lines.push(("log", format!("kubectl logs -n {namespace} job/{}", run.job)));
        }
    }
    if let Some(claim) = claim {
        lines.push(("history", format!("PersistentVolumeClaim {namespace}/{claim}")));
    }
    let mut text = String::new();
    for (what, value) in lines {
        _ = writeln!(text, "{what:<14}{}", printable(&value.replace('\n', " ")));
    }
    text
}

fn in_words(LastRun { job, created, ended, state, reason, .. }: &LastRun) -> String {
    let time = |at: &Option<Timestamp>| at.map_or_else(|| "an unknown time".into(), |at| at.to_string());
    let reason = reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    match state {
        State::Running => format!("job {job} is running since {}{reason}", time(created)),
        State::Complete => format!("job {job} completed at {}", time(ended)),
        State::Failed => format!("job {job} failed at {}{reason}", time(ended)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fact_is_a_line() {
        let at = |text: &str| Some(text.parse().unwrap());
        let status = Status {
            name: "seaworthy".into(),
            namespace: "audit".into(),
            schedule: "17 2 * * *".into(),
            time_zone: Some("Etc/UTC".into()),
            suspended: false,
            next: at("2026-12-02T02:17:00Z"),
            image: "registry.example/seaworthy:1".into(),
            last: Some(LastRun {
                job: "seaworthy-1".into(),
                created: at("2026-12-01T02:17:00Z"),
                ended: at("2026-12-01T02:17:09Z"),
                state: State::Failed,
                reason: Some("exit code 137 (OOMKilled)\u{1b}[2J".into()),
                verdict: None,
            }),
            claim: Some("seaworthy".into()),
        };
        insta::assert_snapshot!(text(&status));
        let suspended = text(&Status { suspended: true, next: None, last: None, claim: None, ..status });
        assert!(suspended.contains("suspended: no run begins") && suspended.contains("none yet"), "{suspended}");
    }
}
