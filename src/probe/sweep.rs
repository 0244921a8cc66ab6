//! Takes probes away: those of this run at its end, and those of dead runs.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use super::object::{Level, MANAGED_BY, RUN, marked};
use crate::cluster::{Call, Cluster, until};
use crate::live::Footprint;
use crate::seen::{Seen, Unobserved};

/// How often a namespace that is being deleted is looked at.
const PAUSE: Duration = Duration::from_millis(100);

/// The leftovers of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The run.
    pub run: String,
    /// Where its objects are.
    pub footprint: Footprint,
    /// When it may be removed.
    pub expires: Option<Timestamp>,
}

impl Leftover {
    /// Whether the run is dead: its time is over, whatever became of it.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires < now)
    }
}

/// Removes everything of one run, and waits until it is deleted. Returns what is left.
pub async fn remove(cluster: &Cluster, run: &str, footprint: &Footprint, patience: Duration) -> Seen<()> {
    let namespace = &footprint.namespace;
    let selector = format!("{RUN}={run}");
    // Without a grace period the objects go at once, on dead nodes as well; the kubelet ends the containers.
    let at_once = json!({ "gracePeriodSeconds": 0, "propagationPolicy": "Background" });
    let all = |call: Call| call.in_namespace(namespace).with("labelSelector", selector.clone()).body(at_once.clone());
    done(cluster, &all(Call::delete_all::<Pod>())).await?;
    if footprint.own_namespace {
        done(cluster, &Call::delete::<Namespace>(namespace)).await?;
        return gone(cluster, &Call::get::<Namespace>(namespace), patience).await;
    }
    done(cluster, &all(Call::delete_all::<Service>())).await?;
    match done(cluster, &all(Call::delete_all::<NetworkPolicy>())).await {
        // Probes on nodes have none, and need no right to it. If there is one all the same, it is deleted with its owner.
        Ok(()) | Err(Unobserved::Refused { .. }) => {}
        Err(why) => return Err(why),
    }
    done(cluster, &Call::delete::<ServiceAccount>(footprint.owner.clone()).in_namespace(namespace)).await
}

/// Deletes an object. One that no longer exists is as good.
async fn done(cluster: &Cluster, call: &Call) -> Seen<()> {
    match cluster.send(call).await?.accepted(call) {
        Err(Unobserved::Absent { .. }) => Ok(()),
        other => other,
    }
}

async fn gone(cluster: &Cluster, call: &Call, patience: Duration) -> Seen<()> {
    let look = async || cluster.send(call).await?.accepted(call);
    match until(patience, PAUSE, look, Result::is_err).await {
        // A credential that may delete a namespace and not read it has done what it can.
        Err(Unobserved::Absent { .. } | Unobserved::Refused { .. }) => Ok(()),
        Err(why) => Err(why),
        Ok(()) => {
            let cause = format!("it is still being deleted after {} s", patience.as_secs());
            Err(Unobserved::invalid(call.to_string(), cause))
        }
    }
}

/// Finds what runs have left: in namespaces of their own, or in the one that is named.
pub async fn find(cluster: &Cluster, namespace: Option<&str>) -> Seen<Vec<Leftover>> {
    let ours = format!("{}={}", MANAGED_BY.0, MANAGED_BY.1);
    match namespace {
        None => {
            let call = Call::list::<Namespace>().with("labelSelector", ours);
            let found = cluster.list(call, |namespace: Namespace| leftover(&namespace.metadata, None)).await?;
            Ok(found.into_iter().flatten().collect())
        }
        Some(namespace) => {
            let call = Call::list::<ServiceAccount>().in_namespace(namespace).with("labelSelector", ours);
            let found =
                cluster.list(call, |account: ServiceAccount| leftover(&account.metadata, Some(namespace))).await?;
            Ok(found.into_iter().flatten().collect())
        }
    }
}

/// What an object is left of; none when its name and its labels do not agree, so that only our own are touched.
fn leftover(metadata: &ObjectMeta, namespace: Option<&str>) -> Option<Leftover> {
    let (run, expires) = marked(metadata)?;
    let named = metadata.name.as_deref()?;
    if !Level::ALL.iter().any(|level| level.name(&run) == named) {
        return None;
    }
    let footprint = Footprint {
        namespace: namespace.unwrap_or(named).to_owned(),
        own_namespace: namespace.is_none(),
        owner: named.to_owned(),
    };
    Some(Leftover { run: run.to_string(), footprint, expires })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::probe::object::EXPIRES;

    fn metadata(name: &str, run: &str, expires: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.into()),
            labels: Some([(RUN, run), MANAGED_BY].map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            annotations: Some(BTreeMap::from([(EXPIRES.into(), expires.into())])),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn only_what_is_surely_ours_and_dead_is_swept() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let dead = leftover(&metadata("seaworthy-bcd42", "bcd42", "2026-11-23T11:59:59Z"), None).unwrap();
        assert!(dead.is_expired(now) && dead.footprint.own_namespace);
        let alive = leftover(&metadata("seaworthy-bcd42", "bcd42", "2026-11-23T12:00:01Z"), None).unwrap();
        assert!(!alive.is_expired(now));
        let on_the_host = leftover(&metadata("seaworthy-bcd42-host", "bcd42", "2026-11-23T11:59:59Z"), None).unwrap();
        assert_eq!((on_the_host.run.as_str(), on_the_host.footprint.owner.as_str()), ("bcd42", "seaworthy-bcd42-host"));
        assert_eq!(leftover(&metadata("production", "bcd42", "2026-11-23T11:00:00Z"), None), None);
        assert_eq!(leftover(&metadata("seaworthy-prod", "prod", "2026-11-23T11:00:00Z"), None), None);
        let mut unmarked = metadata("seaworthy-bcd42", "bcd42", "2026-11-23T11:00:00Z");
        unmarked.labels.as_mut().unwrap().remove(MANAGED_BY.0);
        assert_eq!(leftover(&unmarked, None), None);
        let unreadable = leftover(&metadata("seaworthy-bcd42", "bcd42", "soon"), None).unwrap();
        assert!(!unreadable.is_expired(now), "without a time of death nothing is dead");
    }
}
