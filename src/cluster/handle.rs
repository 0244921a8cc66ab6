//! The handle through which facts ask a cluster.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SetOnce, watch};

use super::clients::Clients;
use super::handshake::Authority;
use super::{Footprint, Kubeconfig, Outlying};
use crate::certificate::Certificate;
use crate::drill::NodePower;
use crate::event::ClusterSummary;
use crate::expectations::Expectations;
use crate::probe::ProbeSettings;

/// How a run asks.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many requests may be in flight at once.
    pub jobs: usize,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// How long the whole run may take.
    pub timeout: Option<Duration>,
    /// What the profile expects of this cluster.
    pub expectations: Expectations,
    /// How probes are run.
    pub probe: ProbeSettings,
    /// How a node is stopped and started again, in a run that may do so.
    pub node_power: Option<NodePower>,
}

/// A cluster that can be asked.
pub struct Cluster {
    kubeconfig: Kubeconfig,
    settings: Settings,
    summary: ClusterSummary,
    pub(super) clients: Clients,
    pub(super) in_flight: Semaphore,
    pub(super) sent: AtomicUsize,
    end: Option<Instant>,
    cleans_up: AtomicBool,
    outlying: Mutex<BTreeSet<Outlying>>,
    footprints: Mutex<Vec<Footprint>>,
    under_way: SetOnce<()>,
    cancel: watch::Receiver<bool>,
}

impl Cluster {
    /// A handle; nothing is sent yet.
    pub fn new(kubeconfig: Kubeconfig, settings: Settings, cancel: watch::Receiver<bool>) -> Self {
        let summary = ClusterSummary {
            name: kubeconfig.context.clone(),
            server: kubeconfig.config.cluster_url.to_string().trim_end_matches('/').to_owned(),
            version: String::new(),
        };
        Self {
            in_flight: Semaphore::new(settings.jobs),
            end: settings.timeout.map(|timeout| Instant::now() + timeout),
            cleans_up: AtomicBool::new(false),
            kubeconfig,
            settings,
            summary,
            clients: Clients::default(),
            sent: AtomicUsize::new(0),
            outlying: Mutex::default(),
            footprints: Mutex::default(),
            under_way: SetOnce::new(),
            cancel,
        }
    }

    pub(super) fn set_version(&mut self, version: String) {
        self.summary.version = version;
    }

    /// The cluster in a few words.
    pub fn summary(&self) -> &ClusterSummary {
        &self.summary
    }

    /// Which cluster, and as whom.
    pub fn kubeconfig(&self) -> &Kubeconfig {
        &self.kubeconfig
    }

    /// The host and port of the configured URL.
    pub fn endpoint(&self) -> Option<Authority> {
        let url = &self.kubeconfig.config.cluster_url;
        let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("http") { 80 } else { 443 });
        let host = url.host()?;
        Authority::new(host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host), port).ok()
    }

    /// How the run asks.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The certificate authorities of the kubeconfig.
    pub fn authorities(&self) -> &[Certificate] {
        &self.kubeconfig.authorities
    }

    /// How many requests were sent to the API server.
    pub fn requests(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Remembers where the run has created objects, for the clean-up at its end.
    pub fn leaves(&self, footprint: Footprint) {
        self.footprints.lock().unwrap_or_else(PoisonError::into_inner).push(footprint);
    }

    /// Where the run has created objects.
    pub fn footprints(&self) -> Vec<Footprint> {
        self.footprints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says that the probes run, or will not: what waited so as not to delay them may begin.
    pub fn let_others_begin(&self) {
        // The first to say so is enough.
        let _ = self.under_way.set(());
    }

    /// Ends when the probes run, or will not.
    pub async fn others_may_begin(&self) {
        self.under_way.wait().await;
    }

    /// Remembers an object of the run that is in no namespace of the run, for the clean-up at its end.
    pub fn leaves_outlying(&self, object: Outlying) {
        self.outlying.lock().unwrap_or_else(PoisonError::into_inner).insert(object);
    }

    /// Forgets one, because it is gone.
    pub fn has_removed(&self, object: &Outlying) {
        self.outlying.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
    }

    /// The objects of the run that are left in no namespace of the run.
    pub fn outlying(&self) -> BTreeSet<Outlying> {
        self.outlying.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says that the clean-up begins. What the run made is removed also when its time is over.
    pub fn begin_clean_up(&self) {
        self.cleans_up.store(true, Ordering::Relaxed);
    }

    /// This deadline, or what is left of the run's.
    pub fn deadline(&self, deadline: Duration) -> Duration {
        let end = self.end.filter(|_| !self.cleans_up.load(Ordering::Relaxed));
        end.map_or(deadline, |end| deadline.min(end.saturating_duration_since(Instant::now())))
    }

    /// Whether the run is stopped.
    pub fn is_cancelled(&self) -> bool {
        *self.cancel.borrow()
    }

    /// Ends when the run is stopped.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut cancel = self.cancel.clone();
        async move {
            if cancel.wait_for(|stopped| *stopped).await.is_err() {
                // Nobody is left who could stop the run.
                std::future::pending::<()>().await;
            }
        }
    }
}
