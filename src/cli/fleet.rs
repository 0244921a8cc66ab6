//! `seaworthy fleet`: check many clusters, and report on all of them together.

mod one;
mod output;
mod sources;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt, stream};

use self::one::{Ended, Orders};
use self::output::{FleetReports, OutputArgs};
use self::sources::{Source, SourceArgs};
use super::Failure;
use super::choice::ChoiceArgs;
use super::connection::{ConnectionArgs, duration};
use super::session::ProbeArgs;
use super::stop::cancel_on_signal;
use crate::fleet::label::{file_names, labels, one_line};
use crate::fleet::progress::Progress;
use crate::fleet::{Joint, Member};
use crate::run::ExitCode;

/// How many characters of where a cluster comes from are shown.
const ORIGIN: usize = 1000;

/// Check many clusters, and report on all of them together
///
/// The clusters come from the contexts of a kubeconfig, or from the sources that are named. The same cause in several clusters is
/// reported once, with the clusters that have it. A cluster that cannot be checked is a row that says why, and delays no other.
/// No credential plugin may ask anything. The exit code is that of the worst cluster.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  All contexts of the kubeconfig, and then those that begin with prod:
    seaworthy fleet
    seaworthy fleet --contexts 'prod-*' --junit fleet.xml
  A folder of kubeconfigs, with a recording of each cluster:
    seaworthy fleet --kubeconfigs ~/clusters --record-dir recordings
  The clusters of Cluster API, or of Argo CD, from their management cluster:
    seaworthy fleet --cluster-api --context management
    seaworthy fleet --argocd --secrets-namespace argocd
  Recordings, without any cluster:
    seaworthy fleet --recordings recordings -o json")]
pub struct FleetArgs {
    #[command(flatten)]
    sources: SourceArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// How many clusters to check at once
    #[arg(long, value_name = "N", default_value = "8", value_parser = parallel, help_heading = "Cluster")]
    parallel: NonZeroUsize,
    /// How long the run on one cluster may take
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration, help_heading = "Cluster")]
    timeout: Duration,
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    probes: ProbeArgs,
    /// Write a recording of each cluster into DIR
    #[arg(long, value_name = "DIR", help_heading = "Reports")]
    record_dir: Option<PathBuf>,
    /// Write the event stream of each cluster into DIR
    #[arg(long, value_name = "DIR", help_heading = "Reports")]
    events_dir: Option<PathBuf>,
}

fn parallel(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse().ok().filter(|number: &NonZeroUsize| number.get() <= 64);
    number.ok_or_else(|| format!("{text:?} is not a number from 1 to 64"))
}

/// Checks all clusters, and writes the joint report.
pub async fn run(args: FleetArgs) -> Result<ExitCode, Failure> {
    let (profile, checks) = args.choice.resolve()?;
    let stopped = cancel_on_signal()?;
    let reports = FleetReports::open(&args.output)?;
    let sources = tokio::select! {
        found = args.sources.find(&args.connection) => found?,
        () = until_stopped(stopped.clone()) => return Err(Failure::Interrupted),
    };
    let names: Vec<_> = sources.iter().map(|source| source.names.clone()).collect();
    let labels = labels(&names);
    let files = file_names(&labels);
    for folder in [&args.record_dir, &args.events_dir].into_iter().flatten() {
        make(folder)?;
    }
    let in_folder = |folder: &Option<PathBuf>, file: &str, end: &str| {
        folder.as_ref().map(|folder| folder.join(format!("{file}{end}")))
    };
    let members = labels.into_iter().zip(&files).zip(&sources).map(|((label, file), source)| Member {
        label,
        origin: one_line(&source.origin, ORIGIN),
        // A recording is not made of another one.
        recording: in_folder(&args.record_dir, file, ".json.gz").filter(|_| source.is_live()),
        events: in_folder(&args.events_dir, file, ".jsonl"),
    });
    let members: Vec<Member> = members.collect();
    check_inputs(&sources, &members)?;
    let number = NonZeroUsize::new(sources.len()).map_or(args.parallel, |number| number.min(args.parallel));
    let mut settings = args.connection.settings(Some(args.timeout));
    settings.clusters = number;
    let orders =
        Arc::new(Orders { settings, probes: args.probes, profile, checks, filter: args.choice.filter, stopped });
    let (mut joint, mut progress) = (Joint::default(), Progress::new(sources.len()));
    let runs = sources.into_iter().zip(members).enumerate().map(|(place, (source, member))| {
        let orders = orders.clone();
        async move { (place, one::in_own_thread(orders, source, member).await) }
    });
    let mut runs = stream::iter(runs).buffer_unordered(number.get());
    let mut unwritten = None;
    while let Some((place, ended)) = runs.next().await {
        match ended {
            Ended::Run { member, run, exit_code, written } => {
                joint.add(place, member, &run, exit_code);
                if let Err(why) = written {
                    unwritten.get_or_insert(why);
                }
            }
            Ended::NotBegun { member, why, exit_code } => joint.add_without_run(place, member, why, exit_code),
        }
        if let Some(row) = joint.row(place) {
            progress.done(row);
        }
    }
    progress.end();
    reports.write(&joint, progress.elapsed_ms(), args.record_dir.as_deref(), args.events_dir.as_deref())?;
    match unwritten {
        Some(why) => Err(why),
        None => Ok(joint.exit_code()),
    }
}

async fn until_stopped(mut stopped: tokio::sync::watch::Receiver<bool>) {
    if stopped.wait_for(|stopped| *stopped).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Makes a folder for files of clusters, unless it exists.
fn make(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)
        .map_err(|why| Failure::Usage(format!("{}: the folder cannot be made: {why}", folder.display())))
}

/// Refuses to overwrite a recording that is judged, or a kubeconfig.
fn check_inputs(sources: &[Source], members: &[Member]) -> Result<(), Failure> {
    let place = |path: &Path| std::fs::canonicalize(path).ok();
    let read: Vec<PathBuf> = sources.iter().filter_map(|source| place(source.file.as_deref()?)).collect();
    for member in members {
        for (flag, path) in [("--record-dir", &member.recording), ("--events-dir", &member.events)] {
            if let Some(path) = path
                && place(path).is_some_and(|path| read.contains(&path))
            {
                let path = path.display();
                return Err(Failure::Usage(format!(
                    "{flag} would overwrite {path}, which is read: name another folder"
                )));
            }
        }
    }
    Ok(())
}
