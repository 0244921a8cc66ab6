//! Metrics of the kubelets, asked directly.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::nodes::{Node, Nodes};
use crate::cluster::Cluster;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::prometheus::{self, Line};
use crate::seen::{Access, Seen, Unobserved};

/// The metrics that are kept, of many hundreds.
const KEPT: [&str; 5] = [CLIENT_TTL, CLIENT_ERRORS, SERVER_TTL, SERVER_ERRORS, START];
/// The seconds until the client certificate expires; `+Inf` when there is none.
pub(crate) const CLIENT_TTL: &str = "kubelet_certificate_manager_client_ttl_seconds";
/// How often renewing the client certificate failed since the kubelet started.
pub(crate) const CLIENT_ERRORS: &str = "kubelet_certificate_manager_client_expiration_renew_errors";
/// The seconds until the serving certificate expires; `+Inf` when there is none.
pub(crate) const SERVER_TTL: &str = "kubelet_certificate_manager_server_ttl_seconds";
/// How often renewing the serving certificate failed since the kubelet started.
pub(crate) const SERVER_ERRORS: &str = "kubelet_server_expiration_renew_errors";
/// When the kubelet started, in seconds of Unix time.
pub(crate) const START: &str = "process_start_time_seconds";

/// Some metrics of each kubelet, by node. Values are text as Prometheus writes it, since JSON has no infinity.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct KubeletMetrics(pub BTreeMap<String, Seen<BTreeMap<String, String>>>);

impl Observe for KubeletMetrics {
    type Needs<'a> = (&'a Nodes,);
    const NAME: &'static str = "kubelet-metrics";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::cluster("", "nodes/metrics", &["get"])];
    // Thousands of nodes, of which many may not answer.
    const DEADLINE: Duration = Duration::from_secs(60);

    async fn observe(Live { cluster, .. }: &Live, (nodes,): Self::Needs<'_>) -> Seen<Self> {
        Ok(Self(nodes.each(cluster, Self::DEADLINE, |name, node| ask(cluster, name, node)).await))
    }
}

async fn ask(cluster: &Cluster, name: &str, node: &Node) -> Seen<BTreeMap<String, String>> {
    let reply = cluster.ask_kubelet(node.kubelet(name)?, "/metrics", "get nodes/metrics").await?;
    let kept = kept(&String::from_utf8_lossy(&reply.body));
    match kept {
        Some(kept) => Ok(kept),
        None => {
            Err(Unobserved::invalid(format!("the kubelet of {name}"), "its /metrics contain no metric of a kubelet"))
        }
    }
}

/// The kept metrics; none if the text is not that of a kubelet.
fn kept(text: &str) -> Option<BTreeMap<String, String>> {
    // Of thousands of lines with labels, only those that are kept are read.
    let named = |is: fn(&str) -> bool| text.lines().filter(move |line| prometheus::metric(line).is_some_and(is));
    named(|name| name.starts_with("kubelet_")).find_map(Line::read)?;
    let kept = named(|name| KEPT.contains(&name)).filter_map(Line::read);
    Some(kept.map(|line| (line.name.to_owned(), line.written.to_owned())).collect())
}

crate::observed!(KubeletMetrics);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_metrics_are_kept_as_they_are_written() {
        let text = "# TYPE kubelet_certificate_manager_client_ttl_seconds gauge\n\
                    kubelet_certificate_manager_client_ttl_seconds 3.1535e+07\n\
                    kubelet_certificate_manager_server_ttl_seconds +Inf\nkubelet_node_name{node=\"n1\"} 1\n";
        let kept = kept(text).unwrap();
        assert_eq!(kept[CLIENT_TTL], "3.1535e+07");
        assert_eq!((kept[SERVER_TTL].as_str(), kept.len()), ("+Inf", 2));
    }

    #[test]
    fn the_metrics_of_another_server_are_none() {
        assert_eq!(kept("<html>\ngo_goroutines 7\n"), None);
    }
}
