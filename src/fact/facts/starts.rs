//! When the components of the control plane and the kubelets started.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::clock::Clock;
use super::kubelet_metrics::{KubeletMetrics, START};
use super::pods::{Container, Pod, Pods};
use crate::fact::Derive;
use crate::object_ref::NamespacedName;
use crate::seen::{Seen, Unobserved};

/// For how long leases, EndpointSlices and the rules of Services may lag once a component serves again. A client whose watch
/// ended asks again after a time that grows to half a minute, doubled at random (client-go's reflector).
pub(crate) const LAG: SignedDuration = SignedDuration::from_secs(60);
/// How far the clocks of nodes may be apart.
const SKEW: SignedDuration = SignedDuration::from_secs(10);
/// A component that ended sooner than this after its start ends again and again.
const STABLE: SignedDuration = SignedDuration::from_mins(2);

/// A component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Component {
    /// etcd.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// kubelet.
    Kubelet,
}

impl Component {
    /// Those that are static pods of the control plane.
    const STATIC: [Self; 4] = [Self::Etcd, Self::ApiServer, Self::ControllerManager, Self::Scheduler];

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// When the components of the control plane and the kubelets started, as far as it is known.
#[derive(Clone, Debug)]
pub(crate) struct Starts {
    /// The server's clock.
    pub now: Timestamp,
    /// The components.
    pub all: Vec<Start>,
    /// Why it is not known when kubelets started, with their nodes.
    pub unseen: Vec<(String, Unobserved)>,
}

/// When a component started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// The component.
    pub component: Component,
    /// The node that it runs on.
    pub node: String,
    /// Its pod; a kubelet has none.
    pub pod: Option<NamespacedName>,
    /// When.
    pub at: Timestamp,
    /// Since when it serves: its pod became ready soon after its container started. One that became ready much later had lost
    /// that, which is no start.
    pub serves_since: Timestamp,
    /// Since when it had been down, if it ran before.
    pub down_since: Option<Timestamp>,
    /// Whether it had started shortly before, too: this is not a restart, but one of many.
    pub is_repeated: bool,
}

impl Start {
    /// Since when what depends on it may have been out of date.
    pub(crate) fn out_since(&self) -> Timestamp {
        self.down_since.unwrap_or(self.at - LAG)
    }
}

impl Starts {
    /// Those of the control plane's static pods. Of kubelets nothing is known.
    pub(crate) fn of_static_pods(pods: &Pods, clock: &Clock) -> Self {
        let started =
            |component: Component| pods.static_pods(component.name()).filter_map(move |pod| of_pod(component, pod));
        Self { now: clock.server, all: Component::STATIC.into_iter().flat_map(started).collect(), unseen: Vec::new() }
    }

    /// The components that serve since a short while, after one start, and for how many seconds.
    pub(crate) fn recent(&self) -> impl Iterator<Item = (&Start, i64)> {
        self.all.iter().filter_map(|start| {
            let ago = self.now.duration_since(start.serves_since);
            let is_recent = !start.is_repeated && ago >= -SKEW && ago <= LAG;
            is_recent.then(|| (start, ago.as_secs().max(0)))
        })
    }
}

impl Derive for Starts {
    type Needs<'a> = (&'a Pods, &'a Clock, Result<&'a KubeletMetrics, &'a Unobserved>);
    const NAME: &'static str = "starts";

    fn derive((pods, clock, kubelets): Self::Needs<'_>) -> Seen<Self> {
        let mut starts = Self::of_static_pods(pods, clock);
        match kubelets {
            Ok(kubelets) => {
                for (node, metrics) in &kubelets.0 {
                    match metrics.as_ref().map_err(Clone::clone).and_then(|metrics| kubelet(node, metrics.get(START))) {
                        Ok(start) => starts.all.push(start),
                        Err(why) => starts.unseen.push((node.clone(), why)),
                    }
                }
            }
            Err(why) => starts.unseen.push((String::new(), why.clone())),
        }
        Ok(starts)
    }
}

fn of_pod(component: Component, pod: &Pod) -> Option<Start> {
    let container = pod.containers.iter().find(|container| container.name == component.name())?;
    let at = container.started?;
    Some(Start {
        component,
        node: pod.node.as_ref()?.to_string(),
        pod: Some(pod.key()),
        at,
        serves_since: pod.ready_since.filter(|ready| (at..at + STABLE).contains(ready)).unwrap_or(at),
        down_since: container.previous.map(|run| run.ended),
        is_repeated: ended_soon(container),
    })
}

/// Whether the last run of a container that ended was a short one.
pub(crate) fn ended_soon(container: &Container) -> bool {
    container.previous.is_some_and(|run| run.ended.duration_since(run.started) < STABLE)
}

fn kubelet(node: &str, start: Option<&String>) -> Seen<Start> {
    let unknown = |why: String| Unobserved::invalid(format!("the kubelet of {node}"), why);
    let written = start.ok_or_else(|| unknown(format!("its metrics lack {START}")))?;
    let seconds: f64 = written.parse().map_err(|e| unknown(format!("{START} is {written}: {e}")))?;
    let since_epoch = SignedDuration::try_from_secs_f64(seconds).map_err(|e| unknown(format!("{START}: {e}")))?;
    let at = Timestamp::from_duration(since_epoch).map_err(|e| unknown(format!("{START}: {e}")))?;
    let node = node.to_owned();
    Ok(Start {
        component: Component::Kubelet,
        node,
        pod: None,
        at,
        serves_since: at,
        down_since: None,
        is_repeated: false,
    })
}

crate::derived!(Starts);

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::fact::facts::pods::PreviousRun;
    use crate::fact::facts::pods::testing::static_pod;

    /// The time in these tests.
    pub(crate) const NOW: &str = "2026-11-30T12:00:00Z";

    /// So many seconds before [`NOW`].
    pub(crate) fn at(ago: i64) -> Timestamp {
        NOW.parse::<Timestamp>().unwrap() - SignedDuration::from_secs(ago)
    }

    /// A Ready static pod on n1 that started so many seconds ago, and whose run before, if any, had lasted from and to these.
    pub(crate) fn started(component: &str, ago: i64, previous: Option<(i64, i64)>) -> (NamespacedName, Pod) {
        let (key, mut pod) = static_pod(component, "n1", &[]);
        (pod.ready, pod.phase) = (true, "Running".into());
        pod.containers[0].started = Some(at(ago));
        pod.containers[0].previous = previous.map(|(from, to)| PreviousRun { started: at(from), ended: at(to) });
        (key, pod)
    }

    /// What follows from these pods and the starts of kubelets, so many seconds ago.
    pub(crate) fn starts(pods: &Pods, kubelets: &[(&str, i64)]) -> Starts {
        let start = |ago: i64| [(START.to_owned(), format!("{}e+00", at(ago).as_second()))].into();
        let kubelets = kubelets.iter().map(|(node, ago)| ((*node).to_owned(), Ok(start(*ago)))).collect();
        let clock = Clock { server: at(0), here: at(0) };
        Starts::derive((pods, &clock, Ok(&KubeletMetrics(kubelets)))).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{started, starts};
    use super::*;

    fn recent(pods: impl IntoIterator<Item = (NamespacedName, Pod)>, kubelets: &[(&str, i64)]) -> Vec<String> {
        let starts = starts(&Pods(pods.into_iter().collect()), kubelets);
        starts.recent().map(|(start, ago)| format!("{} on {} {ago}", start.component, start.node)).collect()
    }

    #[test]
    fn what_serves_since_a_minute_is_recent() {
        assert_eq!(recent([started("etcd", 66, None)], &[("n2", 66)]), Vec::<String>::new());
        assert_eq!(recent([started("etcd", 60, None)], &[("n2", 3)]), ["etcd on n1 60", "kubelet on n2 3"]);
        let (key, pod) = started("etcd", 80, None);
        let ready = |ago| (key.clone(), Pod { ready_since: Some(testing::at(ago)), ..pod.clone() });
        assert_eq!(recent([ready(58)], &[]), ["etcd on n1 58"], "it was not ready before");
        assert_eq!(recent([ready(3600)], &[]), Vec::<String>::new(), "the kubelet has not seen it restart");
        let (key, pod) = started("etcd", 3600, None);
        let flapping = (key, Pod { ready_since: Some(testing::at(20)), ..pod });
        assert_eq!(recent([flapping], &[]), Vec::<String>::new(), "it has not been restarted");
        assert_eq!(recent([started("etcd", -5, None)], &[("n2", -3600)]), ["etcd on n1 0"], "clocks differ");
    }

    #[test]
    fn what_ends_again_and_again_has_not_just_been_restarted() {
        assert_eq!(recent([started("etcd", 20, Some((9000, 30)))], &[]), ["etcd on n1 20"]);
        assert_eq!(recent([started("etcd", 20, Some((90, 30)))], &[]), Vec::<String>::new());
    }

    #[test]
    fn a_kubelet_whose_start_is_not_known_has_a_reason() {
        let clock = Clock { server: testing::at(0), here: testing::at(0) };
        let metrics = KubeletMetrics([("n1".to_owned(), Ok([].into()))].into());
        let starts = Starts::derive((&Pods::default(), &clock, Ok(&metrics))).unwrap();
        assert_eq!((starts.all.len(), starts.unseen.len()), (0, 1));
        let starts = Starts::derive((&Pods::default(), &clock, Err(&Unobserved::Interrupted))).unwrap();
        assert_eq!(starts.unseen.len(), 1);
    }
}
