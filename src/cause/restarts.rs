//! What a restart may explain.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Places;
use crate::check::outcome::Unseen;
use crate::check::{Cause, Subject};
use crate::fact::Facts;
use crate::fact::facts::leader_leases::LeaderLeases;
use crate::fact::facts::pods::{Container, Pods};
use crate::fact::facts::starts::{Component, Start, Starts, ended_soon};
use crate::object_ref::NamespacedName;

/// The check that names restarts.
pub(super) const CHECK: &str = "CP-20";

/// The checks of Services and names that a run creates: a restart of what keeps EndpointSlices is felt in the whole cluster.
const OF_NEW_SERVICES: [&str; 4] = ["SN-09", "SN-10", "SN-12", "DN-06"];
/// The checks of Services that were there before.
const OF_SERVICES: [&str; 2] = ["SN-04", "DN-04"];
/// For how many seconds a restart may take their endpoints away: what fails later than that has another cause.
const SERVICES_LAG: i64 = 30;
/// The check of new pods: a kubelet learns of them from the API server.
const OF_NEW_PODS: &str = "KL-16";
/// The checks of the way to a kubelet.
const OF_KUBELETS: [&str; 2] = ["KL-09", "KL-14"];

/// The restarts of the last minute, and what else shows whether something follows from one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Restarts {
    starts: Vec<Start>,
    /// How many seconds ago what keeps EndpointSlices started, if that is recent.
    services_lag: Option<i64>,
    /// The containers that are not ready, of the pods that are not.
    not_ready: BTreeMap<NamespacedName, Vec<Container>>,
    /// When each leader last renewed its lease.
    renewed: BTreeMap<String, Timestamp>,
}

/// How many seconds ago what keeps EndpointSlices started, if that is recent. A client whose watch has ended asks again after
/// a time that grows to half a minute, and to a whole one at random (client-go's reflector).
fn services_lag(starts: &Starts) -> Option<i64> {
    let keeps_slices = [Component::ApiServer, Component::Etcd, Component::ControllerManager];
    starts.recent().filter(|(start, _)| keeps_slices.contains(&start.component)).map(|(_, ago)| ago).min()
}

impl Restarts {
    /// What these facts show.
    pub(crate) fn of(facts: &Facts) -> Self {
        let Ok(starts) = facts.seen::<Starts>() else { return Self::default() };
        let leases = facts.seen::<LeaderLeases>().map(|leases| leases.0.clone()).unwrap_or_default();
        let pods = facts.seen::<Pods>();
        let not_ready = pods.iter().flat_map(|pods| pods.0.iter()).filter(|(_, pod)| !pod.ready).map(|(name, pod)| {
            (name.clone(), pod.containers.iter().filter(|container| !container.ready).cloned().collect())
        });
        Self {
            services_lag: services_lag(starts),
            starts: starts.recent().map(|(start, _)| start.clone()).collect(),
            not_ready: not_ready.collect(),
            renewed: leases.into_iter().filter_map(|(name, lease)| Some((name, lease.ok()?.renewed))).collect(),
        }
    }

    /// The things that a finding is about, by whether it may follow from a restart.
    pub(super) fn split(
        &self,
        check: &str,
        subjects: Vec<Subject>,
        places: &Places,
    ) -> BTreeMap<Option<Cause>, Vec<Subject>> {
        let mut parts: BTreeMap<_, Vec<Subject>> = BTreeMap::new();
        for subject in subjects {
            let cause = self.explains(check, Some(&subject), only_node(places, &subject)).then(cause);
            parts.entry(cause).or_default().push(subject);
        }
        parts
    }

    /// The restart for which something may not have been seen. A missing right is not one.
    pub(super) fn behind(&self, check: &str, unseen: &Unseen, places: &Places) -> Option<Cause> {
        let on_its_node = |node: &str| {
            let asked = [Component::ApiServer, Component::Etcd, Component::Kubelet];
            self.starts.iter().any(|start| start.node == node && asked.contains(&start.component))
        };
        let is_explained = |subject: &Subject| {
            let node = only_node(places, subject);
            node.is_some_and(on_its_node) || self.explains(check, Some(subject), node)
        };
        let is_late = check == OF_NEW_PODS
            && self.starts.iter().any(|start| [Component::ApiServer, Component::Etcd].contains(&start.component));
        let is_explained = match unseen.subjects.as_slice() {
            _ if is_late => true,
            [] => self.explains(check, None, None),
            subjects => subjects.iter().all(is_explained),
        };
        (unseen.missing.is_none() && is_explained).then(cause)
    }

    fn explains(&self, check: &str, subject: Option<&Subject>, node: Option<&str>) -> bool {
        let of = |components: &[Component]| self.starts.iter().any(|start| components.contains(&start.component));
        let kubelet_of = |node: Option<&str>| {
            self.starts.iter().any(|start| start.component == Component::Kubelet && node == Some(start.node.as_str()))
        };
        match check {
            "CP-03" | "HA-03" => subject.is_some_and(|subject| self.explains_pod(subject, node)),
            "CP-05" => subject.is_some_and(|subject| self.explains_lease(&subject.name)),
            "SN-03" => of(&[Component::ApiServer, Component::Etcd]),
            check if OF_NEW_SERVICES.contains(&check) => self.services_lag.is_some(),
            check if OF_SERVICES.contains(&check) => self.services_lag.is_some_and(|ago| ago <= SERVICES_LAG),
            check if OF_KUBELETS.contains(&check) => kubelet_of(node),
            _ => false,
        }
    }

    /// Whether a pod of the control plane may not be ready because of a restart on its node. A container that kept ending
    /// before that has a fault of its own.
    fn explains_pod(&self, subject: &Subject, node: Option<&str>) -> bool {
        let Some(namespace) = &subject.namespace else { return false };
        let name = NamespacedName::new(namespace.clone(), subject.name.clone());
        let (Some(containers), Some(node)) = (self.not_ready.get(&name), node) else { return false };
        let restarts: Vec<&Start> = self.starts.iter().filter(|start| start.node == node).collect();
        let follows = |container: &Container| {
            let since = container.previous.map(|run| run.started);
            let after = |start: &&Start| since.is_some_and(|since| since >= start.out_since());
            !ended_soon(container) || restarts.iter().any(after)
        };
        !restarts.is_empty() && containers.iter().all(follows)
    }

    /// Whether a lease was renewed until the API server, etcd or its holder ended.
    fn explains_lease(&self, name: &str) -> bool {
        let Some(renewed) = self.renewed.get(name) else { return false };
        let below = [Component::ApiServer.name(), Component::Etcd.name(), name];
        // A leader renews every two seconds, and gives up after ten.
        let until = |start: &Start| *renewed + jiff::SignedDuration::from_secs(15) >= start.out_since();
        self.starts.iter().any(|start| below.contains(&start.component.name()) && until(start))
    }
}

/// The node that something is on, if it is on one alone.
fn only_node<'a>(places: &'a Places, subject: &'a Subject) -> Option<&'a str> {
    let nodes = places.of_subject(subject);
    nodes.first().copied().filter(|_| nodes.len() == 1)
}

fn cause() -> Cause {
    Cause { check: CHECK.to_owned(), finding: Some(0) }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::fact::facts::pods::PreviousRun;
    use crate::fact::facts::starts::testing::{at, started, starts};

    /// A component, how many seconds ago it started, and its run before that: when it started and ended.
    type Began<'a> = (&'a str, i64, Option<(i64, i64)>);

    /// What is known where these static pods of n1 and kubelets started, and the scheduler last renewed its lease so many
    /// seconds ago.
    pub(super) fn restarts(pods: &[Began<'_>], kubelets: &[(&str, i64)], renewed: i64) -> Restarts {
        let pods = Pods(pods.iter().map(|(component, ago, run)| started(component, *ago, *run)).collect());
        let not_ready = |previous: Option<(i64, i64)>| {
            let previous = previous.map(|(from, to)| PreviousRun { started: at(from), ended: at(to) });
            vec![Container { previous, ..Container::default() }]
        };
        let of = |component: &str| NamespacedName::new("kube-system", format!("{component}-n1"));
        let starts = starts(&pods, kubelets);
        Restarts {
            services_lag: services_lag(&starts),
            starts: starts.recent().map(|(start, _)| start.clone()).collect(),
            not_ready: [
                (of("kube-scheduler"), not_ready(Some((9000, 35)))),
                (of("kube-controller-manager"), not_ready(Some((30, 20)))),
                (of("etcd"), not_ready(Some((150, 50)))),
            ]
            .into(),
            renewed: [("kube-scheduler".to_owned(), at(renewed))].into(),
        }
    }

    /// The API server of n1 ended 45 s ago and started 40 s ago.
    pub(in crate::cause) fn of_api_server() -> Restarts {
        restarts(&[("kube-apiserver", 25, Some((9000, 30)))], &[("n1", 9000)], 50)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{of_api_server, restarts};
    use super::*;

    fn pod(component: &str) -> Subject {
        Subject::object("Pod", "kube-system", format!("{component}-n1"))
    }

    #[test]
    fn without_a_restart_nothing_is_explained() {
        let none = restarts(&[("kube-apiserver", 100, None)], &[("n1", 100)], 50);
        for check in ["CP-03", "CP-05", "SN-09", "KL-09", "SN-03"] {
            assert!(!none.explains(check, Some(&pod("kube-scheduler")), Some("n1")), "{check}");
        }
    }

    #[test]
    fn services_and_dns_follow_from_a_restart_in_the_control_plane_and_other_checks_do_not() {
        let restarts = of_api_server();
        let node = Subject::node("n3");
        for check in OF_NEW_SERVICES.iter().chain(&OF_SERVICES).chain(&["SN-03"]) {
            assert!(restarts.explains(check, Some(&node), Some("n3")), "{check}");
        }
        for check in ["CP-01", "CN-04", "PK-02", "KL-09", "AA-01"] {
            assert!(!restarts.explains(check, Some(&node), Some("n3")), "{check}");
        }
    }

    #[test]
    fn new_services_lag_for_a_minute_and_others_for_half_of_it() {
        let lags = |check, ago| {
            restarts(&[("kube-apiserver", ago, Some((9000, ago + 5)))], &[], 50).explains(check, None, Some("n3"))
        };
        assert!(lags("SN-09", 55) && !lags("SN-09", 70));
        assert!(lags("SN-04", 25) && !lags("SN-04", 35));
    }

    #[test]
    fn a_kubelet_explains_its_own_node_only() {
        let restarts = restarts(&[], &[("n2", 8)], 5);
        for check in ["KL-09", "KL-14"] {
            assert!(restarts.explains(check, Some(&Subject::node("n2")), Some("n2")), "{check}");
            assert!(!restarts.explains(check, Some(&Subject::node("n3")), Some("n3")), "{check}");
        }
        for check in ["SN-03", "CP-05", "SN-09", "DN-04"] {
            assert!(!restarts.explains(check, None, Some("n2")), "{check}");
        }
    }

    #[test]
    fn a_pod_that_kept_ending_before_has_a_fault_of_its_own() {
        let restarts = of_api_server();
        let explains = |component: &str, node| {
            let [here, there] = ["CP-03", "HA-03"].map(|id| restarts.explains(id, Some(&pod(component)), Some(node)));
            here && there
        };
        assert!(explains("kube-scheduler", "n1"), "it had run for hours");
        assert!(explains("kube-controller-manager", "n1"), "it began to fail when the API server was down");
        assert!(!explains("etcd", "n1"), "it had ended before, and after a short run again");
        assert!(!explains("kube-scheduler", "n2") && !explains("kube-apiserver", "n1"));
    }

    #[test]
    fn a_lease_that_was_stale_before_has_a_fault_of_its_own() {
        let lease = Subject::object("Lease", "kube-system", "kube-scheduler");
        let explains = |renewed| {
            let restarts = restarts(&[("kube-apiserver", 40, Some((9000, 45)))], &[], renewed);
            restarts.explains("CP-05", Some(&lease), None)
        };
        assert!(explains(50) && explains(59) && !explains(61) && !explains(5000));
        let other = restarts(&[("kube-controller-manager", 40, Some((9000, 45)))], &[], 50);
        assert!(!other.explains("CP-05", Some(&lease), None), "another component has restarted");
    }

    #[test]
    fn what_could_not_be_asked_on_the_node_follows_and_a_missing_right_does_not() {
        let (restarts, places) = (of_api_server(), Places::default());
        let unseen = |node: &str, missing: Option<&str>| Unseen {
            subjects: vec![Subject::node(node)],
            why: "connection refused".into(),
            missing: missing.map(str::to_owned),
            cause: None,
        };
        assert_eq!(restarts.behind("PK-03", &unseen("n1", None), &places), Some(cause()));
        assert_eq!(restarts.behind("PK-03", &unseen("n2", None), &places), None);
        assert_eq!(restarts.behind("PK-03", &unseen("n1", Some("get nodes")), &places), None);
        assert_eq!(
            restarts.behind("KL-16", &unseen("n2", None), &places),
            Some(cause()),
            "a kubelet waits for new pods"
        );
    }
}
