//! # The cluster goes on without one of its control-plane nodes, and takes it back
//!
//! ## Why
//! Whether a control plane survives the loss of a node is known when it has survived one. A load balancer that does not look
//! at its servers, an etcd member that was never joined or a DNS with all its replicas on one node show on no dashboard.
//!
//! ## Fix
//! Have the load balancer ask each API server for `/readyz` by HTTPS every few seconds, and leave out what fails twice. Where
//! leaders do not move or writes fail, read the logs of the control plane on the nodes that stayed (`kubectl -n kube-system
//! logs kube-controller-manager-NODE`, `etcd-NODE`). Run two replicas of CoreDNS on different nodes. A node that does not come
//! back is started by hand, with the command that was given as `--start-node`; then read its kubelet's log.
//!
//! ## Source
//! <https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/high-availability/>. A drill, which stops a node: it is
//! done only with `--profile ci --allow disrupt`, after all other checks, from a machine that is no node of the control plane.
//! The node is one that leads, is not the kubeconfig's server, and whose loss etcd bears. It is started again whatever
//! happens, by a process apart. The 30 s come of kubernetes/kubernetes `pkg/controlplane/reconcilers` (an API server is taken out
//! of the EndpointSlice when it has been silent for 15 s, looked at every 10 s) and
//! `staging/src/k8s.io/component-base/config/v1alpha1/defaults.go` (a leader's lease lasts 15 s, tried for every 2 s); the 5 s of
//! DNS are how long a resolver waits, resolv.conf(5). DNS may lose questions for as long as a replica on the lost node is
//! counted in, but not fall silent. The node has 5 minutes to be back: machines boot, and the control plane of kubeadm takes one to
//! two minutes once it has lost a member of etcd.

use crate::check::finding::Difference;
use crate::check::{Finding, Severity, Subject, Verdict, names};
use crate::fact::facts::control_plane_loss::course::Course;
use crate::fact::facts::control_plane_loss::watch::Watched;
use crate::fact::facts::control_plane_loss::{ControlPlaneLoss, RESTORED, Sign};
use crate::milliseconds::seconds;
use crate::seen::Unobserved;

crate::check!("HA-06", "loss-drill", Major, judge);

/// How long the cluster may take to do without a node, in milliseconds.
const RECOVERED_MS: u64 = 30_000;
/// How long the cluster's DNS may be silent, in milliseconds.
const SILENCE_MS: u64 = 5_000;

fn judge(drill: &ControlPlaneLoss) -> Verdict {
    let mut verdict = Verdict::new();
    let node = || Subject::node(&drill.node);
    let led = if drill.leads.is_empty() { "nothing".into() } else { names(&drill.leads) };
    verdict.note(format!("{} was stopped, which led {led}", drill.node));
    if let Some(courses) = verdict.seen(node, &drill.loss) {
        // DNS is looked at for as long as something else had not recovered: it need not recover itself.
        let looked_ms = courses.iter().map(|(_, course)| course.known_ms).max().unwrap_or_default();
        for (what, course) in courses {
            judge_course(&mut verdict, &drill.node, what, course, looked_ms);
        }
    }
    verdict.expect(node(), drill.start_failed.is_none(), || {
        let why = drill.start_failed.as_deref().unwrap_or_default();
        Finding::new("the command of --start-node starts the node again", format!("it failed: {why}"))
            .so("the node is still stopped: the control plane has lost a node, and may not bear the loss of another")
            .mend(format!("run this command by hand, and read what it says: {}", drill.start))
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

fn judge_course(verdict: &mut Verdict, lost: &str, what: &Watched, course: &Course, looked_ms: u64) {
    let failed = format!("{} of {} tries failed", course.failures, course.tries);
    let how = course.fault.as_ref().map(|fault| format!(", the last: {fault}")).unwrap_or_default();
    let is_dns = matches!(what, Watched::Dns(_));
    let is_known = if is_dns {
        course.tries > 0 && course.known_ms.saturating_add(SILENCE_MS) >= looked_ms
    } else {
        course.recovered_ms.is_some() || course.known_ms >= RECOVERED_MS
    };
    if !is_known {
        let cause = format!("tries are known for {} s after the loss of {lost}", seconds(course.known_ms));
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
            format!("pods on {node} get an answer of the cluster's DNS at least every {} s without {lost}", seconds(SILENCE_MS)),
            seen,
        )
        .so("names do not resolve while a node is down")
        .mend("run CoreDNS with two replicas or more, on different nodes: kubectl -n kube-system get pods -l k8s-app=kube-dns -o wide"),
        Watched::Api(node) => Finding::new(format!("pods on {node} reach the API at its ClusterIP {within}"), seen)
            .so("controllers and operators in pods fail for as long as the node is down")
            .mend(format!("look whether kube-proxy on {node} follows EndpointSlice default/kubernetes")),
        Watched::Published => Finding::new(format!("the API server of {lost} is taken out {within}"), seen)
            .so("kube-proxies still send connections to it"),
        Watched::Lease(component) => Finding::new(format!("another node leads, and renews, {within}"), seen)
            .so(format!("no {component} is working")),
        Watched::Write => Finding::new(format!("etcd takes writes {within}"), seen)
            .so("without a quorum nothing in the cluster can be changed"),
        Watched::Stopped | Watched::Endpoint => {
            Finding::new(format!("the kubeconfig's server answers every new connection {within}"), seen)
                .so("requests of nodes and clients fail, all or some, for as long as a control-plane node is down")
                .mend("have the load balancer ask each API server for /readyz by HTTPS every few seconds, and leave out what fails twice")
        }
    }
}

fn judge_sign(verdict: &mut Verdict, drill: &ControlPlaneLoss, sign: Sign, after: Option<u64>) {
    let what = match sign {
        Sign::ApiServer => format!("the API server at {} is ready", drill.address),
        Sign::Published => format!("EndpointSlice default/kubernetes names {}", drill.address),
        Sign::Node => "the node is Ready, and its kubelet renews its lease".into(),
    };
    verdict.expect(Subject::node(&drill.node), after.is_some(), || {
        Finding::new(format!("{what} within {} s of the node's start", RESTORED.as_secs()), "it was not")
            .so("the control plane may not bear the loss of another node")
            .mend(format!("look at the node; it was started with: {}", drill.start))
    });
    if let Some(after) = after {
        verdict.note(format!("{what} {} s after the node's start", seconds(after)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    fn told(drill: &ControlPlaneLoss) -> Vec<String> {
        let findings = judge(drill).findings(Severity::Major);
        findings.into_iter().map(|f| format!("{} {}: {}; {}", f.severity, f.subjects[0], f.expected, f.seen)).collect()
    }

    #[test]
    fn a_loss_that_is_survived_passes() {
        let verdict = judge(&survived());
        assert!(told(&survived()).is_empty() && verdict.saw_everything());
        assert_eq!(verdict.observations(), 9 + 1 + 3);
        assert_eq!(crate::check::testing::notes(&verdict)[0], "n3 was stopped, which led kube-scheduler");
        assert!(
            crate::check::testing::notes(&verdict)[1]
                .ends_with("after 12.4 s; 7 of 90 tries failed, the last: connection refused")
        );
    }

    #[test]
    fn thirty_seconds_are_enough_and_no_more() {
        for what in everything().iter().filter(|what| !matches!(what, Watched::Dns(_))) {
            assert!(told(&with(what, course(Some(30_000), 33_000))).is_empty(), "{what}");
            assert_eq!(told(&with(what, course(Some(30_100), 33_000))).len(), 1, "{what}");
            assert_eq!(told(&with(what, course(None, 60_000))).len(), 1, "{what}");
        }
        assert_eq!(
            told(&with(&Watched::Endpoint, course(None, 59_900))),
            ["major the cluster: the kubeconfig's server answers every new connection within 30 s of the loss of n3; \
                 not after 59.9 s; 7 of 90 tries failed, the last: connection refused"]
        );
    }

    #[test]
    fn what_was_not_looked_at_for_thirty_seconds_is_undecided() {
        for what in everything() {
            let verdict = judge(&with(&what, Course::default()));
            assert_eq!((verdict.gaps().len(), verdict.findings(Severity::Major).len()), (1, 0), "{what}");
        }
        let verdict = judge(&with(&Watched::Write, course(None, 29_999)));
        assert_eq!((verdict.gaps().len(), verdict.findings(Severity::Major).len()), (1, 0));
    }

    #[test]
    fn dns_may_lose_questions_and_not_fall_silent() {
        let dns = Watched::Dns("n4".into());
        let silent = |silence_ms| Course { silence_ms, recovered_ms: None, ..course(None, 28_000) };
        assert!(told(&with(&dns, silent(5_000))).is_empty());
        let stopped = judge(&with(&dns, Course { known_ms: 16_000, ..silent(100) }));
        assert_eq!(stopped.gaps().len(), 1, "it was not heard of to the end");
        let told = told(&with(&dns, silent(5_100)));
        assert!(told[0].starts_with("major Node n4: pods on n4 get an answer of the cluster's DNS at least every 5 s"));
        assert!(told[0].ends_with("no answer for 5.1 s; 7 of 90 tries failed, the last: connection refused"));
    }

    #[test]
    fn a_node_that_is_not_started_is_critical_and_says_how_it_is() {
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
            told(&drill),
            ["major Node n3: the API server at 10.77.0.13:6443 is ready within 300 s of the node's start; it was not"]
        );
    }

    #[test]
    fn a_sign_that_could_not_be_looked_for_is_undecided() {
        let mut drill = survived();
        drill.restored.as_mut().unwrap().remove(&Sign::Published);
        let refused = Unobserved::Refused { missing: "list endpointslices".into(), message: "no".into() };
        drill.unseen.insert(Sign::Published, refused);
        let verdict = judge(&drill);
        assert_eq!((verdict.gaps().len(), verdict.observations(), told(&drill).len()), (1, 12, 0));
    }

    #[test]
    fn a_drill_that_was_stopped_is_undecided() {
        let drill = ControlPlaneLoss {
            loss: Err(Unobserved::Interrupted),
            restored: Err(Unobserved::Interrupted),
            ..survived()
        };
        let verdict = judge(&drill);
        assert_eq!((verdict.gaps().len(), verdict.observations(), told(&drill).len()), (1, 1, 0));
    }
}
