//! A live cluster, with everything for a run on it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use tokio::sync::watch;

use super::Failure;
use super::connection::{ConnectionArgs, namespace};
use super::settle;
use crate::cluster::{Call, Cluster, Kubeconfig, connect};
use crate::drill::NodePower;
use crate::event::{Event, Events, Planned, RunStarted};
use crate::image::DEFAULT_PROBE_IMAGE;
use crate::join::removal;
use crate::live::{HeadStart, Inputs, Ledger, Live, RunId};
use crate::probe::sweep;
use crate::redaction::Redaction;
use crate::run::{ExitCode, Plan, Profile, Source};
use crate::seen::{Access, Unobserved};

/// How long the clean-up waits until everything is deleted.
const CLEAN_UP: Duration = Duration::from_secs(20);

/// How probes run.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Probes")]
pub struct ProbeArgs {
    /// The image of the probe pods, made by `seaworthy image`
    #[arg(long, value_name = "NAME", default_value = DEFAULT_PROBE_IMAGE)]
    pub probe_image: String,
    /// Run probes in this existing namespace instead of creating one
    #[arg(short, long, value_name = "NAME", value_parser = namespace)]
    pub namespace: Option<String>,
    /// Keep the probes after the run; `seaworthy sweep` removes them when they have expired
    #[arg(long)]
    pub keep: bool,
}

/// A live cluster, with everything for a run on it.
pub struct Session {
    /// Removes secrets from all output.
    pub redaction: Redaction,
    live: Arc<Live>,
    /// Whether the probes are left in place.
    keep: bool,
    profile: Profile,
}

impl Session {
    /// Connects to the cluster.
    pub async fn open(
        connection: &ConnectionArgs,
        kubeconfig: Kubeconfig,
        probes: ProbeArgs,
        profile: Profile,
        power: Option<NodePower>,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let inputs = Inputs {
            run: RunId::random().map_err(|_| Failure::System("the system provides no random numbers".into()))?,
            image: probes.probe_image,
            namespace: probes.namespace,
            power,
        };
        let stopped = cancel_on_signal().map_err(|e| Failure::System(format!("cannot handle signals: {e}")))?;
        let mut interrupted = stopped.clone();
        let cluster = tokio::select! {
            connected = connect(kubeconfig, connection.settings(Some(timeout)), stopped) => connected?,
            Ok(_) = interrupted.wait_for(|stopped| *stopped) => return Err(Failure::Interrupted),
        };
        if let Some(namespace) = &inputs.namespace {
            exists(&cluster, namespace).await?;
        }
        let redaction = cluster.redaction().await;
        let live = Arc::new(Live { cluster, inputs, ledger: Ledger::default(), head_start: HeadStart::default() });
        Ok(Self { redaction, live, keep: probes.keep, profile })
    }

    /// The first event of a run.
    pub fn started(&self, plan: &Plan) -> RunStarted {
        let creates = plan.accesses().intersection(&self.profile.allow).any(|access| *access >= Access::Create);
        RunStarted {
            seaworthy: env!("CARGO_PKG_VERSION").into(),
            at: Timestamp::now(),
            cluster: self.live.cluster.summary().clone(),
            profile: self.profile.name.clone(),
            gate: self.profile.fail_on,
            checks: plan.checks.iter().copied().map(Planned::from).collect(),
            namespace: creates.then(|| self.live.inputs.place()),
            recording: None,
        }
    }

    /// Waits until the cluster has settled, or for this long.
    pub async fn settle(&self, patience: Duration) {
        settle::wait(&self.live, patience).await;
    }

    /// The source of facts.
    pub fn source(&self) -> Source {
        Source::Live {
            live: self.live.clone(),
            expectations: self.profile.expect.clone(),
            allowed: self.profile.allow.clone(),
            profile: self.profile.name.clone(),
        }
    }

    /// Removes what the run created, unless it is kept. Bootstrap tokens and certificate signing requests are never kept;
    /// those that a rehearsal has already removed are not in the ledger any more.
    pub async fn clean_up(&self, events: &Events) {
        let Live { cluster, inputs, ledger, .. } = self.live.as_ref();
        let cluster = cluster.without_end();
        for object in ledger.outlying() {
            if let Err(why) = removal::remove(&cluster, &object).await {
                let left = Some(format!("{object}: {why}"));
                events.send(Event::CleanedUp { namespace: object.namespace(), left });
            }
        }
        let run = inputs.run.to_string();
        let footprints = ledger.footprints();
        let removed = footprints.iter().map(async |footprint| {
            let left = if self.keep {
                Some("kept (--keep)".to_owned())
            } else {
                sweep::remove(&cluster, &run, footprint, CLEAN_UP).await.err().map(|why| why.to_string())
            };
            events.send(Event::CleanedUp { namespace: Some(footprint.namespace.clone()), left });
        });
        join_all(removed).await;
    }
}

/// Fails if the namespace does not exist. Without the permission to get it, the first probe finds out.
async fn exists(cluster: &Cluster, namespace: &str) -> Result<(), Failure> {
    let call = Call::get::<Namespace>(namespace);
    match cluster.send(&call).await.and_then(|reply| reply.accepted(&call)) {
        Err(Unobserved::Absent { .. }) => Err(Failure::Usage(format!(
            "{}: there is no namespace {namespace}: create it, or omit --namespace so that the run creates its own",
            cluster.summary().server
        ))),
        _ => Ok(()),
    }
}

/// Becomes true at the first Ctrl-C or SIGTERM: the run stops, cleans up and still reports. The second one ends the process.
fn cancel_on_signal() -> io::Result<watch::Receiver<bool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            // The receivers only need the first one.
            let _ = stop.send(true);
        }
        #[expect(clippy::exit, reason = "the second signal ends the clean-up")]
        std::process::exit(ExitCode::Interrupted as i32);
    });
    Ok(stopped)
}
