//! `seaworthy run`: check a cluster.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::sync::mpsc;

use super::Failure;
use super::choice::ChoiceArgs;
use super::connection::{ConnectionArgs, duration};
use super::drill::DrillArgs;
use super::reporting::ReportArgs;
use super::session::{ProbeArgs, Session};
use crate::event::{Event, Events};
use crate::fact::recording::{Header, Recording};
use crate::redaction::Redaction;
use crate::report::{OutputFile, Progress, Reports};
use crate::run::{Conclusion, ExitCode, Plan, Run, engine};

/// Check a cluster and report what is wrong with it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seaworthy run                                     audit the current context; creates nothing
  seaworthy run --profile post-install --junit report.xml
  seaworthy run --select PK-02,DN-* --context prod
  seaworthy run --profile ci --allow disrupt --stop-node 'virsh destroy {node}' --start-node 'virsh start {node}'
  seaworthy run --example                           judge a recording of a real cluster that comes with the program")]
pub struct RunArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    reports: ReportArgs,
    #[command(flatten)]
    probes: ProbeArgs,
    #[command(flatten)]
    drill: DrillArgs,
    /// Write all facts to FILE, to be judged later by `seaworthy judge`; compressed when it ends in .gz
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// How long the whole run may take; with --allow disrupt 15m, unless it is said
    #[arg(long, value_name = "TIME", default_value = "5m", default_value_if("allow", "disrupt", "15m"), value_parser = duration)]
    timeout: Duration,
    /// Judge the recording of a real cluster that comes with the program, and ask no cluster
    #[arg(long, conflicts_with_all = ["kubeconfig", "context", "profile", "record", "namespace", "allow", "stop_node", "start_node"])]
    example: bool,
}

/// Runs the checks and writes the reports.
pub async fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    if args.example {
        return super::judge::example(&args.choice.filter, &args.reports).await;
    }
    let (mut profile, checks) = args.choice.resolve()?;
    let node_power = args.drill.resolve(&args.choice, &mut profile)?;
    let plan = Plan::new(checks);
    let record = args.record.map(|path| OutputFile::create(&path)).transpose()?;
    let reports = Reports::open(&args.reports.wanted(Progress::Shown))?;
    let session = Session::open(&args.connection, args.probes, profile, node_power, args.timeout).await?;
    let started = session.started(&plan);
    let header = Header {
        at: started.at,
        cluster: started.cluster.clone(),
        profile: started.profile.clone(),
        gate: started.gate,
        checks: started.checks.iter().map(|check| check.id.clone()).collect(),
    };
    let (events, receiver) = Events::channel();
    let reporting = tokio::spawn(consume(receiver, reports, session.redaction.clone()));
    let run = Run { plan, source: session.source(), gate: started.gate, started };
    let Conclusion { facts, exit_code, .. } = engine::run(run, events.clone()).await;
    let recorded = match record {
        Some(file) => write_recording(file, header, &facts, &session.redaction),
        None => Ok(()),
    };
    session.clean_up(&events).await;
    drop(events);
    reporting.await.map_err(|e| Failure::System(format!("reporting failed: {e}")))??;
    recorded?;
    Ok(exit_code)
}

fn write_recording(
    mut file: OutputFile,
    header: Header,
    facts: &crate::fact::Facts,
    redaction: &Redaction,
) -> Result<(), Failure> {
    let recording = Recording::new(header, facts, redaction)
        .map_err(|e| Failure::System(format!("a fact cannot be recorded: {e}")))?;
    let compressed = file.is_named(".gz");
    file.write(|mut to| recording.write(&mut to, compressed))?;
    Ok(file.publish()?)
}

/// Feeds every report with the events, from which secrets are removed first.
pub(super) async fn consume(
    mut events: mpsc::UnboundedReceiver<Event>,
    mut reports: Reports,
    redaction: Redaction,
) -> Result<(), Failure> {
    while let Some(event) = events.recv().await {
        reports.event(&event.redacted(&redaction));
    }
    Ok(reports.finish()?)
}
