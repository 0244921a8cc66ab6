//! Puts probes onto nodes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};

use super::collect::{Collected, Patience, collect};
use super::grant::Grant;
use super::object::{LEVEL, Level, Mark, Placed, RUN, Work};
use super::policed::Policy;
use super::trial::TrialPod;
use crate::cluster::{Call, until};
use crate::live::{Footprint, Live};
use crate::milliseconds::milliseconds;
use crate::seen::{Seen, Unobserved};

/// How long the controller-manager may take to publish the cluster's CA in a new namespace before the probes start
/// without it.
const AUTHORITY_PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked for.
const AUTHORITY_PAUSE: Duration = Duration::from_millis(20);

/// Where the probes of a run live.
pub struct Site<'a> {
    live: &'a Live,
    level: Level,
    namespace: String,
    /// The uid of the namespace, if the run made it.
    made: Option<String>,
    expires: Timestamp,
    lifetime_seconds: i64,
    owner: (String, String),
}

/// The addresses of the Services in front of the probes.
pub struct Fronts {
    /// The ClusterIP that spreads over all probes.
    pub spread: IpAddr,
    /// Its ClusterIP of the other family, in a cluster of two.
    pub other_family: Option<IpAddr>,
    /// Its node port for TCP.
    pub node_port: Option<u16>,
    /// The ClusterIP that keeps a client with one probe.
    pub affinity: IpAddr,
    /// What ConfigMap kube-root-ca.crt holds beside them.
    pub authority: Seen<String>,
}

impl<'a> Site<'a> {
    /// Makes the run's namespace, or uses the one that was named, and in it the object that all others belong to. It
    /// allows all traffic of the pods that are to come, unless network policies are what is tried.
    pub async fn prepare(live: &'a Live, level: Level) -> Seen<Self> {
        let Live { cluster, inputs, ledger, .. } = live;
        let run = &inputs.run;
        let lifetime = cluster.deadline(Duration::from_secs(300)) + Duration::from_secs(60);
        let expires = Timestamp::now()
            + SignedDuration::try_from(lifetime).map_err(|e| Unobserved::invalid("the run's timeout", e))?;
        let mark = Mark { run, level, expires, owner: None };
        let own_namespace = inputs.namespace.is_none();
        let namespace = inputs.namespace.clone().unwrap_or_else(|| level.name(run));
        let mut made = None;
        let footprint = Footprint { namespace: namespace.clone(), own_namespace, owner: level.name(run) };
        // Before anything is sent: only a refusal shows that nothing was made. An answer that is late, or of something in
        // between, does not.
        ledger.add(footprint.clone());
        if own_namespace {
            let call = Call::create::<Namespace>(mark.namespace());
            let reply = cluster.send(&call).await?;
            if reply.is_refusal() {
                ledger.strike_place(&footprint);
                if reply.status == 409 {
                    let cause = "it exists and is not of this run: nothing in it is touched";
                    return Err(Unobserved::invalid(format!("namespace {namespace}"), cause));
                }
            }
            made = reply.decode::<Namespace>(&call)?.metadata.uid;
        }
        let call = Call::create::<ServiceAccount>(mark.service_account()).in_namespace(&namespace);
        let reply = cluster.send(&call).await?;
        // Nothing else is created without it, and a namespace that was given stays as it was.
        if reply.is_refusal() && !own_namespace {
            ledger.strike_place(&footprint);
        }
        let account: ServiceAccount = reply.decode(&call).map_err(|why| match why {
            // For a run that was given a namespace, its absence is not a reason to skip anything.
            Unobserved::Absent { evidence } => Unobserved::invalid(format!("namespace {namespace}"), evidence),
            why => why,
        })?;
        let uid = account.metadata.uid.unwrap_or_default();
        let lifetime_seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        let site = Self { live, level, namespace, made, expires, lifetime_seconds, owner: (level.name(run), uid) };
        if level.is_open() {
            site.policy(Policy::Open).await?;
        }
        Ok(site)
    }

    /// The namespace of the probes.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Makes the Services, one of them an alias of a name, and waits for the cluster's CA to be published beside them.
    pub async fn fronts(&self, alias_of: &str) -> Seen<Fronts> {
        let mark = self.mark();
        let (names, spread, affinity, alias, many, authority) = tokio::join!(
            self.service(mark.names()),
            self.service(mark.spread()),
            self.service(mark.affinity()),
            self.service(mark.alias(alias_of)),
            self.service(mark.many_ports()),
            self.authority(),
        );
        names?;
        alias?;
        many?;
        let (spread, affinity) = (spread?, affinity?);
        let node_port = spread
            .spec
            .iter()
            .flat_map(|spec| spec.ports.iter().flatten())
            .find(|port| port.name.as_deref() == Some("tcp"));
        Ok(Fronts {
            node_port: node_port.and_then(|port| port.node_port).and_then(|port| u16::try_from(port).ok()),
            spread: cluster_ip(&spread)?,
            other_family: other_family(&spread),
            affinity: cluster_ip(&affinity)?,
            authority,
        })
    }

    async fn service(&self, service: serde_json::Value) -> Seen<Service> {
        self.live.cluster.fetch(&Call::create::<Service>(service).in_namespace(&self.namespace)).await
    }

    async fn authority(&self) -> Seen<String> {
        let call = Call::get_in::<ConfigMap>(&self.namespace, "kube-root-ca.crt");
        let look = || self.live.cluster.fetch::<ConfigMap>(&call);
        let published = until(AUTHORITY_PATIENCE, AUTHORITY_PAUSE, look, Result::is_ok).await?;
        let text = published.data.and_then(|mut data| data.remove("ca.crt"));
        text.ok_or_else(|| Unobserved::invalid(call.to_string(), "it has no key ca.crt"))
    }

    /// Makes pods, given by node with their names and what they do, and waits for their answers, by node. Each is made or
    /// refused on its own; see [`collect`].
    pub async fn answers<W: Work>(
        &self,
        pods: &BTreeMap<String, (String, W)>,
        doubtful: &[String],
        patience: Patience,
    ) -> BTreeMap<String, Collected> {
        let made = join_all(pods.iter().map(async |(node, (name, work))| {
            let began = Instant::now();
            (self.pod(node, name, work).await, milliseconds(began.elapsed()))
        }));
        let (mut nodes, mut collected, mut took) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for ((node, (pod, _)), (made, created_ms)) in pods.iter().zip(made.await) {
            took.insert(node.clone(), created_ms);
            match made {
                Ok(()) => drop(nodes.insert(pod.clone(), node.clone())),
                Err(why) => drop(collected.insert(node.clone(), Collected::nothing(why))),
            }
        }
        let pods: Vec<String> = nodes.keys().cloned().collect();
        if !pods.is_empty() {
            let answered = collect(self.live, &self.namespace, &pods, doubtful, patience).await;
            collected.extend(answered.into_iter().filter_map(|(pod, answered)| Some((nodes.remove(&pod)?, answered))));
        }
        for (node, collected) in &mut collected {
            collected.created_ms = took.get(node).copied();
        }
        collected
    }

    /// Makes a pod of a trial, and returns its name.
    pub async fn trial_pod(&self, pod: &TrialPod<'_>) -> Seen<String> {
        let name = pod.name(&self.mark());
        self.pod(pod.node, &name, pod).await?;
        Ok(name)
    }

    /// Makes the Service in front of the pods that have this role in a trial, and returns its ClusterIP.
    pub async fn trial_service(&self, role: &str) -> Seen<IpAddr> {
        cluster_ip(&self.service(self.mark().of_trial(role)).await?)
    }

    /// Removes the Services of a trial again.
    pub async fn withdraw_services(&self) -> Seen<()> {
        let call = Call::delete_all::<Service>()
            .in_namespace(&self.namespace)
            .with("labelSelector", format!("{RUN}={},{LEVEL}={}", self.live.inputs.run, self.level.label()));
        self.live.cluster.delete(&call).await
    }

    /// Makes a network policy.
    pub async fn policy(&self, policy: Policy) -> Seen<()> {
        let call = Call::create::<NetworkPolicy>(policy.object(&self.mark())).in_namespace(&self.namespace);
        self.live.cluster.send(&call).await?.is_answer(&call)
    }

    /// Removes the network policies again.
    pub async fn lift_policies(&self) -> Seen<()> {
        let call = Call::delete_all::<NetworkPolicy>()
            .in_namespace(&self.namespace)
            .with("labelSelector", format!("{RUN}={},{LEVEL}={}", self.live.inputs.run, self.level.label()));
        self.live.cluster.delete(&call).await
    }

    /// Gives the probes the right to get these resources, such as `nodes/metrics`, until the end of the run.
    pub async fn grant(&self, resources: &[&str]) -> Seen<()> {
        let Some(uid) = &self.made else {
            let why = "this run did not make it, and would make nothing outside of it";
            return Err(Unobserved::absent(format!("namespace {}: {why}", self.namespace)));
        };
        let grant = Grant { mark: self.mark(), namespace: (&self.namespace, uid), resources };
        for call in [Call::create::<ClusterRole>(grant.role()), Call::create::<ClusterRoleBinding>(grant.binding())] {
            self.live.cluster.send(&call).await?.is_answer(&call)?;
        }
        Ok(())
    }

    async fn pod(&self, node: &str, name: &str, work: &impl Work) -> Seen<()> {
        let placed = Placed { name, node, image: &self.live.inputs.image, lifetime_seconds: self.lifetime_seconds };
        let object = work.pod(&placed, &self.mark());
        let object = object.map_err(|e| Unobserved::invalid(format!("the probe of {node}"), e))?;
        let call = Call::create::<Pod>(object).in_namespace(&self.namespace);
        self.live.cluster.send(&call).await?.is_answer(&call)?;
        self.live.ledger.add_pod();
        Ok(())
    }

    fn mark(&self) -> Mark<'_> {
        Mark {
            run: &self.live.inputs.run,
            level: self.level,
            expires: self.expires,
            owner: Some((&self.owner.0, &self.owner.1)),
        }
    }
}

fn other_family(service: &Service) -> Option<IpAddr> {
    service.spec.as_ref()?.cluster_ips.as_ref()?.get(1)?.parse().ok()
}

fn cluster_ip(service: &Service) -> Seen<IpAddr> {
    let address = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()).unwrap_or_default();
    address
        .parse()
        .map_err(|_| Unobserved::invalid("a new Service", format!("its clusterIP {address:?} is not an address")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::{answer, answering, cluster};
    use crate::live::testing;

    /// Whether a run whose first request is answered so removes a namespace at its end.
    async fn removes(answered: String) -> bool {
        let (url, _) = answering(vec![answered]).await;
        let live = testing::on(cluster(&url, 1, Duration::from_secs(20)));
        assert!(Site::prepare(&live, Level::Restricted).await.is_err());
        !live.ledger.footprints().is_empty()
    }

    #[tokio::test]
    async fn only_a_refusal_shows_that_nothing_was_made() {
        let refused = |code: u16, reason: &str| {
            let status =
                format!(r#"{{"kind":"Status","apiVersion":"v1","reason":"{reason}","message":"no","code":{code}}}"#);
            answer(&format!("{code} {reason}"), "", &status)
        };
        assert!(!removes(refused(403, "Forbidden")).await && !removes(refused(409, "AlreadyExists")).await);
        assert!(removes(refused(500, "InternalError")).await, "etcd may have it");
        for open in ["<html>log in</html>", r#"{"kind":"Namesp"#, "{}"] {
            assert!(removes(answer("201 Created", "", open)).await, "{open}");
        }
        assert!(removes(answer("403 Forbidden", "", "<html>blocked</html>")).await);
        assert!(removes(String::new()).await, "the connection broke");
    }
}
