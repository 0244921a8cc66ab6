//! Takes probes away: those of this run at its end, and those of dead runs.
//!
//! Kubernetes finalizes a namespace only some seconds after its deletion, even an empty one. No one needs to wait for that:
//! when everything in it is deleted, nothing of the run has an effect any more, and nothing new can be created there.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use k8s_openapi::Resource;
use k8s_openapi::api::core::v1::{Namespace, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use super::object::{Level, MANAGED_BY, RUN, marked};
use crate::cluster::{Call, Cluster, until};
use crate::live::{Footprint, RunId};
use crate::seen::{Seen, Unobserved};

/// How often a namespace that is being deleted is looked at.
const PAUSE: Duration = Duration::from_millis(100);

/// The leftovers of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The run.
    pub run: RunId,
    /// Where its objects are.
    pub footprint: Footprint,
    /// When it may be removed.
    pub expires: Option<Timestamp>,
    /// Since when it is being deleted: nothing more needs to be done about it.
    pub deleting: Option<Timestamp>,
}

impl Leftover {
    /// Whether the run is dead: its time is over, whatever became of it.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires < now)
    }
}

/// Deletes everything of one run in this place, and confirms that all that has an effect is deleted. The run's own namespace,
/// empty by then, is finalized by Kubernetes later. What fails does not keep the rest from being deleted.
pub async fn remove(cluster: &Cluster, run: &RunId, footprint: &Footprint, patience: Duration) -> Seen<()> {
    let Footprint { namespace, own_namespace, owner } = footprint;
    // First: from then on nothing is created in it, by a request that is still on its way either.
    let begun = if *own_namespace {
        cluster.delete_within(&Call::delete::<Namespace>(namespace), patience).await
    } else {
        Ok(())
    };
    let collections = collections(run, footprint);
    let objects = objects(footprint, Level::named(run, owner));
    let (collections, objects) = futures_util::future::join(
        join_all(collections.iter().map(|call| cluster.delete_all(call, patience))),
        join_all(objects.iter().map(|call| cluster.delete_within(call, patience))),
    )
    .await;
    [begun].into_iter().chain(collections).chain(objects).collect()
}

/// The deletions of what a run may have made many of in a place.
fn collections(run: &RunId, footprint: &Footprint) -> Vec<Call> {
    let selector = format!("{RUN}={run}");
    // Without a grace period the objects go at once, on dead nodes as well; the kubelet ends the containers.
    let at_once = json!({ "gracePeriodSeconds": 0, "propagationPolicy": "Background" });
    let all = |call: Call| {
        call.in_namespace(&footprint.namespace).with("labelSelector", selector.clone()).body(at_once.clone())
    };
    let rules = Level::named(run, &footprint.owner).map(Level::rules).unwrap_or_default();
    // A run needs no right to delete what it never makes.
    let makes = |resource| rules.iter().any(|rule| rule.resource == resource);
    let mut calls = vec![all(Call::delete_all::<Pod>())];
    if makes(Service::URL_PATH_SEGMENT) {
        calls.push(all(Call::delete_all::<Service>()));
    }
    if makes(NetworkPolicy::URL_PATH_SEGMENT) {
        calls.push(all(Call::delete_all::<NetworkPolicy>()));
    }
    calls
}

/// The deletions of what a run has made one of for a place. Without the account, no token of it is accepted any more.
fn objects(footprint: &Footprint, level: Option<Level>) -> Vec<Call> {
    let Footprint { namespace, owner, .. } = footprint;
    let mut calls = vec![Call::delete::<ServiceAccount>(owner).in_namespace(namespace)];
    if level == Some(Level::Monitoring) {
        calls.push(Call::delete::<ClusterRoleBinding>(owner));
        calls.push(Call::delete::<ClusterRole>(owner));
    }
    calls
}

/// Waits until the namespace of a run is finalized.
pub async fn finalized(cluster: &Cluster, namespace: &str, patience: Duration) -> Seen<()> {
    let call = Call::get::<Namespace>(namespace);
    let look = async || cluster.send(&call).await?.accepted(&call);
    match until(patience, PAUSE, look, Result::is_err).await {
        Err(Unobserved::Absent { .. }) => Ok(()),
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
    Level::named(&run, named)?;
    let footprint = Footprint {
        namespace: namespace.unwrap_or(named).to_owned(),
        own_namespace: namespace.is_none(),
        owner: named.to_owned(),
    };
    let deleting = metadata.deletion_timestamp.as_ref().map(|since| since.0);
    Some(Leftover { run, footprint, expires, deleting })
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
        assert_eq!(
            (on_the_host.run.to_string().as_str(), on_the_host.footprint.owner.as_str()),
            ("bcd42", "seaworthy-bcd42-host")
        );
        assert_eq!(leftover(&metadata("production", "bcd42", "2026-11-23T11:00:00Z"), None), None);
        assert_eq!(leftover(&metadata("seaworthy-prod", "prod", "2026-11-23T11:00:00Z"), None), None);
        let mut unmarked = metadata("seaworthy-bcd42", "bcd42", "2026-11-23T11:00:00Z");
        unmarked.labels.as_mut().unwrap().remove(MANAGED_BY.0);
        assert_eq!(leftover(&unmarked, None), None);
        let unreadable = leftover(&metadata("seaworthy-bcd42", "bcd42", "soon"), None).unwrap();
        assert!(!unreadable.is_expired(now), "without a time of death nothing is dead");
    }

    #[test]
    fn a_namespace_that_is_being_deleted_is_known_as_such() {
        let mut metadata = metadata("seaworthy-bcd42", "bcd42", "2026-11-23T11:00:00Z");
        assert_eq!(leftover(&metadata, None).unwrap().deleting, None);
        let since: Timestamp = "2026-11-23T11:00:01Z".parse().unwrap();
        metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(since));
        assert_eq!(leftover(&metadata, None).unwrap().deleting, Some(since));
    }

    #[test]
    fn a_run_deletes_what_its_level_makes_with_the_rights_of_that_level() {
        let run: RunId = "bcd42".parse().unwrap();
        for level in Level::ALL {
            let footprint = Footprint { namespace: level.name(&run), own_namespace: true, owner: level.name(&run) };
            let calls: Vec<String> = collections(&run, &footprint)
                .iter()
                .chain(&objects(&footprint, Some(level)))
                .map(Call::permission)
                .collect();
            for rule in level.rules().iter().filter(|rule| rule.verbs.contains(&"create")) {
                let deletes =
                    |verb: &str| calls.iter().any(|call| call.starts_with(&format!("{verb} {}", rule.resource)));
                let is_namespace = rule.resource == "namespaces";
                assert!(is_namespace || deletes("deletecollection") || deletes("delete"), "{level:?}: {rule:?}");
            }
            for call in &calls {
                let (verb, rest) = call.split_once(' ').unwrap();
                let resource = rest.split([' ', '.']).next().unwrap();
                let is_granted = |rule: &crate::rule::Rule| rule.resource == resource && rule.verbs.contains(&verb);
                assert!(level.rules().iter().any(is_granted), "{level:?}: {call}");
            }
        }
    }
}
