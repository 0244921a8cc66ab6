//! The flags that choose a cluster, named as kubectl names them.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Failure;
use crate::cluster::{Cluster, Kubeconfig, Settings, connect};

/// The longest duration that flags accept.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The flags that choose a cluster.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub struct ConnectionArgs {
    /// The kubeconfig file [default: the files in KUBECONFIG, ~/.kube/config, or the pod's service account]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig [default: the current one]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// How long one request may take, such as 5s or 500ms
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub request_timeout: Duration,
    /// How many requests may be in flight at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    /// How many requests may be sent to the API server per second [default: no limit]
    #[arg(long, value_name = "N")]
    pub max_qps: Option<NonZeroU32>,
}

impl ConnectionArgs {
    /// Reads the kubeconfig that the flags choose.
    pub async fn kubeconfig(&self) -> Result<Kubeconfig, Failure> {
        let (file, context) = (self.kubeconfig.clone(), self.context.clone());
        // A file may be a pipe.
        let load = move || Kubeconfig::load(file.as_deref(), context.as_deref());
        Ok(tokio::task::spawn_blocking(load).await.expect("reading a kubeconfig does not panic")?)
    }

    /// How to send requests, all of them within `timeout` if there is one.
    pub fn settings(&self, timeout: Option<Duration>) -> Settings {
        let Self { jobs, max_qps, request_timeout, .. } = *self;
        Settings { jobs: usize::from(jobs), max_qps, request_timeout, timeout, clusters: NonZeroUsize::MIN }
    }

    /// Connects, for a command that runs no checks.
    pub async fn connect(&self) -> Result<Cluster, Failure> {
        let (_, never) = tokio::sync::watch::channel(false);
        let (cluster, connected) = connect(self.kubeconfig().await?, self.settings(None), never).await;
        Ok(connected.map(|()| cluster)?)
    }
}

/// Parses the name of a namespace, which is a DNS label (RFC 1123).
pub fn namespace(text: &str) -> Result<String, String> {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label =
        (1..=63).contains(&text.len()) && text.bytes().all(inside) && !text.starts_with('-') && !text.ends_with('-');
    if is_label {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is not the name of a namespace: use at most 63 lowercase letters, digits and hyphens"))
}

/// Parses a duration as kubectl writes it: 90s, 2m, 1m30s, 500ms.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration: write 90s, 2m, 1m30s or 500ms");
    let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    let duration = Duration::try_from(span).map_err(|_| wrong())?;
    if duration.is_zero() {
        return Err(wrong());
    }
    if duration > LONGEST { Err(format!("{text:?} is longer than a day")) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_dns_labels() {
        assert_eq!(namespace("team-a1"), Ok("team-a1".into()));
        for wrong in ["", "a/b", "A", "-a", "a-", "a.b", &"a".repeat(64)] {
            assert!(namespace(wrong).unwrap_err().contains("is not the name of a namespace"), "{wrong}");
        }
    }

    #[test]
    fn durations_are_written_as_in_kubectl() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["", "5", "-5s", "0s", "soon"] {
            assert!(duration(wrong).unwrap_err().contains("is not a duration"), "{wrong}");
        }
        assert_eq!(duration("25h"), Err("\"25h\" is longer than a day".into()));
    }
}
