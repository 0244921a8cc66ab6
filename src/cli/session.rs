//! A live cluster, with everything for a run on it.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::future::{join, join_all, join3};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use tokio::sync::watch;

use super::Failure;
use super::connection::{ConnectionArgs, namespace};
use super::settle;
use super::stop::cancel_on_signal;
use crate::cluster::{Call, Cluster, ClusterSummary, Kubeconfig, Settings, connect};
use crate::drill::NodePower;
use crate::event::{CleanedUp, Event, Planned, RunStarted};
use crate::image::DEFAULT_PROBE_IMAGE;
use crate::join::{removal, stray};
use crate::live::{Footprint, Inputs, Ledger, Live, Phase, RunId};
use crate::probe::sweep;
use crate::redaction::Redaction;
use crate::run::{NotBegun, Plan, Profile, Source};
use crate::seen::{Access, Obstacle, Unobserved};

/// How long the clean-up tries to delete everything that has an effect. A live cluster needs a fraction of a second.
const CLEAN_UP: Duration = Duration::from_secs(30);
/// The same for a run that is stopped: someone waits for its end.
const STOPPED_CLEAN_UP: Duration = Duration::from_secs(5);
/// How long `--wait` waits for namespaces. Kubernetes finalizes an empty one five seconds after its deletion.
pub(super) const FINALIZED: Duration = Duration::from_secs(60);

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
    /// Wait until the namespaces of the run are deleted, instead of only everything in them
    #[arg(long, conflicts_with = "keep")]
    pub wait: bool,
}

/// A cluster that is about to be asked.
pub struct Asked {
    /// Where it is, and who asks.
    pub kubeconfig: Kubeconfig,
    /// How requests are sent.
    pub settings: Settings,
    /// Becomes true when the run is to stop.
    pub stopped: watch::Receiver<bool>,
}

/// A live cluster, with everything for a run on it, or why there is none.
pub struct Session {
    /// Removes secrets from all output.
    pub redaction: Redaction,
    live: Result<Arc<Live>, NotBegun>,
    cluster: ClusterSummary,
    /// Whether the probes are left in place.
    keep: bool,
    /// Whether the namespaces are waited for.
    wait: bool,
    profile: Profile,
}

impl Session {
    /// Connects to the cluster. What is in the way is reported on the standard error at once, and to every check that is
    /// affected by it: the run takes place in any case.
    pub async fn open(
        connection: &ConnectionArgs,
        probes: ProbeArgs,
        profile: Profile,
        power: Option<NodePower>,
        timeout: Duration,
    ) -> Self {
        let asked = connection.kubeconfig().await.and_then(|kubeconfig| {
            Ok(Asked { kubeconfig, settings: connection.settings(Some(timeout)), stopped: cancel_on_signal()? })
        });
        Self::ask(asked, probes, profile, power, super::say).await
    }

    /// The same for a cluster that is not chosen by flags. `say` gets what is in the way.
    pub async fn ask(
        asked: Result<Asked, Failure>,
        probes: ProbeArgs,
        profile: Profile,
        power: Option<NodePower>,
        say: fn(&str),
    ) -> Self {
        let ProbeArgs { keep, wait, .. } = probes;
        let mut cluster = ClusterSummary::default();
        let live = match asked {
            Ok(asked) => Box::pin(live(asked, probes, power, &mut cluster, say)).await,
            Err(why) => Err(why),
        };
        let live = live.map(Arc::new).map_err(|why| {
            let cause = why.line();
            say(&cause);
            NotBegun { cause, exit_code: why.exit_code() }
        });
        let redaction = match &live {
            Ok(live) => live.cluster.redaction().await,
            Err(_) => Redaction::default(),
        };
        Self { redaction, live, cluster, keep, wait, profile }
    }

    /// Whether anything could be asked.
    pub fn has_begun(&self) -> bool {
        self.live.is_ok()
    }

    /// The cluster, for what is sent to it after the run.
    pub fn cluster(&self) -> Option<Cluster> {
        self.live.as_ref().ok().map(|live| live.cluster.without_end())
    }

    /// The first event of a run.
    pub fn started(&self, plan: &Plan) -> RunStarted {
        let creates = plan.accesses().intersection(&self.profile.allow).any(|access| *access >= Access::Create);
        let live = self.live.as_ref().ok().filter(|live| live.cluster.barred().is_none());
        RunStarted {
            seaworthy: env!("CARGO_PKG_VERSION").into(),
            at: Timestamp::now(),
            cluster: self.cluster.clone(),
            profile: self.profile.name.clone(),
            gate: self.profile.fail_on,
            checks: plan.checks.iter().copied().map(Planned::from).collect(),
            namespace: live.filter(|_| creates).map(|live| live.inputs.place()),
            failed: self.live.as_ref().err().map(|why| why.cause.clone()),
            recording: None,
        }
    }

    /// Waits until the cluster has settled, or for this long.
    pub async fn settle(&self, patience: Duration) {
        if let Ok(live) = &self.live
            && live.cluster.barred().is_none()
        {
            settle::wait(live, patience).await;
        }
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

    /// Removes what the run created, unless it is kept, as soon as nothing is observed any more: beside the judging. Returns
    /// what became of it, for after the verdict. Bootstrap tokens and certificate signing requests are never kept; those that
    /// a rehearsal has already removed are not in the ledger any more. A run that may not use its credential has created
    /// nothing.
    pub async fn clean_up(&self) -> Vec<Event> {
        let Ok(live) = &self.live else { return Vec::new() };
        live.observation.ended().await;
        let Live { cluster, inputs, ledger, .. } = live.as_ref();
        if cluster.barred().is_some() {
            return Vec::new();
        }
        let cluster = &cluster.without_end();
        let withdrawn = ledger.outlying().into_iter().map(async |object| {
            let why = removal::remove(cluster, &object, patience(cluster)).await.err()?;
            Some(CleanedUp {
                namespace: object.namespace(),
                left: Some(format!("{object}: {why}")),
                ..CleanedUp::default()
            })
        });
        let footprints = ledger.footprints();
        let removed = footprints.iter().map(|footprint| self.remove(cluster, &inputs.run, footprint));
        let expired = async {
            let creates = self.profile.allow.contains(&Access::Create);
            if creates && !self.keep && !cluster.is_cancelled() {
                self.sweep(cluster, inputs.namespace.as_deref()).await
            } else {
                Vec::new()
            }
        };
        let (withdrawn, removed, expired) = join3(join_all(withdrawn), join_all(removed), expired).await;
        withdrawn.into_iter().flatten().chain(removed).chain(expired).map(Event::CleanedUp).collect()
    }

    /// Removes what earlier runs have left whose time is over. Without the permissions to find that, nothing is removed:
    /// `seaworthy sweep` shows what is missing.
    async fn sweep(&self, cluster: &Cluster, namespace: Option<&str>) -> Vec<CleanedUp> {
        let now = Timestamp::now();
        let strays = async { if namespace.is_none() { stray::find(cluster).await } else { Ok(Vec::new()) } };
        let (places, strays) = join(sweep::find(cluster, namespace), strays).await;
        let (places, strays) = (places.unwrap_or_default(), strays.unwrap_or_default());
        let places = places.iter().filter(|place| place.is_expired(now) && place.deleting.is_none());
        let places = places.map(async |place| self.remove(cluster, &place.run, &place.footprint).await);
        let strays = strays.iter().filter(|stray| stray.is_expired(now)).map(async |stray| CleanedUp {
            namespace: stray.object.namespace(),
            left: removal::remove(cluster, &stray.object, patience(cluster))
                .await
                .err()
                .map(|why| format!("{}: {why}", stray.object)),
            ..CleanedUp::default()
        });
        let (places, strays) = join(join_all(places), join_all(strays)).await;
        places.into_iter().chain(strays).map(|done| CleanedUp { earlier: true, ..done }).collect()
    }

    /// Removes what a run created in one place.
    async fn remove(&self, cluster: &Cluster, run: &RunId, footprint: &Footprint) -> CleanedUp {
        let namespace = Some(footprint.namespace.clone());
        if self.keep {
            return CleanedUp { namespace, left: Some("kept (--keep)".into()), ..CleanedUp::default() };
        }
        let mut removed = sweep::remove(cluster, run, footprint, patience(cluster)).await;
        if self.wait && footprint.own_namespace && removed.is_ok() {
            removed = sweep::finalized(cluster, &footprint.namespace, FINALIZED).await;
        }
        let finalizing = footprint.own_namespace && !self.wait && removed.is_ok();
        CleanedUp { namespace, left: removed.err().map(|why| why.to_string()), finalizing, ..CleanedUp::default() }
    }
}

/// How long the clean-up tries to delete something.
fn patience(cluster: &Cluster) -> Duration {
    if cluster.is_cancelled() { STOPPED_CLEAN_UP } else { CLEAN_UP }
}

/// Connects. A server that is not verified, or that rejects the credential, is still asked what needs neither.
async fn live(
    Asked { kubeconfig, settings, stopped }: Asked,
    probes: ProbeArgs,
    power: Option<NodePower>,
    summary: &mut ClusterSummary,
    say: fn(&str),
) -> Result<Live, Failure> {
    *summary = kubeconfig.summary();
    let inputs = Inputs {
        run: RunId::random().map_err(|_| Failure::System("the system provides no random numbers".into()))?,
        image: probes.probe_image,
        namespace: probes.namespace,
        power,
    };
    let mut interrupted = stopped.clone();
    let (cluster, connected) = tokio::select! {
        connected = connect(kubeconfig, settings, stopped) => connected,
        Ok(_) = interrupted.wait_for(|stopped| *stopped) => return Err(Failure::Interrupted),
    };
    match connected {
        Err(why) if why.obstacle() == Obstacle::Cluster => return Err(why.into()),
        Err(why) => {
            let (obstacle, cause) = (why.obstacle(), Failure::from(why).line());
            say(&cause);
            cluster.bar(obstacle, cause);
        }
        Ok(()) => {
            if let Some(namespace) = &inputs.namespace {
                exists(&cluster, namespace).await?;
            }
        }
    }
    *summary = cluster.summary().clone();
    let (head_start, observation) = (Phase::default(), Phase::default());
    Ok(Live { cluster, inputs, ledger: Ledger::default(), head_start, observation })
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
