//! # The pods and workloads of kube-system are healthy
//!
//! ## Why
//! The whole cluster depends on what runs in kube-system. A pod that crashes or waits there is a part of the cluster that does
//! not work, and a missing replica is the one that should survive the next failure.
//!
//! ## Fix
//! For a pod that crashes: `kubectl -n kube-system describe pod POD` and `kubectl -n kube-system logs POD --previous`. For a pod
//! that waits, the events at the end of `describe` show why. For a failing metrics API: `kubectl -n kube-system logs
//! deployment/metrics-server`; if single nodes are missing, check their kubelets' certificates and port 10250.
//!
//! ## Source
//! kubernetes/kubernetes `pkg/kubelet/images`, `pkg/kubelet/kuberuntime` (reasons for waiting);
//! <https://kubernetes.io/docs/tasks/administer-cluster/guaranteed-scheduling-critical-addon-pods/>;
//! <https://kubernetes.io/docs/tasks/debug/debug-cluster/resource-metrics-pipeline/>. OpenShift's own
//! namespaces count like kube-system. Static pods of the control plane are part of CP-03.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::clock::Clock;
use crate::fact::facts::node_metrics::NodeMetrics;
use crate::fact::facts::nodes::{Node, Nodes};
use crate::fact::facts::pods::{Container, Owner, Pod, Pods};
use crate::fact::facts::system_workloads::SystemWorkloads;
use crate::object_ref::ObjectRef;
use crate::seen::Unobserved;
use crate::suites::node_changes::comes_or_goes;
use crate::suites::pods::failed_again;
use crate::suites::rights;

crate::check!(
    "AD-03",
    "system-pods",
    Major,
    judge,
    builds_on: ["AD-01", "CN-01", "CN-02", "CP-03", "CP-05", "DN-02", "DN-09", "KL-01", "SN-05"],
    blocked_by: ["CP-10"]
);

const NAMESPACE: &str = "kube-system";
/// How long a new pod may take to start, in seconds.
const PATIENCE: i64 = 300;
/// Waiting reasons of containers that do not go away by themselves.
const STUCK: [&str; 8] = [
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];
/// The add-ons that everything depends on.
const CRITICAL: [ObjectRef; 2] = [
    ObjectRef::fixed_in(NAMESPACE, "DaemonSet", "kube-proxy"),
    ObjectRef::fixed_in(NAMESPACE, "Deployment", "coredns"),
];

fn judge(
    pods: &Pods,
    workloads: &SystemWorkloads,
    nodes: &Nodes,
    clock: &Clock,
    metrics: Result<&NodeMetrics, &Unobserved>,
) -> Verdict {
    let mut verdict = Verdict::new();
    judge_pods(&mut verdict, pods, nodes, clock.server);
    for (object, workload) in &workloads.0 {
        let subject = || Subject::from(object);
        // Controllers do not count the pods of a lost node, and KL-01 reports the node.
        let lost = lost_pods(object, pods, nodes);
        let starting = starting_pods(object, pods, nodes, clock.server);
        let enough_with = |others: usize| {
            workload.available.saturating_add(i32::try_from(others).unwrap_or(i32::MAX)) >= workload.desired
        };
        if enough_with(lost + starting) && !enough_with(lost) {
            verdict.note_about(subject(), format!("{} still starting", counted(starting)));
        } else {
            verdict.expect(subject(), enough_with(lost), || {
                Finding::new(
                    "every replica is available",
                    format!("{} of {} are available", workload.available, workload.desired),
                )
                .impact("the workload runs with fewer replicas than planned, or not at all")
                .comes_from(object)
                .fix(format!("read the events: kubectl describe {}", rights::object(object)))
            });
        }
        let priority = workload.priority_class.as_deref().unwrap_or("none");
        if CRITICAL.contains(object) {
            verdict.expect(subject(), priority.starts_with("system-"), || {
                let (kind, name) = (object.kind.to_lowercase(), &object.name);
                let class = if kind == "daemonset" { "system-node-critical" } else { "system-cluster-critical" };
                Finding::new(format!("priority class {class}"), format!("priority class {priority}"))
                    .impact("less important pods can displace it when a node runs short of resources")
                    .fix(format!(
                        "kubectl -n {NAMESPACE} patch {kind} {name} -p \
                         '{{\"spec\":{{\"template\":{{\"spec\":{{\"priorityClassName\":\"{class}\"}}}}}}}}'"
                    ))
                    .managed_by(workload.manager.as_ref())
                    .severity(Severity::Minor)
            });
        }
    }
    judge_metrics(&mut verdict, nodes, metrics, clock.server);
    verdict
}

fn counted(pods: usize) -> String {
    if pods == 1 { "1 pod".into() } else { format!("{pods} pods") }
}

/// How many pods of a workload are missing because their nodes are lost.
fn lost_pods(workload: &ObjectRef, pods: &Pods, nodes: &Nodes) -> usize {
    if workload.kind == "DaemonSet" {
        return nodes.0.values().filter(|node| !node.is_ready()).count();
    }
    pods_of(workload, pods).filter(|pod| lost_node(pod, nodes).is_some()).count()
}

/// How many pods of a workload are not available because they are still starting, on nodes that are there.
fn starting_pods(workload: &ObjectRef, pods: &Pods, nodes: &Nodes, now: Timestamp) -> usize {
    let is_new = |pod: &&Pod| pod.created.is_some_and(|created| now.as_second() - created.as_second() < PATIENCE);
    let is_starting = |pod: &&Pod| pod.node.is_some() && !pod.ready && is_new(pod) && trouble(pod, now).is_none();
    pods_of(workload, pods).filter(is_starting).filter(|pod| lost_node(pod, nodes).is_none()).count()
}

fn pods_of<'a>(workload: &ObjectRef, pods: &'a Pods) -> impl Iterator<Item = &'a Pod> {
    // A Deployment's pods belong to its ReplicaSets, which have its name and a hash.
    let is_owner = move |owner: &Owner| match workload.kind.as_ref() {
        "Deployment" => {
            let hash = owner.name.strip_prefix(workload.name.as_ref()).and_then(|rest| rest.strip_prefix('-'));
            owner.kind == "ReplicaSet" && hash.is_some()
        }
        kind => owner.kind == kind && owner.name == workload.name,
    };
    pods.of_namespace(NAMESPACE).filter(move |pod| pod.owner.as_ref().is_some_and(is_owner) && !pod.deleting)
}

/// The node that the pod is on, if that is lost.
fn lost_node<'a>(pod: &'a Pod, nodes: &Nodes) -> Option<&'a str> {
    let node = pod.node.as_deref()?;
    nodes.0.get(node).is_some_and(|node| !node.is_ready()).then_some(node)
}

/// One finding for each workload and cause, not for each of its pods.
fn judge_pods(verdict: &mut Verdict, pods: &Pods, nodes: &Nodes, now: Timestamp) {
    let mut stuck: BTreeMap<(String, Owner, String), Vec<&Pod>> = BTreeMap::new();
    let ours = |pod: &&Pod| (pod.namespace == NAMESPACE || pod.namespace.starts_with("openshift-")) && !pod.is_mirror();
    let mut unseen: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in pods.0.values().filter(ours) {
        // The state of pods on a lost node is unknown.
        if let Some(node) = lost_node(pod, nodes) {
            *unseen.entry(node).or_default() += 1;
            continue;
        }
        match trouble(pod, now) {
            Some(why) => stuck.entry((pod.namespace.clone(), owner(pod), why)).or_default().push(pod),
            None => verdict.confirm(),
        }
    }
    for (node, count) in unseen {
        let pods = format!("{count} system pods on {node}");
        verdict.unseen(Subject::node(node), &Unobserved::unreachable(pods, "the node is not Ready"));
    }
    for ((namespace, _, why), pods) in stuck {
        let first = &pods[0].name;
        let finding = Finding::new("the containers run", why);
        let finding = match pods[0].workload() {
            // A pod that no node was chosen for waits for the scheduler.
            _ if pods[0].node.is_none() => finding.same_as(&["CP-03", "CP-05"]).comes_from(pods[0].key().of("Pod")),
            Some(workload) => finding.comes_from(workload),
            None => finding.comes_from(pods[0].key().of("Pod")),
        };
        verdict.find_together(
            pods.iter().map(|pod| Subject::object("Pod", &namespace, &pod.name)),
            pods.len(),
            finding.impact("a part of the cluster that everything depends on does not work").fix(format!(
                "find the reason: kubectl -n {namespace} describe pod {first}; \
                     kubectl -n {namespace} logs {first} --previous"
            )),
        );
    }
}

/// The controller; a pod without one is its own.
fn owner(pod: &Pod) -> Owner {
    pod.owner.clone().unwrap_or_else(|| Owner { kind: "Pod".into(), name: pod.name.as_str().into() })
}

/// Why the pod does not work, if it will not recover by itself.
fn trouble(pod: &Pod, now: Timestamp) -> Option<String> {
    if pod.phase == "Succeeded" || pod.deleting {
        return None;
    }
    let waiting = |container: &Container| {
        let reason = container.waiting.as_deref().filter(|reason| STUCK.contains(reason))?;
        let restarts = if container.restarts > 0 { ", after restarts" } else { "" };
        Some(format!("container {} is waiting: {reason}{restarts}", container.name))
    };
    let failing = |container: &Container| {
        let code = failed_again(container)?;
        Some(format!("container {} keeps exiting with code {code}", container.name))
    };
    // An evicted pod, or one that ended with its node, stays until it is collected; its controller has created another.
    if pod.phase == "Failed" && pod.owner.is_some() {
        return None;
    }
    if let Some(why) = pod.containers.iter().find_map(|container| waiting(container).or_else(|| failing(container))) {
        return Some(why);
    }
    if pod.phase == "Failed" {
        return Some("the pod failed".into());
    }
    let age = pod.created.map_or(0, |created| now.as_second() - created.as_second());
    // A pod that is being created may take its time.
    if pod.phase == "Pending" && age > PATIENCE {
        let where_to = pod.node.as_ref().map_or_else(|| "not scheduled".to_owned(), |node| format!("on {node}"));
        return Some(format!("Pending for more than {} minutes, {where_to}", PATIENCE / 60));
    }
    None
}

fn judge_metrics(verdict: &mut Verdict, nodes: &Nodes, metrics: Result<&NodeMetrics, &Unobserved>, now: Timestamp) {
    let subject = || Subject::cluster_object("APIService", "v1beta1.metrics.k8s.io");
    match metrics {
        Ok(NodeMetrics::Of(known)) => {
            let ready: Vec<(&String, &Node)> = nodes.0.iter().filter(|(_, node)| node.is_ready()).collect();
            if ready.is_empty() {
                return verdict.unseen(subject(), &Unobserved::unreachable("the kubelets", "no node is Ready"));
            }
            // A new node has metrics after two scrapes.
            let is_missed = |name: &String, node: &Node| !known.contains(name) && comes_or_goes(node, now).is_none();
            if ready.iter().all(|(name, node)| !known.contains(*name) && !is_missed(name, node)) {
                return verdict.note("no metrics yet: all nodes are new");
            }
            let missing: BTreeSet<&String> =
                ready.iter().copied().filter(|(name, node)| is_missed(name, node)).map(|(name, _)| name).collect();
            verdict.expect(subject(), missing.is_empty(), || {
                Finding::new(
                    "metrics of every Ready node",
                    format!("no metrics of {} of {} Ready nodes", missing.len(), ready.len()),
                )
                .evidence(&missing)
                .impact("kubectl top and autoscalers do not see what runs there")
                .fix("find out why it cannot scrape these kubelets: kubectl -n kube-system logs deployment/metrics-server")
            });
        }
        Ok(NodeMetrics::Broken { status, message }) => verdict.find(
            subject(),
            Finding::new("the metrics API answers", format!("HTTP {status}: {message}"))
                .same_as(&["CP-10"])
                .impact("autoscalers do not scale, and API discovery is slow for every client")
                .fix(
                    "find the server that should answer: kubectl describe apiservice v1beta1.metrics.k8s.io; \
                     kubectl -n kube-system get pods -l k8s-app=metrics-server",
                ),
        ),
        Err(Unobserved::Absent { .. }) => verdict.note("the metrics API is not installed"),
        Err(why) => verdict.unseen(subject(), why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::seen_of;
    use crate::fact::facts::nodes::{Condition, Node};
    use crate::fact::facts::system_workloads::Workload;
    use crate::manager::Manager;
    use crate::object_ref::NamespacedName;
    use crate::object_ref::testing::object;

    const NOW: &str = "2026-11-22T12:00:00Z";

    fn pod(name: &str, phase: &str, waiting: Option<&str>) -> (NamespacedName, Pod) {
        let container = Container { name: "main".into(), waiting: waiting.map(str::to_owned), ..Container::default() };
        let pod = Pod {
            namespace: NAMESPACE.into(),
            name: name.into(),
            node: Some("n1".into()),
            owner: Some(Owner { kind: "ReplicaSet".into(), name: "coredns-1".into() }),
            phase: phase.into(),
            created: Some("2026-11-22T11:50:00Z".parse().unwrap()),
            containers: vec![container],
            ..Pod::default()
        };
        (NamespacedName::new(NAMESPACE, name.to_owned()), pod)
    }

    fn nodes() -> Nodes {
        let ready = Condition { status: "True".into(), reason: String::new(), message: String::new() };
        let node = || Node { conditions: [("Ready".to_owned(), ready.clone())].into(), ..Node::default() };
        Nodes(["n1", "n2"].map(|name| (name.to_owned(), node())).into())
    }

    fn workloads(available: i32, priority: Option<&str>) -> SystemWorkloads {
        let workload =
            Workload { desired: 2, available, priority_class: priority.map(str::to_owned), ..Workload::default() };
        SystemWorkloads([(object("Deployment kube-system/coredns"), workload)].into())
    }

    const USUAL: Option<&str> = Some("system-cluster-critical");

    fn judged(
        pods: impl IntoIterator<Item = (NamespacedName, Pod)>,
        workloads: &SystemWorkloads,
        metrics: Result<NodeMetrics, Unobserved>,
    ) -> Verdict {
        let now = NOW.parse().unwrap();
        let clock = Clock { server: now, here: now };
        judge(&Pods(pods.into_iter().collect()), workloads, &nodes(), &clock, metrics.as_ref())
    }

    fn none() -> Result<NodeMetrics, Unobserved> {
        Err(Unobserved::absent("not served"))
    }

    #[test]
    fn running_pods_and_full_workloads_pass() {
        let verdict = judged([pod("a", "Running", None), pod("b", "Succeeded", None)], &workloads(2, USUAL), none());
        assert_eq!((verdict.observations(), seen_of(&verdict)), (4, vec![]));
        assert_eq!(crate::check::testing::notes(&verdict), ["the metrics API is not installed"]);
    }

    #[test]
    fn pods_that_crash_for_one_reason_are_one_finding() {
        let crash = Some("CrashLoopBackOff");
        let verdict = judged([pod("a", "Running", crash), pod("b", "Running", crash)], &workloads(2, USUAL), none());
        assert_eq!(seen_of(&verdict), ["Pod kube-system/a, b: container main is waiting: CrashLoopBackOff"]);
    }

    #[test]
    fn a_container_that_failed_again_is_found_before_it_waits() {
        let failed = |code, restarts| {
            let (path, mut pod) = pod("a", "Running", None);
            (pod.containers[0].failed, pod.containers[0].restarts) = (code, restarts);
            seen_of(&judged([(path, pod)], &workloads(2, USUAL), none()))
        };
        assert_eq!(failed(Some(1), 2), ["Pod kube-system/a: container main keeps exiting with code 1"]);
        assert!(failed(Some(1), 1).is_empty() && failed(None, 9).is_empty());
    }

    #[test]
    fn a_pod_that_waits_is_found_after_some_minutes() {
        let (path, old) = pod("a", "Pending", None);
        let verdict = judged([(path.clone(), Pod { node: None, ..old.clone() })], &workloads(2, USUAL), none());
        assert_eq!(seen_of(&verdict), ["Pod kube-system/a: Pending for more than 5 minutes, not scheduled"]);
        let young = Pod { created: Some("2026-11-22T11:58:00Z".parse().unwrap()), ..old };
        assert!(seen_of(&judged([(path, young)], &workloads(2, USUAL), none())).is_empty());
        let pulling = judged([pod("a", "Pending", Some("ImagePullBackOff"))], &workloads(2, USUAL), none());
        assert_eq!(seen_of(&pulling), ["Pod kube-system/a: container main is waiting: ImagePullBackOff"]);
    }

    #[test]
    fn a_workload_with_less_than_planned_is_found() {
        assert_eq!(
            seen_of(&judged([], &workloads(1, USUAL), none())),
            ["Deployment kube-system/coredns: 1 of 2 are available"]
        );
        assert_eq!(
            seen_of(&judged([], &workloads(2, None), none())),
            ["Deployment kube-system/coredns: priority class none"]
        );
    }

    #[test]
    fn the_fix_shows_what_manages_the_workload_that_it_changes() {
        let mut workloads = workloads(2, None);
        let manager = Manager::HelmRelease(NamespacedName::fixed(NAMESPACE, "dns"));
        workloads.0.values_mut().for_each(|workload| workload.manager = Some(manager.clone()));
        let findings = judged([], &workloads, none()).findings(Severity::Major);
        let advice = "; change it in Helm release dns in namespace kube-system (values or chart), because the next \
                      upgrade overwrites an edit in place";
        assert!(findings[0].fix.ends_with(advice), "{}", findings[0].fix);
    }

    #[test]
    fn a_pod_that_is_new_may_take_its_time() {
        let of = |created: &str| {
            let (path, pod) = pod("a", "Running", None);
            let created = Some(created.parse().unwrap());
            judged([(path, Pod { created, ..pod })], &workloads(1, USUAL), none())
        };
        let verdict = of("2026-11-22T11:58:00Z");
        assert_eq!(seen_of(&verdict), Vec::<String>::new());
        assert!(
            crate::check::testing::notes(&verdict)
                .contains(&"Deployment kube-system/coredns: 1 pod still starting".to_owned())
        );
        assert_eq!(seen_of(&of("2026-11-22T11:50:00Z")), ["Deployment kube-system/coredns: 1 of 2 are available"]);
    }

    #[test]
    fn a_new_node_has_no_metrics_yet() {
        let metrics = |known: &[&str]| NodeMetrics::Of(known.iter().map(|name| (*name).to_owned()).collect());
        let judged = |young: &[&str], known: &[&str]| {
            let mut nodes = nodes();
            for name in young {
                nodes.0.get_mut(*name).unwrap().created = Some("2026-11-22T11:59:00Z".parse().unwrap());
            }
            let mut verdict = Verdict::new();
            judge_metrics(&mut verdict, &nodes, Ok(&metrics(known)), NOW.parse().unwrap());
            (verdict.observations(), seen_of(&verdict).len(), crate::check::testing::notes(&verdict).len())
        };
        assert_eq!(judged(&["n2"], &["n1"]), (1, 0, 0));
        assert_eq!(judged(&[], &["n1"]), (1, 1, 0));
        assert_eq!(judged(&["n1", "n2"], &[]), (0, 0, 1), "nothing was seen, and nothing passes");
    }

    #[test]
    fn metrics_must_be_of_all_nodes() {
        let of = |nodes: &[&str]| Ok(NodeMetrics::Of(nodes.iter().map(|name| (*name).to_owned()).collect()));
        let judged = |metrics| seen_of(&judged([], &workloads(2, USUAL), metrics));
        assert_eq!(judged(of(&["n1", "n2"])), Vec::<String>::new());
        assert_eq!(judged(of(&["n1"])), ["APIService v1beta1.metrics.k8s.io: no metrics of 1 of 2 Ready nodes"]);
        let broken = NodeMetrics::Broken { status: 503, message: "service unavailable".into() };
        assert_eq!(judged(Ok(broken)), ["APIService v1beta1.metrics.k8s.io: HTTP 503: service unavailable"]);
    }
}
