//! # No component of the control plane and no kubelet has just started
//!
//! ## Why
//! After a start of an API server, etcd, the controller-manager, the scheduler or a kubelet, leases, EndpointSlices and the
//! rules of Services lag by up to a minute. What is wrong then may be right a minute later.
//!
//! ## Fix
//! None is needed: run again after a minute, or wait with `--settle 2m`. If a component starts again and again, CP-03 and its
//! log show why.
//!
//! ## Source
//! kubernetes/kubernetes `staging/src/k8s.io/component-base/config/v1alpha1/defaults.go` (a leader's lease is free for others
//! after 15 s), `pkg/controlplane/reconcilers/lease.go`. The starts of static pods are in their statuses, those of kubelets
//! in the metric `process_start_time_seconds`.
//!
//! A result may follow from a start of the last minute: a pod of the control plane that is not Ready on that node (CP-03,
//! HA-03), a stale lease that was renewed before the component ended (CP-05), the API's endpoints (SN-03), the
//! Services and names that a run creates (SN-09, SN-10, SN-12, DN-06), for half a minute others (SN-04, DN-04), a pod that a kubelet has not started yet (KL-16), the way to a kubelet
//! (KL-09, KL-14), and whatever could not be asked on that node. It does only if no failing check explains it. Such a run is
//! inconclusive: a fault may look the same. A component that had started less than two minutes before it ended explains
//! nothing.

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::starts::{LAG, Start, Starts};

crate::check!("CP-20", "recent-restarts", Info, judge);

fn judge(starts: &Starts) -> Verdict {
    // Kubelets that are out of reach from here are the subject of other checks.
    let (noted, unseen): (Vec<_>, Vec<_>) =
        starts.unseen.iter().partition(|(node, why)| why.is_skip() || !node.is_empty() && why.is_out_of_reach());
    if starts.all.is_empty() && unseen.is_empty() {
        let why = noted.first().map_or_else(|| "there are none".to_owned(), |(_, why)| why.to_string());
        return Verdict::not_applicable(format!(
            "no component of the control plane is a static pod, and it is not known when kubelets started: {why}"
        ));
    }
    let mut verdict = Verdict::new();
    let recent: Vec<(&Start, i64)> = starts.recent().collect();
    for _ in recent.len()..starts.all.len() {
        verdict.confirm();
    }
    let ago = |(start, _): &(&Start, i64)| {
        let ago = starts.now.duration_since(start.at).as_secs().max(0);
        format!("{} on {} started {ago} s ago", start.component, start.node)
    };
    // The one that started first: others may have followed it.
    if let Some(first) = recent.iter().max_by_key(|(_, ago)| *ago) {
        let seen = match recent.len() {
            1 => ago(first),
            many => format!("{many} components have just started; the first: {}", ago(first)),
        };
        let finding = Finding::new(format!("every component has served for {} s", LAG.as_secs()), seen)
            .evidence_of(recent.iter().map(|start| (subject(start.0), ago(start))))
            .impact("leases, EndpointSlices and the rules of Services may lag by up to a minute, and so may results of this run")
            .fix("run again after a minute, or wait before the run: seaworthy run --settle 2m");
        verdict.find_together(recent.iter().map(|(start, _)| subject(start)), recent.len(), finding);
    }
    for (node, why) in unseen {
        verdict.unseen(if node.is_empty() { Subject::cluster() } else { Subject::node(node) }, why);
    }
    for (node, why) in noted {
        let note = format!("it is not known when the kubelet started: {why}");
        if node.is_empty() {
            verdict.note(note);
        } else {
            verdict.note_about(Subject::node(node), note);
        }
    }
    verdict
}

fn subject(start: &Start) -> Subject {
    match &start.pod {
        Some(pod) => Subject::from(pod.of("Pod")),
        None => Subject::node(&start.node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::check::testing::seen_of;
    use crate::fact::facts::pods::Pods;
    use crate::fact::facts::starts::testing::{started, starts};
    use crate::seen::Unobserved;

    #[test]
    fn components_that_have_run_for_long_pass() {
        let pods = Pods([started("etcd", 3600, None), started("kube-apiserver", 66, None)].into());
        let verdict = judge(&starts(&pods, &[("n1", 900)]));
        assert_eq!((verdict.observations(), seen_of(&verdict)), (3, vec![]));
    }

    #[test]
    fn restarts_of_the_last_minute_are_one_finding() {
        let pods = Pods(
            [
                started("kube-apiserver", 40, Some((9000, 45))),
                started("kube-scheduler", 20, Some((9000, 30))),
                started("etcd", 9000, None),
            ]
            .into(),
        );
        let findings = judge(&starts(&pods, &[("n1", 9000)])).findings(Severity::Info);
        assert_eq!(findings.len(), 1);
        assert_eq!(
            findings[0].seen,
            "2 components have just started; the first: kube-apiserver on n1 started 40 s ago"
        );
        let subjects: Vec<_> = findings[0].subjects.iter().map(ToString::to_string).collect();
        assert_eq!(subjects, ["Pod kube-system/kube-apiserver-n1", "Pod kube-system/kube-scheduler-n1"]);
    }

    #[test]
    fn a_kubelet_is_named_by_its_node() {
        let verdict = judge(&starts(&Pods::default(), &[("n2", 7), ("n3", 700)]));
        assert_eq!(seen_of(&verdict), ["Node n2: kubelet on n2 started 7 s ago"]);
    }

    #[test]
    fn a_kubelet_out_of_reach_is_a_note_and_without_any_other_the_check_does_not_apply() {
        let mut unknown = starts(&Pods::default(), &[("n1", 900)]);
        unknown.unseen.push(("n2".into(), Unobserved::unreachable("the kubelet of n2", "no route")));
        let verdict = judge(&unknown);
        assert_eq!((verdict.observations(), verdict.notes().len(), verdict.gaps().len()), (1, 1, 0));
        unknown.all.clear();
        assert!(judge(&unknown).reason().is_some());
    }

    #[test]
    fn a_start_that_could_not_be_looked_at_is_not_passed_over() {
        let mut unknown = starts(&Pods::default(), &[("n1", 900)]);
        unknown.unseen.push((String::new(), Unobserved::Interrupted));
        assert_eq!(judge(&unknown).gaps().len(), 1);
        unknown.all.clear();
        assert_eq!((judge(&unknown).gaps().len(), judge(&unknown).reason()), (1, None));
    }
}
