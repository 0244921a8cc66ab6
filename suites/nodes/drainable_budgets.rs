//! # PodDisruptionBudgets allow nodes to be drained
//!
//! ## Why
//! `kubectl drain` and node upgrades evict pods, and wait for as long as a PodDisruptionBudget forbids it. A budget that keeps
//! all of its pods forbids it forever, however healthy they are: a drain never ends, and an upgrade hangs or kills the pods once
//! it has waited long enough. A pod that two budgets match cannot be evicted at all.
//!
//! ## Fix
//! Run at least two replicas, and let one be away: `maxUnavailable: 1`. Percentages are rounded up to whole pods: of three pods,
//! `minAvailable: 90%` keeps three. Pods without a controller, or with one that has no scale subresource, need a `minAvailable`
//! in pods that is below their number. If two budgets match a pod, narrow the selector of one, or delete it. To drain a node
//! without a change of the budget, `kubectl cordon NODE`, then `kubectl rollout restart` of the workload starts its pods
//! elsewhere.
//!
//! ## Source
//! <https://kubernetes.io/docs/tasks/run-application/configure-pdb/>;
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/>; kubernetes/kubernetes
//! `pkg/controller/disruption/disruption.go` (with all pods healthy, a budget allows expectedPods less desiredHealthy),
//! `pkg/registry/core/pod/storage/eviction.go` (status 500 for two budgets). A drain does not evict static pods and pods of
//! DaemonSets. A budget that matches no pod, or that waits for pods to become healthy, is a note.

use std::collections::BTreeMap;

use crate::check::{Finding, Subject, Verdict};
use crate::fact::facts::pod_disruption_budgets::{Amount, Limit, PodDisruptionBudget, PodDisruptionBudgets, Status};
use crate::fact::facts::pods::{Pod, Pods};
use crate::object_ref::NamespacedName;
use crate::seen::Unobserved;

crate::check!("KL-15", "drainable-budgets", Minor, judge);

/// A pod that a budget guards, with its name.
type Guarded<'a> = (&'a NamespacedName, &'a Pod);

fn judge(budgets: &PodDisruptionBudgets, pods: &Pods) -> Verdict {
    if budgets.0.is_empty() {
        return Verdict::not_applicable("there are no PodDisruptionBudgets");
    }
    let mut verdict = Verdict::new();
    let mut evicted: BTreeMap<&str, Vec<Guarded<'_>>> = BTreeMap::new();
    for (name, pod) in pods.0.iter().filter(|(_, pod)| is_evicted_by_a_drain(pod)) {
        evicted.entry(&name.namespace).or_default().push((name, pod));
    }
    let mut guards: BTreeMap<&NamespacedName, Vec<&NamespacedName>> = BTreeMap::new();
    for (name, budget) in &budgets.0 {
        let of_namespace = evicted.get(name.namespace.as_ref()).into_iter().flatten();
        let guarded: Vec<Guarded<'_>> = of_namespace.filter(|(_, pod)| budget.matches(&pod.labels)).copied().collect();
        for &(pod, _) in &guarded {
            guards.entry(pod).or_default().push(name);
        }
        judge_budget(&mut verdict, name, budget, &guarded);
    }
    judge_overlap(&mut verdict, guards, budgets);
    verdict
}

fn is_evicted_by_a_drain(pod: &Pod) -> bool {
    let has_ended = ["Succeeded", "Failed"].contains(&pod.phase.as_str());
    let is_of_its_node = pod.is_mirror() || pod.owner.as_ref().is_some_and(|owner| owner.kind == "DaemonSet");
    !has_ended && !pod.deleting && !is_of_its_node
}

fn subject(name: &NamespacedName) -> Subject {
    name.of("PodDisruptionBudget").into()
}

/// The consequence of every budget that forbids all evictions.
const IMPACT: &str = "kubectl drain of the nodes that run its pods never ends, and upgrades of these nodes hang";

fn judge_budget(verdict: &mut Verdict, name: &NamespacedName, budget: &PodDisruptionBudget, guarded: &[Guarded<'_>]) {
    if guarded.is_empty() {
        verdict.confirm();
        return verdict.note_about(subject(name), "matches no pod that a drain evicts");
    }
    let expected = "while all of its pods are healthy, the budget allows an eviction";
    if let Some(why) = &budget.sync_failed {
        let NamespacedName { namespace, name: own } = name;
        return verdict.find(
            subject(name),
            Finding::new(expected, format!("the disruption controller cannot compute it, and allows none: {why}"))
                .evidence(guarded.iter().map(placed))
                .impact(IMPACT)
                .fix(format!(
                    "read its events: kubectl -n {namespace} describe poddisruptionbudget {own}; pods whose controller has \
                     no scale subresource need a minAvailable in pods: {}",
                    patch(name, &format!(r#""maxUnavailable":null,"minAvailable":{}"#, guarded.len() - 1))
                ))
                .managed_by(budget.manager.as_ref()),
        );
    }
    let Some(status) = &budget.status else {
        let cause = "the disruption controller has not computed it since the budget was last changed";
        return verdict.unseen(subject(name), &Unobserved::invalid("the status of the budget", cause));
    };
    let why = why_never(budget, status, guarded);
    let allows = verdict.expect(subject(name), why.is_none(), || {
        Finding::new(expected, why.unwrap_or_default())
            .evidence(guarded.iter().map(placed))
            .impact(IMPACT)
            .fix(relax(name, budget, status, guarded))
            .managed_by(budget.manager.as_ref())
    });
    if allows && status.disruptions_allowed == 0 {
        note_the_wait(verdict, name, budget, status);
    }
}

/// Why no number of healthy pods makes the budget allow an eviction; none if one does.
fn why_never(budget: &PodDisruptionBudget, status: &Status, guarded: &[Guarded<'_>]) -> Option<String> {
    let Status { expected_pods: all, desired_healthy: healthy, .. } = status;
    let Some(limit) = &budget.limit else {
        return Some("neither maxUnavailable nor minAvailable is set, which allows none".into());
    };
    if *all > 0 {
        return (healthy >= all).then(|| format!("{limit}: {healthy} of {all} pods must stay healthy"));
    }
    // Of percentages and of maxUnavailable, the controller counts the replicas that the pods' controllers ask for.
    let counts_replicas = !matches!(limit, Limit::MinAvailable(Amount::Pods(_)));
    let have_no_controller = guarded.iter().all(|(_, pod)| pod.owner.is_none());
    (counts_replicas && have_no_controller)
        .then(|| format!("{limit} counts replicas, and its {} pods have no controller", guarded.len()))
}

/// The command that makes the budget allow one eviction.
fn relax(name: &NamespacedName, budget: &PodDisruptionBudget, status: &Status, guarded: &[Guarded<'_>]) -> String {
    let all = status.expected_pods;
    let command = match &budget.limit {
        Some(Limit::MinAvailable(Amount::Pods(_))) => patch(name, &format!(r#""minAvailable":{}"#, all - 1)),
        Some(_) if all == 0 => patch(name, &format!(r#""maxUnavailable":null,"minAvailable":{}"#, guarded.len() - 1)),
        Some(Limit::MinAvailable(_)) => patch(name, r#""minAvailable":null,"maxUnavailable":1"#),
        Some(Limit::MaxUnavailable(_)) | None => patch(name, r#""maxUnavailable":1"#),
    };
    match guarded.len() {
        1 => format!("run a second replica first, or its service stops during a drain; then: {command}"),
        _ => command,
    }
}

fn patch(NamespacedName { namespace, name }: &NamespacedName, spec: &str) -> String {
    format!(r#"kubectl -n {namespace} patch poddisruptionbudget {name} --type merge -p '{{"spec":{{{spec}}}}}'"#)
}

fn placed((name, pod): &Guarded<'_>) -> String {
    pod.node.as_ref().map_or_else(|| format!("{name}, not scheduled"), |node| format!("{name} on {node}"))
}

/// A budget that allows no eviction now, and will once its pods are healthy.
fn note_the_wait(verdict: &mut Verdict, name: &NamespacedName, budget: &PodDisruptionBudget, status: &Status) {
    let Status { expected_pods: all, desired_healthy: needed, current_healthy: healthy, .. } = status;
    let mut note = format!("allows no eviction now: {healthy} of {all} pods are healthy, and it keeps {needed}");
    // By default, a pod that is not healthy can be evicted only while enough others are.
    if healthy < needed && budget.unhealthy_pods.as_deref() != Some("AlwaysAllow") {
        note += "; unhealthyPodEvictionPolicy: AlwaysAllow would let a drain evict the others";
    }
    verdict.note_about(subject(name), note);
}

fn judge_overlap(
    verdict: &mut Verdict,
    guards: BTreeMap<&NamespacedName, Vec<&NamespacedName>>,
    all: &PodDisruptionBudgets,
) {
    let mut shared: BTreeMap<Vec<&NamespacedName>, Vec<&NamespacedName>> = BTreeMap::new();
    for (pod, budgets) in guards {
        if budgets.len() > 1 {
            shared.entry(budgets).or_default().push(pod);
        } else {
            verdict.confirm();
        }
    }
    for (budgets, pods) in shared {
        let (kept, others) = (&budgets[0], &budgets[1..]);
        let manager = others.iter().find_map(|budget| all.0.get(*budget)?.manager.as_ref());
        let others: Vec<&str> = others.iter().map(|budget| budget.name.as_ref()).collect();
        verdict.find_together(
            budgets.iter().map(|budget| subject(budget)),
            pods.len(),
            Finding::new(
                "at most one PodDisruptionBudget matches a pod",
                format!("{} budgets match {}", budgets.len(), counted(pods.len())),
            )
            .evidence(&pods)
            .impact("the API server answers their eviction with status 500, so kubectl drain of their nodes fails")
            .fix(format!(
                "narrow the selectors, or keep {} alone: kubectl -n {} delete poddisruptionbudget {}",
                kept.name,
                kept.namespace,
                others.join(" ")
            ))
            .managed_by(manager),
        );
    }
}

fn counted(pods: usize) -> String {
    if pods == 1 { "the same pod".into() } else { format!("the same {pods} pods") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::check::testing::{notes, seen_of};
    use crate::fact::facts::label_selector::Requirement;
    use crate::fact::facts::pods::Owner;
    use crate::object_ref::testing::named;

    const NONE: [&str; 0] = [];

    /// A budget for the pods with the label app=web.
    fn budget(limit: Limit, expected_pods: i32, desired_healthy: i32) -> PodDisruptionBudget {
        let web = Requirement { key: "app".into(), operator: "In".into(), values: vec!["web".into()] };
        let status = Status {
            expected_pods,
            desired_healthy,
            current_healthy: expected_pods,
            disruptions_allowed: (expected_pods - desired_healthy).max(0),
        };
        PodDisruptionBudget {
            limit: Some(limit),
            selector: Some(vec![web]),
            status: Some(status),
            ..PodDisruptionBudget::default()
        }
    }

    fn most(pods: i32) -> Limit {
        Limit::MaxUnavailable(Amount::Pods(pods))
    }

    fn least(pods: i32) -> Limit {
        Limit::MinAvailable(Amount::Pods(pods))
    }

    fn least_percent(percent: &str) -> Limit {
        Limit::MinAvailable(Amount::Percent(percent.into()))
    }

    fn pod() -> Pod {
        Pod {
            labels: [("app".to_owned(), "web".to_owned())].into(),
            owner: Some(Owner { kind: "ReplicaSet".into(), name: "web-5d8f".into() }),
            node: Some("n1".into()),
            phase: "Running".into(),
            ready: true,
            ..Pod::default()
        }
    }

    /// So many pods, all alike.
    fn pods(count: usize, pod: &Pod) -> Pods {
        let named = |number| {
            let name = NamespacedName::new("shop", format!("web-{number}"));
            let pod = Pod { namespace: "shop".into(), name: name.name.clone().into(), ..pod.clone() };
            (name, pod)
        };
        Pods((1..=count).map(named).collect())
    }

    fn judged(budget: PodDisruptionBudget, pods: &Pods) -> Verdict {
        judge(&PodDisruptionBudgets([(named("shop/web"), budget)].into()), pods)
    }

    fn fix(verdict: &Verdict) -> String {
        verdict.findings(Severity::Minor).remove(0).fix
    }

    #[test]
    fn the_fault_is_found() {
        let verdict = judged(budget(most(0), 2, 2), &pods(2, &pod()));
        assert_eq!(
            seen_of(&verdict),
            ["PodDisruptionBudget shop/web: maxUnavailable 0: 2 of 2 pods must stay healthy"]
        );
        assert_eq!(verdict.findings(Severity::Minor)[0].evidence, ["shop/web-1 on n1", "shop/web-2 on n1"]);
        assert_eq!(
            fix(&verdict),
            r#"kubectl -n shop patch poddisruptionbudget web --type merge -p '{"spec":{"maxUnavailable":1}}'"#
        );
    }

    #[test]
    fn a_budget_that_allows_one_eviction_passes_without_a_note() {
        let verdict = judged(budget(most(1), 3, 2), &pods(3, &pod()));
        assert_eq!((verdict.observations(), seen_of(&verdict)), (4, vec![]));
        assert_eq!(notes(&verdict), NONE);
    }

    #[test]
    fn a_minimum_of_all_pods_is_found_and_lowered_by_one() {
        let all = judged(budget(least(3), 3, 3), &pods(3, &pod()));
        assert_eq!(seen_of(&all), ["PodDisruptionBudget shop/web: minAvailable 3: 3 of 3 pods must stay healthy"]);
        assert!(fix(&all).ends_with(r#" -p '{"spec":{"minAvailable":2}}'"#), "{}", fix(&all));
        let more = judged(budget(least(4), 3, 4), &pods(3, &pod()));
        assert_eq!(seen_of(&more), ["PodDisruptionBudget shop/web: minAvailable 4: 4 of 3 pods must stay healthy"]);
        let fewer = judged(budget(least(2), 3, 2), &pods(3, &pod()));
        assert_eq!(seen_of(&fewer), NONE);
    }

    #[test]
    fn a_percentage_that_is_rounded_up_to_all_pods_is_found() {
        let verdict = judged(budget(least_percent("90%"), 3, 3), &pods(3, &pod()));
        assert_eq!(
            seen_of(&verdict),
            ["PodDisruptionBudget shop/web: minAvailable 90%: 3 of 3 pods must stay healthy"]
        );
        assert!(fix(&verdict).ends_with(r#" -p '{"spec":{"minAvailable":null,"maxUnavailable":1}}'"#));
    }

    #[test]
    fn the_fix_for_a_single_pod_says_that_its_service_stops() {
        let verdict = judged(budget(least(1), 1, 1), &pods(1, &pod()));
        assert_eq!(seen_of(&verdict), ["PodDisruptionBudget shop/web: minAvailable 1: 1 of 1 pods must stay healthy"]);
        assert!(fix(&verdict).starts_with("run a second replica first, or its service stops during a drain; then: "));
        assert!(fix(&verdict).ends_with(r#"{"minAvailable":0}}'"#));
    }

    #[test]
    fn a_budget_that_waits_for_healthy_pods_is_noted_and_not_found() {
        let waiting = |current_healthy, unhealthy_pods: Option<&str>| {
            let mut budget = budget(least(2), 3, 2);
            let status = budget.status.unwrap();
            budget.status = Some(Status { current_healthy, disruptions_allowed: 0, ..status });
            budget.unhealthy_pods = unhealthy_pods.map(str::to_owned);
            let verdict = judged(budget, &pods(3, &pod()));
            assert_eq!(seen_of(&verdict), NONE);
            notes(&verdict)
        };
        let now = |healthy: u8| {
            format!(
                "PodDisruptionBudget shop/web: allows no eviction now: {healthy} of 3 pods are healthy, and it keeps 2"
            )
        };
        let hint = "; unhealthyPodEvictionPolicy: AlwaysAllow would let a drain evict the others";
        assert_eq!(waiting(2, None), [now(2)]);
        assert_eq!(waiting(0, None), [now(0) + hint]);
        assert_eq!(waiting(0, Some("IfHealthyBudget")), [now(0) + hint]);
        assert_eq!(waiting(0, Some("AlwaysAllow")), [now(0)]);
    }

    #[test]
    fn a_budget_without_pods_that_a_drain_evicts_is_noted_and_not_found() {
        let of = |pods: &Pods| {
            let verdict = judged(budget(most(0), 0, 0), pods);
            assert_eq!((verdict.observations(), seen_of(&verdict)), (1, vec![]));
            assert_eq!(notes(&verdict), ["PodDisruptionBudget shop/web: matches no pod that a drain evicts"]);
        };
        of(&Pods::default());
        of(&pods(1, &Pod { labels: [].into(), ..pod() }));
        of(&pods(1, &Pod { phase: "Succeeded".into(), ..pod() }));
        of(&pods(1, &Pod { deleting: true, ..pod() }));
        of(&pods(1, &Pod { owner: Some(Owner { kind: "DaemonSet".into(), name: "web".into() }), ..pod() }));
    }

    #[test]
    fn replicas_that_no_controller_asks_for_count_for_nothing() {
        let bare = pods(2, &Pod { owner: None, ..pod() });
        let verdict = judged(budget(most(1), 0, 0), &bare);
        assert_eq!(
            seen_of(&verdict),
            ["PodDisruptionBudget shop/web: maxUnavailable 1 counts replicas, and its 2 pods have no controller"]
        );
        assert!(fix(&verdict).ends_with(r#"{"maxUnavailable":null,"minAvailable":1}}'"#));
        assert_eq!(seen_of(&judged(budget(least(1), 2, 1), &bare)), NONE);
    }

    #[test]
    fn a_budget_that_sets_no_limit_allows_nothing() {
        let verdict = judged(PodDisruptionBudget { limit: None, ..budget(most(1), 0, 0) }, &pods(2, &pod()));
        assert_eq!(
            seen_of(&verdict),
            ["PodDisruptionBudget shop/web: neither maxUnavailable nor minAvailable is set, which allows none"]
        );
    }

    #[test]
    fn a_budget_that_cannot_be_computed_is_found() {
        let why = "found no controllers for pod \"web-1\"";
        let failed = PodDisruptionBudget { sync_failed: Some(why.into()), ..budget(most(1), 3, 2) };
        assert_eq!(
            seen_of(&judged(failed, &pods(3, &pod()))),
            [format!(
                "PodDisruptionBudget shop/web: the disruption controller cannot compute it, and allows none: {why}"
            )]
        );
    }

    #[test]
    fn a_status_that_is_older_than_the_budget_is_not_a_pass() {
        let verdict = judged(PodDisruptionBudget { status: None, ..budget(most(1), 3, 2) }, &pods(3, &pod()));
        assert_eq!(seen_of(&verdict), NONE);
        assert!(!verdict.saw_everything());
    }

    #[test]
    fn pods_that_two_budgets_match_are_found_together() {
        let everything = PodDisruptionBudget { selector: Some(vec![]), ..budget(most(1), 3, 2) };
        let mut all = pods(2, &pod());
        let other = Pod { namespace: "shop".into(), name: "db-1".into(), labels: [].into(), ..pod() };
        all.0.insert(other.key(), other);
        let budgets = |second: &str| {
            let web = budget(most(1), 2, 1);
            PodDisruptionBudgets([(named("shop/all"), everything.clone()), (named(second), web)].into())
        };
        let verdict = judge(&budgets("shop/web"), &all);
        assert_eq!(seen_of(&verdict), ["PodDisruptionBudget shop/all, web: 2 budgets match the same 2 pods"]);
        assert_eq!(verdict.findings(Severity::Minor)[0].evidence, ["shop/web-1", "shop/web-2"]);
        assert_eq!(
            fix(&verdict),
            "narrow the selectors, or keep all alone: kubectl -n shop delete poddisruptionbudget web"
        );
        assert_eq!(seen_of(&judge(&budgets("bank/web"), &all)), NONE, "a budget is about its own namespace");
    }

    #[test]
    fn without_budgets_there_is_nothing_to_judge() {
        assert!(judge(&PodDisruptionBudgets::default(), &pods(1, &pod())).reason().is_some());
    }
}
