//! `seaworthy run`: check a cluster.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::{mpsc, watch};

use super::Failure;
use super::choice::ChoiceArgs;
use super::connection::{ConnectionArgs, duration};
use super::reporting::ReportArgs;
use crate::cluster::{Cluster, Settings, connect};
use crate::event::{Event, Events, Planned, RunStarted};
use crate::fact::Source;
use crate::fact::recording::{Header, Recording};
use crate::image::DEFAULT_PROBE_IMAGE;
use crate::probe::{ProbeSettings, RunId, sweep};
use crate::redaction::Redaction;
use crate::report::{OutputFile, Progress, Reports};
use crate::run::{Conclusion, ExitCode, Plan, Run, engine};

/// How long the clean-up waits for everything to be gone.
const CLEAN_UP: Duration = Duration::from_secs(20);

/// Check a cluster and report what is wrong with it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  seaworthy run                                     audit the current context; creates nothing
  seaworthy run --profile post-install --junit report.xml
  seaworthy run --select PK-02,DN-* --context prod
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
    /// Write all facts to FILE, to be judged later by `seaworthy judge`; compressed when it ends in .gz
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// How long the whole run may take
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    timeout: Duration,
    /// Judge the recording of a real cluster that comes with the program, and ask no cluster
    #[arg(long, conflicts_with_all = ["kubeconfig", "context", "profile", "record", "namespace"])]
    example: bool,
}

/// How probes are run.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Probes")]
pub struct ProbeArgs {
    /// The image of the probe pods, as made by `seaworthy image`
    #[arg(long, value_name = "NAME", default_value = DEFAULT_PROBE_IMAGE)]
    pub probe_image: String,
    /// Run probes in this existing namespace instead of a new one of the run's own
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Leave the probes in place after the run; `seaworthy sweep` removes them once they have expired
    #[arg(long)]
    pub keep: bool,
}

/// Runs the checks and writes the reports.
pub async fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    if args.example {
        return super::judge::example(&args.choice.filter, &args.reports).await;
    }
    let (profile, checks) = args.choice.resolve()?;
    let plan = Plan::new(checks);
    let record = args.record.map(|path| OutputFile::create(&path)).transpose()?;
    let reports = Reports::open(&args.reports.wanted(Progress::Shown))?;
    let kubeconfig = args.connection.kubeconfig().await?;
    let redaction = kubeconfig.redaction();
    let probe = ProbeSettings {
        run: RunId::random().map_err(|_| Failure::System("the system has no random numbers".into()))?,
        image: args.probes.probe_image,
        namespace: args.probes.namespace,
        keep: args.probes.keep,
    };
    let settings = Settings {
        timeout: Some(args.timeout),
        expectations: profile.expect.clone(),
        ..args.connection.settings(probe)
    };
    let cancel = cancel_on_signal();
    let cluster = Arc::new(connect(kubeconfig, settings, cancel).await?);
    let header = Header {
        at: jiff::Timestamp::now(),
        cluster: cluster.summary().clone(),
        profile: profile.name.clone(),
        gate: profile.fail_on,
        checks: plan.checks.iter().map(|check| check.id.to_owned()).collect(),
    };
    let started = RunStarted {
        seaworthy: env!("CARGO_PKG_VERSION").into(),
        at: header.at,
        cluster: header.cluster.clone(),
        profile: header.profile.clone(),
        gate: header.gate,
        checks: plan.checks.iter().copied().map(Planned::from).collect(),
        namespace: None,
        recording: None,
    };
    let (events, receiver) = Events::channel();
    let reporting = tokio::spawn(consume(receiver, reports, redaction.clone()));
    let source = Source::Live { cluster: cluster.clone(), allowed: profile.allow, profile: profile.name };
    let Conclusion { facts, exit_code, .. } =
        engine::run(Run { plan, source, gate: profile.fail_on, started }, events.clone()).await;
    let recorded = match record {
        Some(file) => write_recording(file, header, &facts, &redaction),
        None => Ok(()),
    };
    clean_up(&cluster, &events).await;
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

/// Removes what the run created, unless it is to be kept.
async fn clean_up(cluster: &Cluster, events: &Events) {
    let Some(footprint) = cluster.footprint() else { return };
    let probe = &cluster.settings().probe;
    let left = if probe.keep {
        Some("kept, as asked".to_owned())
    } else {
        sweep::remove(cluster, &probe.run.to_string(), footprint, CLEAN_UP).await.err().map(|why| why.to_string())
    };
    events.send(Event::CleanedUp { namespace: footprint.namespace.clone(), left });
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

/// Trips at the first Ctrl-C or SIGTERM, so that the run stops, cleans up and still reports. The second one kills.
fn cancel_on_signal() -> watch::Receiver<bool> {
    use tokio::signal::unix::{SignalKind, signal};
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        let _ = stop.send(true);
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        std::process::abort();
    });
    stopped
}
