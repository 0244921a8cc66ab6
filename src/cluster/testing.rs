//! Clusters for tests.

use std::time::Duration;

use tokio::sync::watch;

use super::{Cluster, Kubeconfig, Settings};
use crate::expectations::Expectations;
use crate::probe::ProbeSettings;

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
    let probe = ProbeSettings { run: "x7f4k".parse().unwrap(), image: String::new(), namespace: None, keep: false };
    let expectations = Expectations::default();
    let settings = Settings { jobs, request_timeout, timeout: None, expectations, probe, node_power: None };
    Cluster::new(kubeconfig, settings, watch::channel(false).1)
}
