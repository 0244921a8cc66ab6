//! # NetworkPolicy objects are enforced
//!
//! ## Why
//! The API server accepts a NetworkPolicy in any cluster. Without a policy engine it has no effect, and connections
//! that look forbidden are open. An engine that works only in part, after an upgrade or on some nodes, is just as
//! silent about it.
//!
//! ## Fix
//! Install a network plugin that enforces policies (Calico, Cilium, Antrea, kube-router), or a policy engine beside the
//! existing plugin (kube-network-policies). If there is an engine, check its pod on the nodes in the finding:
//! `kubectl get pods -A -o wide --field-selector spec.nodeName=NODE`, then its log.
//!
//! ## Source
//! <https://kubernetes.io/docs/concepts/services-networking/network-policies/>; kubernetes/kubernetes
//! `test/e2e/network/netpol`. Five pods, on two nodes if there are two, in their own namespace. First, all traffic
//! must get through. Then policies deny ingress to one pod and egress from another, one more allows ingress by label,
//! and all are removed; the traffic of other pods must not change. If nothing is stopped within 4 s, the network has
//! no policy engine: that is a fault only if the profile has `expect: {network-policy: required}`, and then the limit
//! is 10 s. Only the profile ci waits that long.

use std::collections::BTreeSet;

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::expectations::{Expectations, NetworkPolicies};
use crate::fact::facts::network_policy_trial::sights::{Sights, Step, Way};
use crate::fact::facts::network_policy_trial::{NetworkPolicyTrial, Sight};
use crate::milliseconds::seconds;
use crate::seen::Unobserved;

crate::check!("CN-06", "network-policy", Major, judge, builds_on: ["CN-04"]);

fn judge(trial: &NetworkPolicyTrial, expectations: &Expectations) -> Verdict {
    let required = expectations.network_policy == NetworkPolicies::Required;
    let mut verdict = Verdict::new();
    let Some(before) = seen(&mut verdict, trial, Step::Before) else { return verdict };
    let open = |way: &Way| before.is_open(*way) == Some(true);
    let Some(denied) = seen(&mut verdict, trial, Step::Denied) else {
        closed_before(&mut verdict, trial, before);
        return verdict;
    };
    let policed: Vec<Way> =
        trial.ways.iter().copied().filter(|way| open(way) && !way.is_allowed(Step::Denied)).collect();
    if !denied.any_is_stopped() && policed.iter().all(|way| denied.is_open(*way) == Some(true)) {
        let evidence = format!(
            "{} s after policies that deny it, pods on {} still reach pods on {}, and a pod that denies egress still \
             gets out",
            seconds(denied.lasted_ms),
            trial.clients_on,
            trial.servers_on
        );
        if !required {
            return verdict.does_not_apply(format!(
                "the network has no policy engine: {evidence} (with expect: {{network-policy: required}} in the \
                 profile, this is a failure)"
            ));
        }
        verdict.find(
            Subject::cluster(),
            Finding::new("NetworkPolicy objects stop traffic, as the profile requires", evidence)
                .impact(
                    "the network has no policy engine: it accepts NetworkPolicy objects, and every pod reaches every \
                     other",
                )
                .fix(
                    "install a network plugin that enforces policies (Calico, Cilium, Antrea, kube-router), or a \
                     policy engine beside the existing plugin (kube-network-policies)",
                ),
        );
        return verdict;
    }
    closed_before(&mut verdict, trial, before);
    let mut right: Vec<Way> = trial.ways.iter().copied().filter(open).collect();
    for step in [Step::Denied, Step::Allowed, Step::Lifted] {
        let Some(sights) = seen(&mut verdict, trial, step) else { continue };
        // A way that fails after one step is not judged after the next.
        right.retain(|way| judge_way(&mut verdict, trial, *way, step, sights));
    }
    if let Some(stopped) = slowest(denied, &policed) {
        verdict.note(format!("traffic stops {} s after a policy that denies it", seconds(stopped)));
    }
    verdict
}

/// What was seen after a step, if it was seen. A step that the trial did not reach is not a gap of its own.
fn seen<'a>(verdict: &mut Verdict, trial: &'a NetworkPolicyTrial, step: Step) -> Option<&'a Sights> {
    verdict.seen(Subject::cluster, trial.steps.get(&step)?)
}

/// Traffic that does not get through without policies proves nothing about policies.
fn closed_before(verdict: &mut Verdict, trial: &NetworkPolicyTrial, before: &Sights) {
    for way in trial.ways.iter().filter(|way| before.is_open(**way) != Some(true)) {
        let how = before.ways.get(way).and_then(|sight| sight.fault.as_ref());
        let how = how.map_or_else(|| "it was not tried often enough".into(), ToString::to_string);
        let why = Unobserved::unreachable(format!("traffic {way}"), format!("{how}, before there was a policy"));
        verdict.unseen(Subject::cluster(), &why);
    }
}

/// Returns whether the traffic is as the policies of a step demand, as far as it was seen.
fn judge_way(verdict: &mut Verdict, trial: &NetworkPolicyTrial, way: Way, step: Step, sights: &Sights) -> bool {
    let Some(sight) = sights.steady(way) else {
        let why = Unobserved::invalid(format!("the pods on {}", trial.clients_on), format!("too few tries {way}"));
        verdict.unseen(Subject::cluster(), &why);
        return true;
    };
    let should_be_open = way.is_allowed(step);
    if sight.is_open() == should_be_open {
        verdict.confirm();
        return true;
    }
    let did = match step {
        Step::Before => "before there was a policy",
        Step::Denied => "after policies that deny it",
        Step::Allowed => "after one more policy that allows ingress by label",
        Step::Lifted => "after all policies were removed",
    };
    let nodes = BTreeSet::from([trial.clients_on.as_str(), trial.servers_on.as_str()]);
    let look = nodes.iter().map(|node| format!("kubectl get pods -A -o wide --field-selector spec.nodeName={node}"));
    let finding = Finding::new(
        format!("{}traffic {way}", if should_be_open { "" } else { "no " }),
        format!("{}, {} s {did}", as_seen(sight), seconds(sights.lasted_ms)),
    )
    .impact(consequence(way, step))
    .fix(format!("find the pods of the policy engine and read their logs: {}", look.collect::<Vec<_>>().join("; ")));
    verdict.find_together(nodes.into_iter().map(Subject::node), 1, finding);
    false
}

fn consequence(way: Way, step: Step) -> &'static str {
    match (way, step) {
        (Way::GrantedToGuarded, Step::Allowed) => "traffic that policies allow is blocked",
        (Way::StrangerToGuarded, Step::Allowed) => "a policy that admits some pods admits all",
        (Way::GrantedToOpen | Way::StrangerToOpen | Way::StrangerToDns, _) => {
            "policies cut off pods that they do not select"
        }
        (_, Step::Lifted) => "applications stay cut off after their policies are deleted",
        (Way::ConfinedToOpen | Way::ConfinedToDns, _) => {
            "policies that deny egress are accepted and have no effect: a pod that should be isolated can send data out"
        }
        (_, _) => "policies that deny ingress are accepted and have no effect: every pod can connect",
    }
}

fn as_seen(sight: &Sight) -> String {
    match &sight.fault {
        Some(fault) => format!("it does not get through ({fault})"),
        None => "it gets through".into(),
    }
}

/// When the last of these ways was stopped.
fn slowest(denied: &Sights, policed: &[Way]) -> Option<u64> {
    policed.iter().filter_map(|way| denied.steady(*way)).map(|sight| sight.after_ms).max()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::check::Severity;
    use crate::check::subject::listed;
    use crate::fact::facts::probe_reports::answers::Fault;

    /// A step after which exactly these ways are closed.
    fn sights(closed: &[Way]) -> Sights {
        let mut sights = Sights { lasted_ms: 6000, ..Sights::default() };
        for way in Way::ALL {
            for _ in 0..2 {
                let fault = closed.contains(&way).then_some(Fault::TimedOut);
                sights.take(way, fault, Duration::from_millis(900));
            }
        }
        sights
    }

    fn closed_after(step: Step) -> Vec<Way> {
        Way::ALL.into_iter().filter(|way| !way.is_allowed(step)).collect()
    }

    fn enforced() -> NetworkPolicyTrial {
        let steps = [Step::Before, Step::Denied, Step::Allowed, Step::Lifted];
        NetworkPolicyTrial {
            servers_on: "n2".into(),
            clients_on: "n3".into(),
            ways: Way::ALL.into(),
            steps: steps.map(|step| (step, Ok(sights(&closed_after(step))))).into(),
        }
    }

    fn unenforced() -> NetworkPolicyTrial {
        let mut trial = enforced();
        trial.steps = [Step::Before, Step::Denied].map(|step| (step, Ok(sights(&[])))).into();
        trial
    }

    fn required() -> Expectations {
        Expectations { network_policy: NetworkPolicies::Required, ..Expectations::default() }
    }

    fn found(trial: &NetworkPolicyTrial) -> Vec<String> {
        let verdict = judge(trial, &Expectations::default());
        assert!(verdict.reason().is_none() && verdict.saw_everything(), "{verdict:?}");
        let findings = verdict.findings(Severity::Major).into_iter();
        findings.map(|f| format!("{}: {}; {}", listed(&f.subjects), f.expected, f.seen)).collect()
    }

    #[test]
    fn policies_that_stop_and_let_through_pass() {
        assert!(found(&enforced()).is_empty());
        assert_eq!(judge(&enforced(), &required()).observations(), 21);
        assert_eq!(
            crate::check::testing::notes(&judge(&enforced(), &required())),
            ["traffic stops 0.9 s after a policy that denies it"]
        );
    }

    #[test]
    fn a_network_without_an_engine_fails_only_where_one_is_required() {
        let reason = judge(&unenforced(), &Expectations::default()).reason().unwrap().to_owned();
        assert!(reason.starts_with("the network has no policy engine: 6 s after"), "{reason}");
        let findings = judge(&unenforced(), &required()).findings(Severity::Major);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].impact.as_ref().unwrap().contains("no policy engine"));
    }

    #[test]
    fn an_engine_that_ignores_egress_fails_even_if_none_is_required() {
        let mut trial = enforced();
        trial.steps.insert(Step::Denied, Ok(sights(&[Way::GrantedToGuarded, Way::StrangerToGuarded])));
        trial.steps.insert(Step::Allowed, Ok(sights(&[Way::StrangerToGuarded])));
        let found = found(&trial);
        assert_eq!(found.len(), 2, "each way once, though it fails after two steps");
        assert_eq!(
            found[1],
            "Node n2, n3: no traffic out of a pod that denies egress, to the cluster's DNS; it gets through, 6 s after \
             policies that deny it"
        );
    }

    #[test]
    fn an_engine_that_is_too_strict_fails() {
        let mut trial = enforced();
        trial.steps.insert(Step::Allowed, Ok(sights(&closed_after(Step::Denied))));
        assert!(found(&trial)[0].contains("it does not get through (no answer)"));
        let mut trial = enforced();
        trial.steps.insert(Step::Denied, Ok(sights(&Way::ALL)));
        assert_eq!(found(&trial).len(), 2, "pods that no policy selects");
        let mut trial = enforced();
        trial.steps.insert(Step::Lifted, Ok(sights(&[Way::ConfinedToDns])));
        assert!(found(&trial)[0].ends_with("after all policies were removed"));
    }

    #[test]
    fn what_was_closed_before_or_not_seen_is_not_checked() {
        let mut trial = enforced();
        trial.steps = [(Step::Before, Ok(sights(&Way::ALL)))].into();
        assert_eq!(judge(&trial, &required()).gaps().len(), 6);
        let mut trial = enforced();
        trial.steps.insert(Step::Before, Ok(sights(&[Way::ConfinedToDns, Way::StrangerToDns])));
        assert_eq!(judge(&trial, &required()).gaps().len(), 2);
        assert_eq!(judge(&trial, &required()).findings(Severity::Major).len(), 0);
        let mut trial = unenforced();
        trial.steps.insert(Step::Denied, Err(Unobserved::Interrupted));
        assert_eq!(judge(&trial, &Expectations::default()).gaps().len(), 1);
        let mut trial = unenforced();
        trial.steps.get_mut(&Step::Denied).unwrap().as_mut().unwrap().ways.remove(&Way::GrantedToGuarded);
        let verdict = judge(&trial, &Expectations::default());
        assert!(verdict.reason().is_none() && !verdict.saw_everything());
    }
}
