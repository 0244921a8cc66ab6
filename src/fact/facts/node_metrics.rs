//! The nodes in the resource metrics API.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::api_services::ApiServices;
use crate::cluster::Call;
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// The APIService of the resource metrics API.
const API: &str = "v1beta1.metrics.k8s.io";
const PATH: &str = "/apis/metrics.k8s.io/v1beta1/nodes";

/// The nodes in the resource metrics API, which `kubectl top` and autoscalers use. Absent where it is not served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NodeMetrics {
    /// The names of the nodes.
    Of(BTreeSet<String>),
    /// The API is registered, and its server fails.
    Broken {
        /// The status code.
        status: u16,
        /// The API server's message.
        message: String,
    },
}

#[derive(Deserialize)]
struct List {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

impl Observe for NodeMetrics {
    type Needs<'a> = (Result<&'a ApiServices, &'a Unobserved>,);
    const NAME: &'static str = "node-metrics";
    const ACCESS: Access = Access::Read;
    const RULES: &'static [Rule] = &[Rule::cluster("metrics.k8s.io", "nodes", &["list"])];

    async fn observe(Live { cluster, .. }: &Live, (apis,): Self::Needs<'_>) -> Seen<Self> {
        if apis.is_ok_and(|apis| !apis.aggregated.contains_key(API)) {
            return Err(Unobserved::absent(format!("there is no APIService {API}")));
        }
        let call = Call::url(PATH).of_kind("metrics.k8s.io/v1beta1", "NodeMetricsList");
        let reply = cluster.send(&call).await?;
        if reply.status >= 500 {
            return Ok(Self::Broken { status: reply.status, message: reply.message() });
        }
        let list: List = reply.decode(&call)?;
        Ok(Self::Of(list.items.into_iter().map(|item| item.metadata.name).collect()))
    }
}

crate::observed!(NodeMetrics);
