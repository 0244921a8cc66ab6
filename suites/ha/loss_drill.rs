//! # The cluster survives losing a control-plane node and recovers
//!
//! ## Why
//! Whether a control plane survives the loss of a node is certain only once it has survived one. A load balancer
//! without health checks, an etcd member that never joined or a DNS with all its replicas on one node show on no
//! dashboard.
//!
//! ## Fix
//! Let the load balancer ask each API server for `/readyz` by HTTPS every few seconds, and leave out a server that
//! fails twice. Where leaders do not move or writes fail, read the logs of the control plane on the nodes that stayed
//! (`kubectl -n kube-system logs kube-controller-manager-NODE`, `etcd-NODE`). Run two replicas of CoreDNS on different
//! nodes. Start a node that does not come back by hand, with the command that was given as `--start-node`; then read
//! its kubelet's log.
//!
//! ## Source
//! <https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/high-availability/>. This drill stops a node:
//! it runs only with `--profile ci --allow disrupt`, after all other checks, from a machine outside of the control
//! plane. The node is one that leads, is not the kubeconfig's server, and whose loss etcd survives. A separate process
//! starts it again whatever happens. The 30 s come from kubernetes/kubernetes `pkg/controlplane/reconcilers` (an API
//! server is taken out of the EndpointSlice when it has been silent for 15 s, checked every 10 s) and
//! `staging/src/k8s.io/component-base/config/v1alpha1/defaults.go` (a leader's lease lasts 15 s, and is tried every 2
//! s); the 5 s of DNS are how long a resolver waits, resolv.conf(5). DNS may lose queries while a replica on the lost
//! node still counts as ready, but must not fall silent. The node has 5 minutes to come back: machines boot, and the
//! control plane of kubeadm takes one to two minutes once it has lost a member of etcd.

use crate::check::finding::Difference;
use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::facts::control_plane_loss::course::Course;
use crate::fact::facts::control_plane_loss::watch::Watched;
use crate::fact::facts::control_plane_loss::{ControlPlaneLoss, RESTORED, Sign};
use crate::milliseconds::seconds;
use crate::seen::Unobserved;

crate::check!("HA-06", "loss-drill", Major, judge, builds_on: ["CP-01", "HA-01", "HA-03", "KL-01"]);

/// How long the cluster may take to recover from the loss of a node, in milliseconds.
const RECOVERED_MS: u64 = 30_000;
/// How long the cluster's DNS may be silent, in milliseconds.
const SILENCE_MS: u64 = 5_000;

fn judge(drill: &ControlPlaneLoss) -> Verdict {
    let mut verdict = Verdict::new();
    let node = || Subject::node(&drill.node);
    let led = match &drill.leads[..] {
        [] => "it led no component".to_owned(),
        leads => format!("it was the leader of {}", leads.join(" and ")),
    };
    verdict.note(format!("{} was stopped; {led}", drill.node));
    if let Some(courses) = verdict.seen(node, &drill.loss) {
        // DNS is watched for as long as something else had not recovered: it need not recover itself.
        let watched_ms = courses.iter().map(|(_, course)| course.known_ms).max().unwrap_or_default();
        for (what, course) in courses {
            judge_course(&mut verdict, &drill.node, what, course, watched_ms);
        }
    }
    verdict.expect(node(), drill.start_failed.is_none(), || {
        let why = drill.start_failed.as_deref().unwrap_or_default();
        Finding::new("the command of --start-node starts the node again", format!("it failed: {why}"))
            .impact("the node is still stopped, and the control plane may not survive the loss of another")
            .fix(format!("run this command by hand, and read its output: {}", drill.start))
            .severity(Severity::Critical)
    });
    if let Some(signs) = verdict.seen(node, &drill.restored) {
        for (sign, after) in signs {
            judge_sign(&mut verdict, drill, *sign, *after);
        }
    }
    for why in drill.unseen.values() {
        verdict.unseen(node(), why);
    }
    verdict
}

fn judge_course(verdict: &mut Verdict, lost: &str, what: &Watched, course: &Course, watched_ms: u64) {
    let failed = format!("{} of {} tries failed", course.failures, course.tries);
    let how = course.fault.as_ref().map(|fault| format!(", the last: {fault}")).unwrap_or_default();
    let is_dns = matches!(what, Watched::Dns(_));
    let is_known = if is_dns {
        course.tries > 0 && course.known_ms.saturating_add(SILENCE_MS) >= watched_ms
    } else {
        course.recovered_ms.is_some() || course.known_ms >= RECOVERED_MS
    };
    if !is_known {
        let cause = format!("it was tried for only {} s after the loss of {lost}", seconds(course.known_ms));
        return verdict.unseen(subject(what), &Unobserved::invalid(what.to_string(), cause));
    }
    let (holds, seen) = match course.recovered_ms {
        _ if is_dns => {
            (course.silence_ms <= SILENCE_MS, format!("no answer for {} s; {failed}{how}", seconds(course.silence_ms)))
        }
        Some(after) => (after <= RECOVERED_MS, format!("after {} s; {failed}{how}", seconds(after))),
        None => (false, format!("not after {} s; {failed}{how}", seconds(course.known_ms))),
    };
    if verdict.expect(subject(what), holds, || difference(what, lost, seen.clone())) {
        verdict.note(format!("{what}: {seen}"));
    }
}

fn subject(what: &Watched) -> Subject {
    match what {
        Watched::Stopped | Watched::Endpoint | Watched::Write => Subject::cluster(),
        Watched::Published => Subject::object("EndpointSlice", "default", "kubernetes"),
        Watched::Lease(component) => Subject::object("Lease", "kube-system", component),
        Watched::Api(node) | Watched::Dns(node) => Subject::node(node),
    }
}

fn difference(what: &Watched, lost: &str, seen: String) -> Difference {
    let within = format!("within {} s of the loss of {lost}", seconds(RECOVERED_MS));
    match what {
        Watched::Dns(node) => Finding::new(
            format!(
                "pods on {node} get an answer from the cluster's DNS at least every {} s without {lost}",
                seconds(SILENCE_MS)
            ),
            seen,
        )
        .impact("names do not resolve while a node is down")
        .fix(
            "run CoreDNS with two replicas or more, on different nodes: kubectl -n kube-system get pods -l \
             k8s-app=kube-dns -o wide",
        ),
        Watched::Api(node) => Finding::new(format!("pods on {node} reach the API at its ClusterIP {within}"), seen)
            .impact("controllers and operators in pods fail for as long as the node is down")
            .fix(format!(
                "check that kube-proxy on {node} follows EndpointSlice default/kubernetes: kubectl -n kube-system logs \
                 $(kubectl -n kube-system get pods -l k8s-app=kube-proxy --field-selector spec.nodeName={node} -o name)"
            )),
        Watched::Published => {
            Finding::new(format!("the API server of {lost} is removed from the EndpointSlice {within}"), seen)
                .impact("kube-proxies still send connections to it")
                .fix(
                    "read the logs of the API servers that stayed: kubectl -n kube-system logs -l \
                     component=kube-apiserver --prefix --tail=-1 | grep -i endpoint; none of them may set \
                     --endpoint-reconciler-type",
                )
        }
        Watched::Lease(component) => Finding::new(format!("another node leads, and renews its lease, {within}"), seen)
            .impact(format!("no {component} is working"))
            .fix(format!(
                "read the logs on the nodes that stayed: kubectl -n kube-system logs -l component={component} --prefix"
            )),
        Watched::Write => Finding::new(format!("etcd accepts writes {within}"), seen)
            .impact("without a quorum, nothing in the cluster can be changed")
            .fix("see HA-03 for members that are down, and kubectl -n kube-system logs -l component=etcd --prefix"),
        Watched::Stopped | Watched::Endpoint => {
            Finding::new(format!("the kubeconfig's server answers every new connection {within}"), seen)
                .impact("some or all requests of nodes and clients fail for as long as a control-plane node is down")
                .fix(
                    "let the load balancer ask each API server for /readyz by HTTPS every few seconds, and leave out a \
                     server that fails twice",
                )
        }
    }
}

fn judge_sign(verdict: &mut Verdict, drill: &ControlPlaneLoss, sign: Sign, after: Option<u64>) {
    let what = match sign {
        Sign::ApiServer => format!("the API server at {} is ready", drill.address),
        Sign::Published => format!("EndpointSlice default/kubernetes contains {}", drill.address),
        Sign::Node => "the node is Ready, and its kubelet renews its lease".into(),
    };
    verdict.expect(Subject::node(&drill.node), after.is_some(), || {
        Finding::new(format!("{what} within {} s of the node's start", RESTORED.as_secs()), "it was not")
            .impact("the control plane may not survive the loss of another node")
            .fix(format!(
                "on {}: crictl ps -a, and journalctl -u kubelet --since -15min; it was started with: {}",
                drill.node, drill.start
            ))
    });
    if let Some(after) = after {
        verdict.note(format!("{what} {} s after the node's start", seconds(after)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::notes;

    fn course(recovered_ms: Option<u64>, known_ms: u64) -> Course {
        let fault = Some("connection refused".to_owned());
        Course { tries: 90, failures: 7, fault, recovered_ms, silence_ms: 1200, known_ms }
    }

    fn everything() -> Vec<Watched> {
        let leases = ["kube-controller-manager", "kube-scheduler"].map(|name| Watched::Lease(name.into()));
        let pods = ["n1", "n4"].into_iter().flat_map(|node| [Watched::Api(node.into()), Watched::Dns(node.into())]);
        [Watched::Endpoint, Watched::Write, Watched::Published].into_iter().chain(leases).chain(pods).collect()
    }

    fn survived() -> ControlPlaneLoss {
        ControlPlaneLoss {
            node: "n3".into(),
            address: "10.77.0.13:6443".parse().unwrap(),
            leads: vec!["kube-scheduler".into()],
            loss: Ok(everything().into_iter().map(|what| (what, course(Some(12_340), 28_000))).collect()),
            start: "virsh start n3".into(),
            start_failed: None,
            restored: Ok([Sign::ApiServer, Sign::Published, Sign::Node].map(|sign| (sign, Some(41_000))).into()),
            unseen: [].into(),
        }
    }

    /// The drill with this course of one of the things that were watched.
    fn with(what: &Watched, course: Course) -> ControlPlaneLoss {
        let mut drill = survived();
        drill.loss.as_mut().unwrap().iter_mut().find(|(other, _)| other == what).unwrap().1 = course;
        drill
    }

    fn findings(drill: &ControlPlaneLoss) -> Vec<String> {
        let findings = judge(drill).findings(Severity::Major);
        findings.into_iter().map(|f| format!("{} {}: {}; {}", f.severity, f.subjects[0], f.expected, f.seen)).collect()
    }

    #[test]
    fn a_loss_that_is_survived_passes() {
        let verdict = judge(&survived());
        assert!(findings(&survived()).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 9 + 1 + 3);
        assert_eq!(notes(&verdict)[0], "n3 was stopped; it was the leader of kube-scheduler");
        assert!(notes(&verdict)[1].ends_with("after 12.4 s; 7 of 90 tries failed, the last: connection refused"));
    }

    #[test]
    fn thirty_seconds_are_enough_and_no_more() {
        for what in everything().iter().filter(|what| !matches!(what, Watched::Dns(_))) {
            assert!(findings(&with(what, course(Some(30_000), 33_000))).is_empty(), "{what}");
            assert_eq!(findings(&with(what, course(Some(30_100), 33_000))).len(), 1, "{what}");
            assert_eq!(findings(&with(what, course(None, 60_000))).len(), 1, "{what}");
        }
        assert_eq!(
            findings(&with(&Watched::Endpoint, course(None, 59_900))),
            ["major the cluster: the kubeconfig's server answers every new connection within 30 s of the loss of n3; \
                 not after 59.9 s; 7 of 90 tries failed, the last: connection refused"]
        );
    }

    #[test]
    fn what_was_not_watched_for_thirty_seconds_is_inconclusive() {
        for what in everything() {
            let verdict = judge(&with(&what, Course::default()));
            assert_eq!((verdict.gaps().len(), verdict.findings(Severity::Major).len()), (1, 0), "{what}");
        }
        let verdict = judge(&with(&Watched::Write, course(None, 29_999)));
        assert_eq!((verdict.gaps().len(), verdict.findings(Severity::Major).len()), (1, 0));
    }

    #[test]
    fn dns_may_lose_queries_but_not_fall_silent() {
        let dns = Watched::Dns("n4".into());
        let silent = |silence_ms| Course { silence_ms, recovered_ms: None, ..course(None, 28_000) };
        assert!(findings(&with(&dns, silent(5_000))).is_empty());
        let stopped = judge(&with(&dns, Course { known_ms: 16_000, ..silent(100) }));
        assert_eq!(stopped.gaps().len(), 1, "it was not watched to the end");
        let found = findings(&with(&dns, silent(5_100)));
        assert!(
            found[0].starts_with("major Node n4: pods on n4 get an answer from the cluster's DNS at least every 5 s")
        );
        assert!(found[0].ends_with("no answer for 5.1 s; 7 of 90 tries failed, the last: connection refused"));
    }

    #[test]
    fn a_node_that_is_not_started_is_critical_and_its_fix_starts_it() {
        let mut drill = survived();
        drill.start_failed = Some("exit status: 1".into());
        drill.restored = Err(Unobserved::invalid("the command of --start-node", "exit status: 1"));
        let verdict = judge(&drill);
        let finding = &verdict.findings(Severity::Major)[0];
        assert_eq!((finding.severity, finding.seen.as_str()), (Severity::Critical, "it failed: exit status: 1"));
        assert!(finding.fix.ends_with(": virsh start n3"));
        assert_eq!(verdict.gaps().len(), 1);
    }

    #[test]
    fn a_node_that_does_not_come_back_is_found() {
        let mut drill = survived();
        drill.restored.as_mut().unwrap().insert(Sign::ApiServer, None);
        assert_eq!(
            findings(&drill),
            ["major Node n3: the API server at 10.77.0.13:6443 is ready within 300 s of the node's start; it was not"]
        );
    }

    #[test]
    fn a_sign_that_could_not_be_checked_is_inconclusive() {
        let mut drill = survived();
        drill.restored.as_mut().unwrap().remove(&Sign::Published);
        let refused = Unobserved::Refused { missing: "list endpointslices".into(), message: "no".into() };
        drill.unseen.insert(Sign::Published, refused);
        let verdict = judge(&drill);
        assert_eq!((verdict.gaps().len(), verdict.observations(), findings(&drill).len()), (1, 12, 0));
    }

    #[test]
    fn a_drill_that_was_stopped_is_inconclusive() {
        let drill = ControlPlaneLoss {
            loss: Err(Unobserved::Interrupted),
            restored: Err(Unobserved::Interrupted),
            ..survived()
        };
        let verdict = judge(&drill);
        assert_eq!((verdict.gaps().len(), verdict.observations(), findings(&drill).len()), (1, 1, 0));
    }
}
