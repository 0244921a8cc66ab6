//! The health that each API server instance reports.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use futures_util::future::{join, join_all};
use serde::{Deserialize, Serialize};

use super::api_server_instances::ApiServerInstances;
use crate::cluster::{Call, Cluster, Identity, Reply};
use crate::fact::{Observe, Rule};
use crate::live::Live;
use crate::seen::{Access, Seen, Unobserved};

/// The health that the API server reports: at the configured URL, and at each instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ApiServerHealth {
    /// The host and port of the configured URL.
    pub endpoint: String,
    /// The health that the server there reports.
    pub configured: Health,
    /// Each instance, by the address that is published or that its static pod advertises, or why the addresses are not
    /// known.
    pub instances: Seen<BTreeMap<SocketAddr, Health>>,
}

/// The health of an instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Health {
    /// Whether it works, and need not be restarted: `/livez`.
    pub live: Seen<HealthAnswer>,
    /// Whether it can take requests: `/readyz`.
    pub ready: Seen<HealthAnswer>,
}

/// An answer about health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HealthAnswer {
    /// The HTTP status code.
    pub status: u16,
    /// The health checks that failed.
    pub failed: Vec<String>,
}

impl HealthAnswer {
    /// Whether all health checks passed.
    pub(crate) fn is_well(&self) -> bool {
        self.status == 200 && self.failed.is_empty()
    }
}

impl Health {
    /// Both answers, with their paths.
    pub(crate) fn answers(&self) -> [(&'static str, &Seen<HealthAnswer>); 2] {
        [("/livez", &self.live), ("/readyz", &self.ready)]
    }

    /// Whether a server answered.
    pub(crate) fn is_reached(&self) -> bool {
        self.answers().iter().any(|(_, answer)| answer.is_ok())
    }
}

impl Observe for ApiServerHealth {
    type Needs<'a> = (Result<&'a ApiServerInstances, &'a Unobserved>,);
    const NAME: &'static str = "api-server-health";
    const ACCESS: Access = Access::Anonymous;
    const RULES: &'static [Rule] = &[Rule::urls(&["/livez", "/readyz"])];

    async fn observe(Live { cluster, .. }: &Live, (instances,): Self::Needs<'_>) -> Seen<Self> {
        let addresses = instances.map_err(Clone::clone).map(|instances| &instances.0);
        let each = addresses.iter().flat_map(|addresses| addresses.iter()).map(async |address| {
            let health = health(cluster, |path| Call::url(path).at_instance(*address)).await;
            (*address, health)
        });
        let (configured, instances) = join(health(cluster, Call::url), join_all(each)).await;
        Ok(Self {
            endpoint: cluster.endpoint().map(|endpoint| endpoint.to_string()).unwrap_or_default(),
            configured,
            instances: addresses.map(|_| instances.into_iter().collect()),
        })
    }
}

async fn health(cluster: &Cluster, call: impl Fn(&'static str) -> Call) -> Health {
    let (live, ready) = join(answer(cluster, call("/livez?verbose")), answer(cluster, call("/readyz?verbose"))).await;
    Health { live, ready }
}

/// Asks without credentials; where those are refused, asks again with our own.
async fn answer(cluster: &Cluster, call: Call) -> Seen<HealthAnswer> {
    let anonymous = call.clone().by(Identity::Anonymous);
    let reply = cluster.send(&anonymous).await?;
    match reply.status {
        401 | 403 => read(&call, &cluster.send(&call).await?),
        _ => read(&anonymous, &reply),
    }
}

fn read(call: &Call, reply: &Reply) -> Seen<HealthAnswer> {
    let text = reply.text();
    let failed: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("[-]"))
        .map(|line| line.split_whitespace().next().unwrap_or_default().to_owned())
        .collect();
    // An unhealthy API server answers 500 and lists what failed. Another refusal does not show its health.
    if failed.is_empty() {
        reply.accepted(call)?;
        if !text.contains("check passed") {
            return Err(Unobserved::invalid(
                call.to_string(),
                "the answer is not an API server's report of its health",
            ));
        }
    }
    Ok(HealthAnswer { status: reply.status, failed })
}

crate::observed!(ApiServerHealth);

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn reply(status: u16, body: &'static str) -> Reply {
        Reply { status, body: Bytes::from_static(body.as_bytes()), ..Reply::default() }
    }

    #[test]
    fn a_sick_instance_lists_what_failed() {
        let body = "[+]ping ok\n[-]kms-providers failed: reason withheld\n[-]etcd failed: reason withheld\nreadyz check failed\n";
        let answer = read(&Call::url("/readyz?verbose"), &reply(500, body)).unwrap();
        assert_eq!(answer.failed, ["kms-providers", "etcd"]);
        assert!(!answer.is_well());
        let answer = read(&Call::url("/readyz?verbose"), &reply(200, "[+]ping ok\nreadyz check passed\n")).unwrap();
        assert!(answer.is_well());
    }

    #[test]
    fn what_is_not_a_health_answer_is_unobserved() {
        let call = Call::url("/livez?verbose");
        assert!(matches!(read(&call, &reply(503, "no backend")), Err(Unobserved::Invalid { .. })));
        for page in ["<html>log in</html>", "{}", ""] {
            assert!(matches!(read(&call, &reply(200, page)), Err(Unobserved::Invalid { .. })), "{page}");
        }
        let refused = read(&call, &reply(403, "forbidden")).unwrap_err();
        assert_eq!(refused.to_string(), "not permitted: get on /livez (forbidden)");
    }
}
