//! `seaworthy run`: check a cluster.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::Failure;
use super::acceptance::AcceptanceArgs;
use super::choice::ChoiceArgs;
use super::connection::{ConnectionArgs, duration};
use super::drill::DrillArgs;
use super::reporting::{check_files, consume, open, resolve, resolve_without_cluster};
use super::session::{ProbeArgs, Session};
use crate::event::{Cost, Events, RunStarted};
use crate::history::Acceptance;
use crate::push::PushArgs;
use crate::recording::{self, Header};
use crate::redaction::Redaction;
use crate::report::{History, OutputFile, Progress, Wanted, output_file};
use crate::run::{Conclusion, ExitCode, Plan, Run, engine};
use crate::seen::Access;

/// Check a cluster and report what is wrong with it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  Audit the current context without creating anything:
    seaworthy run
  After an install or a change, with probe pods:
    seaworthy run --profile post-install --junit report.xml
  In CI after kubeadm init, an upgrade or a node replacement:
    seaworthy run --profile ci --settle 3m --junit report.xml
  Only some checks:
    seaworthy run --select 'PK-02,DN-*' --context prod
  Stop a node of a test cluster:
    seaworthy run --profile ci --allow disrupt \\
      --stop-node 'virsh destroy {node}' \\
      --start-node 'virsh start {node}'
  Evaluate the bundled recording of a cluster with three planted faults:
    seaworthy run --example")]
pub struct RunArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    acceptance: AcceptanceArgs,
    #[command(flatten)]
    reports: Wanted,
    #[command(flatten)]
    push: PushArgs,
    #[command(flatten)]
    probes: ProbeArgs,
    #[command(flatten)]
    drill: DrillArgs,
    /// Record all facts in FILE for `seaworthy judge`; compressed if its name ends in .gz
    #[arg(long, value_name = "FILE", value_parser = output_file(), help_heading = "Reports")]
    record: Option<PathBuf>,
    /// Also keep the event stream of this run in DIR, as TIME.jsonl; it appears when the run has ended
    #[arg(long, value_name = "DIR", help_heading = "Reports")]
    history: Option<PathBuf>,
    /// How many runs --history keeps: older ones are removed
    #[arg(long, value_name = "N", default_value = "400", requires = "history", help_heading = "Reports")]
    history_limit: NonZeroUsize,
    /// End with exit code 0 instead of 1: the run worked, whatever it found
    #[arg(long, help_heading = "Checks")]
    exit_zero: bool,
    /// How long the whole run may take; with --allow disrupt, the default is 15m
    #[arg(long, value_name = "TIME", default_value = "5m", default_value_if("allow", "disrupt", "15m"), value_parser = duration, help_heading = "Cluster")]
    timeout: Duration,
    /// Wait up to TIME until nodes, leases, system pods and DNS have settled, then run in any case
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Cluster")]
    settle: Option<Duration>,
    /// Evaluate the bundled recording of a cluster with three planted faults; no cluster is contacted
    #[arg(long, help_heading = "Cluster", conflicts_with_all = ["kubeconfig", "context", "profile", "record", "namespace", "allow", "stop_node", "start_node", "settle", "history"])]
    example: bool,
}

/// Runs the checks and writes the reports.
pub async fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    let exit_zero = args.exit_zero;
    let exit_code = Box::pin(checked(args)).await?;
    Ok(if exit_zero { exit_code.without_findings() } else { exit_code })
}

async fn checked(args: RunArgs) -> Result<ExitCode, Failure> {
    if args.example {
        check_files(&args.reports, &args.push.files(), None)?;
        let pushes = resolve_without_cluster(&args.push)?;
        return super::judge::example(&args.choice.filter, &args.acceptance, &args.reports, pushes).await;
    }
    let (mut profile, checks) = args.choice.resolve()?;
    let power = args.drill.resolve(&args.choice, &mut profile)?;
    if args.settle.is_some() && !profile.allow.contains(&Access::Read) {
        let name = &profile.name;
        return Err(Failure::Usage(format!(
            "--settle reads nodes, leases and pods, and profile {name} does not allow read"
        )));
    }
    // The wait takes nothing from the time of the run.
    let timeout = args.timeout + args.settle.unwrap_or_default();
    let named = args.choice.filter.named();
    let plan = Plan::new(checks);
    let profile_file = Path::new(&args.choice.profile);
    let of_environment = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let of_environment: Vec<_> = std::env::split_paths(&of_environment).collect();
    let mut read = vec![("--kubeconfig", args.connection.kubeconfig.as_deref()), ("--profile", Some(profile_file))];
    read.extend(of_environment.iter().map(|path| ("KUBECONFIG", Some(path.as_path()))));
    read.extend(args.acceptance.files());
    read.extend(args.push.files());
    check_files(&args.reports, &read, args.record.as_deref())?;
    let pushes = resolve(&args.push)?;
    let accepted = args.acceptance.read().await?;
    let record = args.record.map(|path| OutputFile::create(&path)).transpose()?;
    let mut reports = open(&args.reports, Progress::Shown)?;
    if let Some(folder) = &args.history {
        reports.add(History::open(folder, args.history_limit, Timestamp::now())?);
    }
    let session = Session::open(&args.connection, args.probes, profile, power, timeout).await;
    if let Some(patience) = args.settle {
        session.settle(patience).await;
    }
    let acceptance = accepted.of(&session.started(&plan).cluster)?;
    let pushes = pushes.of_cluster(session.cluster());
    let (events, receiver) = Events::channel();
    let reporting = tokio::spawn(consume(receiver, reports, pushes, session.redaction.clone()));
    let (recorded, exit_code) = conduct(&session, plan, (named, acceptance), record, events).await;
    let delivered = reporting.await.map_err(|e| Failure::System(format!("reporting failed: {e}")))??;
    recorded?;
    Ok(delivered.exit_code(exit_code))
}

/// Runs the plan, records the facts, and cleans up beside that. All of it goes to `events`.
pub(super) async fn conduct(
    session: &Session,
    plan: Plan,
    (named, acceptance): (BTreeSet<&'static str>, Acceptance),
    record: Option<OutputFile>,
    events: Events,
) -> (Result<(), Failure>, ExitCode) {
    let started = session.started(&plan);
    let header = started.clone();
    let run = Run { plan, source: session.source(), gate: started.gate, named, started, acceptance };
    let running = async {
        let Conclusion { facts, cost, exit_code, .. } = engine::run(run, events.clone()).await;
        let recorded = match record {
            // An older file must not pass for a recording of this run.
            Some(file) if !session.has_begun() => file.discard().map_err(Failure::from),
            Some(file) => write_recording(file, &header, cost, &facts, &session.redaction),
            None => Ok(()),
        };
        (recorded, exit_code)
    };
    let (done, cleaned_up) = tokio::join!(running, session.clean_up());
    for event in cleaned_up {
        events.send(event);
    }
    done
}

fn write_recording(
    mut file: OutputFile,
    started: &RunStarted,
    cost: Cost,
    facts: &crate::fact::Facts,
    redaction: &Redaction,
) -> Result<(), Failure> {
    let header = Header {
        at: started.at,
        cluster: started.cluster.clone(),
        profile: started.profile.clone(),
        gate: started.gate,
        checks: started.checks.iter().map(|check| check.id.clone()).collect(),
        cost,
    };
    let compressed = file.is_named(".gz");
    file.write(|mut to| recording::write(&header, facts, redaction, &mut to, compressed))?;
    Ok(file.publish()?)
}
