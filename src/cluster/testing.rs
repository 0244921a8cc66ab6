//! Clusters for tests.

use std::time::Duration;

use tokio::sync::watch;

use super::{Cluster, Kubeconfig, Settings};

/// A cluster at this URL, of which so many requests may be in flight, each for so long.
pub(crate) fn cluster(url: &str, jobs: usize, request_timeout: Duration) -> Cluster {
    let kubeconfig = Kubeconfig {
        config: kube::Config::new(url.parse().unwrap()),
        context: String::new(),
        cluster: String::new(),
        user: String::new(),
        authorities: Vec::new(),
        origin: String::new(),
    };
    let settings = Settings { jobs, request_timeout, timeout: None };
    Cluster::new(kubeconfig, settings, watch::channel(false).1)
}
