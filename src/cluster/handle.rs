//! The handle through which facts ask a cluster.

use std::collections::BTreeMap;
use std::future::Future;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use super::again::Retries;
use super::body::Room;
use super::clients::Clients;
use super::kubelets::Kubelets;
use super::pace::Pace;
use super::{ClusterSummary, Kubeconfig};
use crate::certificate::Certificate;
use crate::handshake::Authority;
use crate::milliseconds::milliseconds;
use crate::redaction::Redaction;
use crate::seen::{Obstacle, Unobserved};

/// How requests are sent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many requests may be in flight at once.
    pub jobs: usize,
    /// How many requests may be sent to the API server per second, if there is a limit.
    pub max_qps: Option<NonZeroU32>,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// How long the whole run may take.
    pub timeout: Option<Duration>,
    /// How many clusters are asked at once, which share what the process has only once: the files that may be open.
    pub clusters: NonZeroUsize,
}

/// A cluster to which requests can be sent. Clones share their clients and the count of requests.
#[derive(Clone)]
pub struct Cluster {
    kubeconfig: Arc<Kubeconfig>,
    settings: Settings,
    summary: ClusterSummary,
    pub(super) clients: Arc<Clients>,
    pub(super) in_flight: Arc<Semaphore>,
    pub(super) kubelets: Arc<Kubelets>,
    pub(super) room: Arc<Room>,
    pub(super) pace: Arc<Pace>,
    pub(super) sent: Arc<AtomicUsize>,
    pub(super) received: Arc<AtomicU64>,
    pub(super) retries: Arc<Retries>,
    end: Option<Instant>,
    cancel: watch::Receiver<bool>,
}

impl Cluster {
    /// A handle; nothing is sent yet.
    pub fn new(kubeconfig: Kubeconfig, settings: Settings, cancel: watch::Receiver<bool>) -> Self {
        Self {
            in_flight: Arc::new(Semaphore::new(settings.jobs)),
            kubelets: Arc::new(Kubelets::new(settings.jobs, settings.clusters)),
            room: Arc::default(),
            pace: Arc::new(Pace::new(settings.max_qps)),
            end: settings.timeout.map(|timeout| Instant::now() + timeout),
            summary: kubeconfig.summary(),
            kubeconfig: Arc::new(kubeconfig),
            settings,
            clients: Arc::default(),
            sent: Arc::default(),
            received: Arc::default(),
            retries: Arc::default(),
            cancel,
        }
    }

    /// The same cluster for the clean-up, which also happens when the run's time is over.
    pub fn without_end(&self) -> Self {
        Self { end: None, ..self.clone() }
    }

    pub(super) fn set_version(&mut self, version: String) {
        self.summary.version = version;
    }

    /// The cluster in a few words.
    pub fn summary(&self) -> &ClusterSummary {
        &self.summary
    }

    /// The kubeconfig in use.
    pub fn kubeconfig(&self) -> &Kubeconfig {
        &self.kubeconfig
    }

    /// Removes our own secrets from all output, including those that a credential plugin has issued.
    pub async fn redaction(&self) -> Redaction {
        self.clients.redaction(&self.kubeconfig).await
    }

    /// The host and port of the configured URL.
    pub fn endpoint(&self) -> Option<Authority> {
        let url = &self.kubeconfig.config.cluster_url;
        let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("http") { 80 } else { 443 });
        let host = url.host()?;
        Authority::new(host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host), port).ok()
    }

    /// How requests are sent.
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

    /// How many bytes the bodies of all answers had, those of kubelets too, once they were unpacked.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// How many requests were sent to kubelets.
    pub fn kubelet_requests(&self) -> usize {
        self.kubelets.asked()
    }

    /// How many requests were sent again after a transient fault, by its cause.
    pub fn retries(&self) -> BTreeMap<String, usize> {
        self.retries.by_cause()
    }

    /// Completes when the run's time is over.
    pub fn over(&self) -> impl Future<Output = ()> + Send + 'static {
        let end = self.end;
        async move {
            match end {
                Some(end) => tokio::time::sleep_until(end.into()).await,
                None => std::future::pending().await,
            }
        }
    }

    /// This deadline, or what is left of the run's.
    pub fn deadline(&self, deadline: Duration) -> Duration {
        self.end.map_or(deadline, |end| deadline.min(end.saturating_duration_since(Instant::now())))
    }

    /// The reason for what is not observed because the time of the run is over; none while it lasts.
    pub fn out_of_time(&self) -> Option<Unobserved> {
        let timeout = self.settings.timeout?;
        let is_over = self.end.is_some_and(|end| end <= Instant::now());
        is_over.then(|| Unobserved::OutOfTime { after_ms: milliseconds(timeout) })
    }

    /// Sends no more requests than this obstacle leaves room for; all others fail with this cause.
    pub fn bar(&self, obstacle: Obstacle, cause: String) {
        self.clients.bar(Unobserved::Barred { obstacle, cause });
    }

    /// Why most requests are not sent.
    pub fn barred(&self) -> Option<&Unobserved> {
        self.clients.barred()
    }

    /// Whether the run is stopped.
    pub fn is_cancelled(&self) -> bool {
        *self.cancel.borrow()
    }

    /// Completes when the run is stopped.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut cancel = self.cancel.clone();
        async move {
            if cancel.wait_for(|stopped| *stopped).await.is_err() {
                // Nothing can stop the run any more.
                std::future::pending::<()>().await;
            }
        }
    }
}
