//! Finds for each result the root that it follows from.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::faults::{Fault, Faults};
use super::obstacles::Reported;
use super::restarts::{self, Restarts};
use super::{Graph, Obstacles, Places};
use crate::check::outcome::Unseen;
use crate::check::{Cause, Finding, Judged, Origin, Outcome, Root, Severity, Subject};

/// Without an API server nothing can be seen, and nothing on a node that is down.
const ALWAYS_BELOW: [&str; 2] = ["CP-01", "KL-01"];

/// The suites about what the whole cluster depends on.
const CONTROL_PLANE: [&str; 2] = ["control-plane", "ha"];

/// Gives every result the root that it follows from, and every check the outcome that remains. Returns the checks that
/// are left with a failure or an error: failures before errors, then what others
/// build on first, then by severity, then by how much they explain.
///
/// A finding that only in part follows from another becomes two: one about what is explained, and one about the rest.
/// Findings below the gate explain nothing, and neither does what could not be checked.
pub(crate) fn fold(
    judged: &mut [Judged],
    graph: &Graph,
    places: &Places,
    restarts: &Restarts,
    obstacles: &Obstacles,
    gate: Severity,
) -> Vec<Root> {
    // Without the check that names them there is nothing to follow from.
    let has_named = judged.iter().any(|check| check.id == restarts::CHECK && !check.findings.is_empty());
    let restarts = has_named.then_some(restarts);
    let (faults, reasons, reported) = (BTreeMap::new(), BTreeMap::new(), Reported::default());
    let mut fold = Fold { graph, places, restarts, obstacles, reported, gate, faults, reasons };
    let mut order: Vec<&mut Judged> = judged.iter_mut().collect();
    order.sort_by_key(|check| (!obstacles.is_of_the_certificate(check), graph.below(&check.id).count()));
    let mut unaccepted: Option<Judged> = None;
    for check in &mut order {
        fold.findings(check, unaccepted.as_ref());
        if obstacles.is_of_the_certificate(check) {
            unaccepted = Some(check.clone());
        }
    }
    fold.reported = obstacles.reported(&order, gate);
    for check in order {
        fold.unseen(check);
        check.outcome = fold.outcome(check);
    }
    roots(judged, graph, places)
}

fn roots(judged: &[Judged], graph: &Graph, places: &Places) -> Vec<Root> {
    let mut explains: BTreeMap<&str, usize> = BTreeMap::new();
    for cause in judged.iter().flat_map(Judged::causes) {
        *explains.entry(&cause.check).or_default() += 1;
    }
    // A restart is not a fault: it is a root only of what may follow from it.
    let is_root = |check: &&Judged| {
        let is_restart = check.id == restarts::CHECK && explains.contains_key(check.id.as_str());
        is_restart || matches!(check.outcome, Outcome::Fail | Outcome::Error)
    };
    let left = judged.iter().filter(is_root);
    let mut roots: Vec<Root> = left
        .map(|check| Root {
            check: check.id.clone(),
            severity: check.findings.first().map_or(check.severity, |worst| worst.severity),
            explains: explains.get(check.id.as_str()).copied().unwrap_or_default(),
            place: places.nodes(check.unexplained()).and_then(|nodes| places.common(&nodes)),
        })
        .collect();
    let failing: BTreeSet<&str> =
        judged.iter().filter(|check| check.outcome == Outcome::Fail).map(|check| check.id.as_str()).collect();
    // What fails before what could not be checked, and a restart last. What matters little and explains nothing can wait, on
    // whatever it builds.
    roots.sort_by_key(|root| {
        let unseen = !failing.contains(root.check.as_str());
        let is_restart = root.check == restarts::CHECK;
        let can_wait = root.severity <= Severity::Minor && root.explains == 0;
        (is_restart, unseen, can_wait, graph.layer(&root.check), Reverse(root.severity), Reverse(root.explains))
    });
    roots
}

struct Fold<'a> {
    graph: &'a Graph,
    places: &'a Places,
    restarts: Option<&'a Restarts>,
    obstacles: &'a Obstacles,
    reported: Reported,
    gate: Severity,
    /// By check, what may explain results of checks above it.
    faults: BTreeMap<String, Vec<Faults>>,
    /// By reason and nodes, the first check that could not decide for it.
    reasons: BTreeMap<(String, BTreeSet<String>), Cause>,
}

impl Fold<'_> {
    fn findings(&mut self, check: &mut Judged, unaccepted: Option<&Judged>) {
        let (mut own, mut explained) = (Vec::new(), Vec::new());
        for finding in std::mem::take(&mut check.findings) {
            let certificate = unaccepted.filter(|_| finding.comes_from.is_none());
            if let cause @ Some(_) = certificate.and_then(|first| Obstacles::certificate(&check.id, &finding, first)) {
                explained.push(Finding { cause, ..finding });
                continue;
            }
            let direct = self.graph.direct(&check.id);
            debug_assert!(
                finding.same_as.iter().all(|other| self.graph.below(&check.id).any(|below| below == *other)),
                "{}: what a finding is the same as must be below its check: {:?}",
                check.id,
                finding.same_as
            );
            let elsewhere = self.lowest(finding.same_as, &check.id, Faults::anywhere);
            let parts = match (elsewhere, &finding.comes_from) {
                (Some(root), _) => BTreeMap::from([(Some(root), finding.subjects.clone())]),
                (None, Some(Origin::Object(object))) => {
                    let below: Vec<_> = self.graph.below(&check.id).collect();
                    let root = self.lowest(&below, &check.id, |faults| faults.about(object));
                    let nodes = self.places.of_subject(object);
                    let root = root.or_else(|| self.lowest(direct, &check.id, |faults| faults.near(&nodes)));
                    BTreeMap::from([(root, finding.subjects.clone())])
                }
                (None, Some(Origin::Subjects)) => {
                    let mut parts: BTreeMap<_, Vec<Subject>> = BTreeMap::new();
                    for subject in &finding.subjects {
                        let root = self.lowest(direct, &check.id, |faults| faults.about(subject));
                        parts.entry(root).or_default().push(subject.clone());
                    }
                    parts
                }
                (None, None) => self.parts(&check.id, &finding.subjects, direct),
            };
            // What comes from an object is as it is, however long components have run.
            let parts = if finding.comes_from.is_some() { parts } else { self.after_restarts(&check.id, parts) };
            for (cause, subjects) in parts {
                let to = if cause.is_some() { &mut explained } else { &mut own };
                let mut part = Finding { subjects, cause, ..finding.clone() };
                part.narrow();
                to.push(part);
            }
        }
        own.append(&mut explained);
        check.findings = own;
        self.remember(check);
    }

    fn unseen(&mut self, check: &mut Judged) {
        let below: Vec<_> =
            self.graph.below(&check.id).chain(ALWAYS_BELOW).filter(|lower| *lower != check.id).collect();
        for unseen in std::mem::take(&mut check.unseen) {
            if let Some(cause) = self.reported.cause(&unseen) {
                let cause = Some(cause.clone()).filter(|cause| cause.check != check.id);
                check.unseen.push(Unseen { cause, ..unseen });
                continue;
            }
            // A right that is missing everywhere is missing whatever else fails.
            let has_place = self.places.of_all(&unseen.subjects).is_some();
            let parts = if has_place {
                self.parts(&check.id, &unseen.subjects, &below)
            } else if unseen.missing.is_some() {
                BTreeMap::from([(None, unseen.subjects.clone())])
            } else {
                let direct: Vec<_> = self.graph.direct_or_blocking(&check.id).chain(ALWAYS_BELOW).collect();
                self.parts(&check.id, &unseen.subjects, self.obstacles.of_a_read(&unseen).unwrap_or(&direct))
            };
            for (cause, subjects) in parts {
                let mut part = Unseen { subjects, cause, ..unseen.clone() };
                let restart = || self.restarts?.behind(&check.id, &part, self.places);
                part.cause = part.cause.clone().or_else(restart).or_else(|| self.known(&check.id, &part));
                check.unseen.push(part);
            }
        }
    }

    /// The things that a result is about, by the root that it follows from where they are; none first. What is about nothing in
    /// particular, or at a place that is not known, follows only from what is wrong everywhere, or on every node.
    fn parts(&self, id: &str, subjects: &[Subject], below: &[&str]) -> BTreeMap<Option<Cause>, Vec<Subject>> {
        if subjects.is_empty() {
            return BTreeMap::from([(self.root_of(id, below, &BTreeSet::new()), Vec::new())]);
        }
        let mut parts: BTreeMap<_, Vec<Subject>> = BTreeMap::new();
        for subject in subjects {
            let nodes = self.places.of_subject(subject);
            let root = self.root_of(id, below, &nodes);
            // An address that is on no node may be what a check below is about as well.
            let is_same = nodes.is_empty() && *subject == Subject::address(&subject.name);
            let root = root.or_else(|| self.lowest(below, id, |faults| faults.about(subject)).filter(|_| is_same));
            parts.entry(root).or_default().push(subject.clone());
        }
        parts
    }

    /// The lowest root of what is on these nodes, if every one of them has a root; of what is on none, that of all nodes.
    fn root_of(&self, id: &str, below: &[&str], nodes: &BTreeSet<&str>) -> Option<Cause> {
        if nodes.is_empty() {
            let all = self.places.all();
            let on_all = || if all.is_empty() { None } else { self.root_of(id, below, &all) };
            return self.lowest(below, id, Faults::everywhere).or_else(on_all);
        }
        let roots: Option<BTreeSet<(usize, Cause)>> = nodes
            .iter()
            .map(|node| {
                let root = self.lowest(below, id, |faults| faults.covering(node))?;
                Some((self.graph.layer(&root.check), root))
            })
            .collect();
        roots?.pop_first().map(|(_, root)| root)
    }

    /// These parts, where what follows from nothing may follow from a restart.
    fn after_restarts(
        &self,
        id: &str,
        mut parts: BTreeMap<Option<Cause>, Vec<Subject>>,
    ) -> BTreeMap<Option<Cause>, Vec<Subject>> {
        if let Some(restarts) = self.restarts
            && let Some(unexplained) = parts.remove(&None)
        {
            parts.extend(restarts.split(id, unexplained, self.places));
        }
        parts
    }

    /// The lowest root among those of some faults of some checks.
    fn lowest<'f>(&'f self, checks: &[&str], id: &str, some: impl Fn(&'f Faults) -> Vec<&'f [usize]>) -> Option<Cause> {
        let faults = checks.iter().filter_map(|lower| self.faults.get(*lower)).flatten();
        let roots = faults.filter_map(|faults| faults.lowest(id, &some));
        roots.min_by_key(|root| (self.graph.layer(&root.check), *root)).cloned()
    }

    /// The check that could not decide before for the same reason and about the same nodes, if any.
    fn known(&mut self, id: &str, unseen: &Unseen) -> Option<Cause> {
        let nodes = unseen.subjects.iter().flat_map(|subject| self.places.of_subject(subject)).map(str::to_owned);
        let reason = (unseen.why.clone(), nodes.collect::<BTreeSet<_>>());
        if let Some(cause) = self.reasons.get(&reason) {
            return Some(cause.clone()).filter(|cause| cause.check != id);
        }
        self.reasons.insert(reason, Cause { check: id.to_owned(), finding: None });
        None
    }

    fn remember(&mut self, check: &Judged) {
        let failing = check.findings.iter().enumerate().filter(|(_, finding)| finding.severity >= self.gate);
        // What may follow from a restart is not certain enough to explain anything else.
        let failing =
            failing.filter(|(_, finding)| finding.cause.as_ref().is_none_or(|root| root.check != restarts::CHECK));
        let faults = failing.map(|(place, finding)| Fault {
            explains: finding.explains,
            subjects: finding.subjects.clone(),
            object: match &finding.comes_from {
                Some(Origin::Object(object)) => Some(object.clone()),
                Some(Origin::Subjects) | None => None,
            },
            nodes: self.reach(check, finding),
            root: finding.cause.clone().unwrap_or_else(|| Cause { check: check.id.clone(), finding: Some(place) }),
        });
        let mut faults: Vec<Fault> = faults.collect();
        // What could not be checked for a known reason hands that on, so that a chain does not break there.
        let below: Vec<_> = self.graph.below(&check.id).collect();
        let mut handed_on: BTreeMap<Cause, Vec<Subject>> = BTreeMap::new();
        for unseen in check.unseen.iter().filter(|unseen| unseen.missing.is_none()) {
            for (cause, subjects) in self.parts(&check.id, &unseen.subjects, &below) {
                if let Some(root) = cause {
                    handed_on.entry(root).or_default().extend(subjects);
                }
            }
        }
        for (root, subjects) in handed_on {
            let nodes = self.places.of_all(&subjects).map(|nodes| nodes.into_iter().map(str::to_owned).collect());
            faults.push(Fault { explains: None, subjects, object: None, nodes, root });
        }
        self.faults.insert(check.id.clone(), Faults::of(faults, self.graph, self.places));
    }

    /// The nodes on which a finding may explain others; none for all. What is wrong with the whole control plane, or with
    /// every address of the API, is felt everywhere. So is what is wrong with a workload, unless that follows from its nodes.
    fn reach(&self, check: &Judged, finding: &Finding) -> Option<BTreeSet<String>> {
        let nodes = if finding.cause.is_some() {
            self.places.of_all(&finding.subjects)?
        } else {
            self.places.nodes(&finding.subjects)?
        };
        let of_control_plane = CONTROL_PLANE.contains(&check.suite.as_str())
            || finding.subjects.iter().all(|subject| *subject == Subject::address(&subject.name));
        if of_control_plane && self.places.are_control_plane(&nodes) {
            return None;
        }
        Some(nodes.into_iter().map(str::to_owned).collect())
    }

    /// What is left of an outcome when what follows from a root elsewhere does not count.
    fn outcome(&self, check: &Judged) -> Outcome {
        let fails = |finding: &&Finding| finding.severity >= self.gate;
        if !matches!(check.outcome, Outcome::Fail | Outcome::Error) {
            check.outcome
        } else if check.findings.iter().filter(fails).any(|finding| finding.cause.is_none()) {
            Outcome::Fail
        } else if check.unseen.iter().any(|unseen| unseen.cause.is_none()) {
            Outcome::Error
        } else {
            Outcome::Blocked
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::cause::restarts::testing::of_api_server;
    use crate::check::Finding;
    use crate::fact::facts::nodes::Node;
    use crate::seen::Unobserved;
    use crate::suites;

    /// A check that found this, or could not see that.
    fn judged(id: &str, findings: Vec<Finding>, unseen: &[(&str, &str)]) -> Judged {
        let check = suites::check(id).expect("the check exists");
        let mut judged = Judged::new(check, Err(Unobserved::Interrupted), Severity::Minor);
        judged.outcome = if findings.is_empty() { Outcome::Error } else { Outcome::Fail };
        judged.findings = findings;
        judged.unseen = unseen
            .iter()
            .map(|(node, why)| Unseen {
                subjects: vec![Subject::node(*node)],
                why: (*why).to_owned(),
                missing: None,
                cause: None,
            })
            .collect();
        judged
    }

    fn finding(subjects: impl IntoIterator<Item = Subject>) -> Finding {
        Finding {
            subjects: subjects.into_iter().collect(),
            expected: "a".into(),
            seen: "b".into(),
            evidence: Vec::new(),
            evidence_of: BTreeMap::new(),
            impact: None,
            fix: "c".into(),
            severity: Severity::Major,
            same_as: &[],
            comes_from: None,
            explains: None,
            cause: None,
            waived: None,
        }
    }

    fn on(nodes: &[&str]) -> Vec<Finding> {
        vec![finding(nodes.iter().map(|node| Subject::node(*node)))]
    }

    /// Places with these nodes, the first of which is the control plane.
    fn places(names: &[String]) -> Places {
        let node = |(i, name): (usize, &String)| {
            let mut node = Node::default();
            if i == 0 {
                node.labels.insert("node-role.kubernetes.io/control-plane".into(), String::new());
            }
            node.addresses.push(("InternalIP".into(), format!("10.0.{}.{}", i / 200, i % 200 + 1)));
            (name.clone(), node)
        };
        Places::of_nodes(&names.iter().enumerate().map(node).collect())
    }

    fn three() -> Places {
        places(&["n1", "n2", "n3"].map(String::from))
    }

    /// The roots, and each result as `CHECK SUBJECTS <- ROOT`.
    fn folded(checks: Vec<Judged>) -> (Vec<String>, Vec<String>) {
        folded_after(checks, &Restarts::default())
    }

    /// The same after these restarts.
    fn folded_after(mut checks: Vec<Judged>, restarts: &Restarts) -> (Vec<String>, Vec<String>) {
        let roots = fold(
            &mut checks,
            &Graph::new(suites::checks()),
            &three(),
            restarts,
            &Obstacles::default(),
            Severity::Minor,
        );
        let mut results = Vec::new();
        for check in &checks {
            let findings = check.findings.iter().map(|finding| (&finding.subjects, &finding.cause));
            for (subjects, cause) in findings.chain(check.unseen.iter().map(|unseen| (&unseen.subjects, &unseen.cause)))
            {
                let names: Vec<_> = subjects.iter().map(|subject| subject.name.as_str()).collect();
                let cause = cause.as_ref().map(|cause| format!(" <- {}", cause.check)).unwrap_or_default();
                results.push(format!("{} {} {}{cause}", check.id, check.outcome, names.join(",")));
            }
        }
        (roots.into_iter().map(|root| root.check).collect(), results)
    }

    #[test]
    fn what_fails_on_a_node_follows_from_that_node_alone() {
        let (roots, results) = folded(vec![judged("SN-09", on(&["n2", "n3"]), &[]), judged("KL-01", on(&["n3"]), &[])]);
        assert_eq!(roots, ["KL-01", "SN-09"]);
        assert_eq!(results, ["SN-09 fail n2", "SN-09 fail n3 <- KL-01", "KL-01 fail n3"]);
    }

    #[test]
    fn a_check_whose_findings_all_follow_is_blocked() {
        let (roots, results) = folded(vec![judged("SN-09", on(&["n3"]), &[]), judged("KL-01", on(&["n3"]), &[])]);
        assert_eq!((roots, &results[0][..]), (vec!["KL-01".into()], "SN-09 blocked n3 <- KL-01"));
    }

    #[test]
    fn what_is_split_by_cause_is_split_with_its_evidence() {
        let mut lost = on(&["n2", "n3"]);
        lost[0].evidence = ["n2: 13 requests", "n3: 12 requests"].map(str::to_owned).into();
        let of = |node: &str, item: &str| (item.to_owned(), BTreeSet::from([Subject::node(node)]));
        lost[0].evidence_of = [of("n2", "n2: 13 requests"), of("n3", "n3: 12 requests")].into();
        let mut checks = [judged("SN-09", lost, &[]), judged("KL-01", on(&["n3"]), &[])];
        let graph = Graph::new(suites::checks());
        fold(&mut checks, &graph, &three(), &Restarts::default(), &Obstacles::default(), Severity::Minor);
        let parts: Vec<_> = checks[0].findings.iter().map(|part| (part.cause.is_some(), &part.evidence)).collect();
        assert_eq!(parts, [(false, &vec!["n2: 13 requests".to_owned()]), (true, &vec!["n3: 12 requests".to_owned()])]);
    }

    #[test]
    fn a_chain_ends_at_its_first_link() {
        let chain = ["DN-06", "DN-04", "SN-09", "CN-04"].map(|id| judged(id, on(&["n2"]), &[]));
        assert_eq!(
            folded(chain.into()).1,
            ["DN-06 blocked n2 <- CN-04", "DN-04 blocked n2 <- CN-04", "SN-09 blocked n2 <- CN-04", "CN-04 fail n2"]
        );
    }

    #[test]
    fn a_finding_does_not_jump_over_a_check_that_passes() {
        // PK-06 builds on CP-07, which finds nothing: that CP-03 is below it by other ways says nothing.
        let (roots, _) = folded(vec![judged("PK-14", on(&["n1"]), &[]), judged("CP-03", on(&["n1"]), &[])]);
        assert_eq!(roots, ["PK-14", "CP-03"]);
    }

    #[test]
    fn what_is_unseen_on_a_node_that_is_down_follows_from_it_whatever_was_asked() {
        let unseen = |id| judged(id, Vec::new(), &[("n3", "no answer"), ("n2", "no answer either")]);
        let (roots, results) = folded(vec![unseen("PK-17"), judged("KL-01", on(&["n3"]), &[])]);
        assert_eq!(roots, ["KL-01", "PK-17"]);
        assert_eq!(results, ["PK-17 error n3 <- KL-01", "PK-17 error n2", "KL-01 fail n3"]);
    }

    #[test]
    fn checks_that_could_not_decide_for_one_reason_are_one_root() {
        let unseen = |id| judged(id, Vec::new(), &[("n2", "forbidden")]);
        let (roots, results) = folded(vec![unseen("AD-03"), unseen("AA-19")]);
        assert_eq!(roots, ["AA-19"]);
        assert_eq!(results, ["AD-03 blocked n2 <- AA-19", "AA-19 error n2"]);
    }

    #[test]
    fn the_whole_control_plane_is_felt_everywhere() {
        let instance = |address: &str| vec![finding([Subject::address(address)])];
        let (roots, _) =
            folded(vec![judged("SN-09", on(&["n3"]), &[]), judged("CP-01", instance("10.0.0.1:6443"), &[])]);
        assert_eq!(roots, ["CP-01"]);
    }

    #[test]
    fn findings_below_the_gate_explain_nothing() {
        let mut low = on(&["n3"]);
        low[0].severity = Severity::Info;
        let (roots, _) = folded(vec![judged("SN-09", on(&["n3"]), &[]), judged("KL-01", low, &[])]);
        assert!(roots.contains(&"SN-09".to_owned()), "{roots:?}");
    }

    #[test]
    fn a_finding_seen_from_another_side_follows_wherever_that_is() {
        let mut findings = on(&["n3"]);
        findings[0].same_as = &["PK-02"];
        let instance = vec![finding([Subject::address("10.0.0.2:6443")])];
        let (roots, results) = folded(vec![judged("SN-04", findings, &[]), judged("PK-02", instance, &[])]);
        assert_eq!((roots, &results[0][..]), (vec!["PK-02".into()], "SN-04 blocked n3 <- PK-02"));
    }

    #[test]
    fn a_finding_that_comes_from_its_subjects_follows_for_those_that_are_named_below() {
        let binding = |name: &str| Subject::cluster_object("ClusterRoleBinding", name);
        let rights = |seen: Finding| {
            let mut of_holders = finding(["a", "b"].map(binding));
            of_holders.comes_from = Some(Origin::Subjects);
            folded(vec![judged("AA-20", vec![of_holders], &[]), judged("DI-07", vec![seen], &[])])
        };
        let split = ["AA-20 fail b", "AA-20 fail a <- DI-07"];
        assert_eq!(rights(finding([binding("a")])).1[..2], split);
        let mut of_user = finding([Subject::user("system:bootstrap:x")]);
        assert_eq!(rights(of_user.clone()).1[0], "AA-20 fail a,b");
        of_user.comes_from = Some(Origin::Object(binding("a")));
        assert_eq!(rights(of_user).1[..2], split);
    }

    /// A check that could not get a fact, for this reason.
    fn without_a_fact(id: &str, why: &str, missing: Option<&str>) -> Judged {
        let mut check = judged(id, Vec::new(), &[]);
        check.unseen =
            vec![Unseen { subjects: Vec::new(), why: why.into(), missing: missing.map(Into::into), cause: None }];
        check
    }

    #[test]
    fn a_whole_fact_that_was_not_seen_does_not_follow_from_one_node() {
        let down = || judged("KL-01", on(&["n3"]), &[]);
        let (roots, results) = folded(vec![without_a_fact("DI-04", "HTTP 500: no matching KMS key", None), down()]);
        assert_eq!((roots, &results[0][..]), (vec!["KL-01".into(), "DI-04".into()], "DI-04 error "));
        let (roots, _) = folded(vec![without_a_fact("AA-19", "not permitted", Some("list clusterroles")), down()]);
        assert_eq!(roots, ["KL-01", "AA-19"]);
    }

    #[test]
    fn what_was_not_seen_at_all_does_not_carry_a_root_to_other_nodes() {
        let pods = without_a_fact("SN-05", "HTTP 500: etcdserver: request timed out", None);
        let checks = vec![judged("SN-09", on(&["n3"]), &[]), pods, judged("KL-01", on(&["n2"]), &[])];
        assert_eq!(folded(checks).0, ["KL-01", "SN-09", "SN-05"]);
    }

    #[test]
    fn a_right_that_is_missing_does_not_follow_from_what_is_wrong_everywhere() {
        let api = judged("CP-01", vec![finding([Subject::address("10.0.0.1:6443")])], &[]);
        let (roots, _) = folded(vec![without_a_fact("AA-19", "not permitted", Some("list clusterroles")), api]);
        assert_eq!(roots, ["CP-01", "AA-19"]);
    }

    #[test]
    fn one_reason_at_two_nodes_is_two_roots() {
        let unseen = |id, node| judged(id, Vec::new(), &[(node, "no answer within 2 s")]);
        assert_eq!(folded(vec![unseen("AD-03", "n2"), unseen("KL-06", "n3")]).0.len(), 2);
    }

    #[test]
    fn an_address_on_no_node_does_not_follow_from_one_node() {
        let balancer = finding([Subject::address("api.example.org:6443")]);
        let one_of_two = vec![finding([Subject::address("10.0.0.2:6443")])];
        let (roots, _) = folded(vec![judged("DI-03", vec![balancer], &[]), judged("CP-01", one_of_two, &[])]);
        assert_eq!(roots.len(), 2, "{roots:?}");
    }

    /// The Deployment of CoreDNS, whose pods on these nodes are not ready, fails with all that needs it on n2.
    fn coredns_failing_on(nodes: &[&str]) -> Vec<String> {
        let coredns = || Subject::object("Deployment", "kube-system", "coredns");
        let mut checks = vec![
            judged("DN-04", on(&["n2"]), &[]),
            judged("DN-02", vec![finding([coredns()])], &[]),
            judged("KL-01", on(&["n3"]), &[]),
        ];
        let (graph, places) = (Graph::new(suites::checks()), three().with_workload(coredns(), nodes));
        let none = (Restarts::default(), Obstacles::default());
        fold(&mut checks, &graph, &places, &none.0, &none.1, Severity::Minor).into_iter().map(|it| it.check).collect()
    }

    #[test]
    fn a_workload_follows_from_nodes_only_if_all_its_failing_pods_are_there() {
        assert_eq!(coredns_failing_on(&["n2", "n3"]), ["KL-01", "DN-02"]);
        assert_eq!(coredns_failing_on(&[]), ["KL-01", "DN-02"], "it has no pods at all");
        assert_eq!(coredns_failing_on(&["n3"]), ["KL-01", "DN-04"], "one replica is not all of DNS");
    }

    #[test]
    fn what_comes_from_an_object_does_not_follow_from_a_restart() {
        let mut configured = finding([Subject::node("n3")]);
        configured.comes_from = Some(Origin::Object(Subject::object("ConfigMap", "kube-system", "coredns")));
        let mut restart = judged(restarts::CHECK, on(&["n1"]), &[]);
        restart.findings[0].severity = Severity::Info;
        restart.outcome = Outcome::Warn;
        let (roots, _) = folded_after(vec![restart, judged("DN-06", vec![configured], &[])], &of_api_server());
        assert_eq!(roots, ["DN-06"]);
    }

    #[test]
    fn a_hundred_broken_nodes_of_a_thousand_are_folded_at_once() {
        let names: Vec<String> = (0..1000).map(|i| format!("n{i}")).collect();
        let broken: Vec<&str> = names[..100].iter().map(String::as_str).collect();
        let unseen: Vec<(&str, &str)> = broken.iter().map(|node| (*node, "no answer")).collect();
        let mut checks: Vec<Judged> = suites::checks().map(|check| judged(check.id, on(&broken), &unseen)).collect();
        let (graph, places) = (Graph::new(suites::checks()), places(&names));
        let began = Instant::now();
        let roots = fold(&mut checks, &graph, &places, &Restarts::default(), &Obstacles::default(), Severity::Minor);
        let limit = Duration::from_millis(if cfg!(debug_assertions) { 10_000 } else { 50 });
        assert!(began.elapsed() < limit, "{:?} for {} roots", began.elapsed(), roots.len());
    }

    /// The API server of n1 has just restarted, and these checks fail on n3.
    fn after_a_restart(failing: &[&str]) -> (Vec<String>, Vec<String>) {
        let mut restart = judged(restarts::CHECK, on(&["n1"]), &[]);
        restart.findings[0].severity = Severity::Info;
        restart.outcome = Outcome::Warn;
        let failing = failing.iter().map(|id| judged(id, on(&["n3"]), &[]));
        folded_after([restart].into_iter().chain(failing).collect(), &of_api_server())
    }

    #[test]
    fn what_may_follow_from_a_restart_is_blocked_by_it() {
        let (roots, results) = after_a_restart(&["SN-09"]);
        assert_eq!(roots, ["CP-20"]);
        assert_eq!(results, ["CP-20 warn n1", "SN-09 blocked n3 <- CP-20"]);
    }

    #[test]
    fn a_restart_hides_no_fault_that_it_cannot_explain() {
        let (roots, results) = after_a_restart(&["PK-02"]);
        assert_eq!((roots, &results[1][..]), (vec!["PK-02".into()], "PK-02 fail n3"));
    }

    #[test]
    fn a_failing_check_explains_before_a_restart_does() {
        let (roots, results) = after_a_restart(&["CN-04", "SN-09"]);
        assert_eq!(roots, ["CN-04"], "a restart that explains nothing is not a root");
        assert_eq!(results[1..], ["CN-04 fail n3", "SN-09 blocked n3 <- CN-04"]);
    }

    #[test]
    fn without_the_check_that_names_restarts_nothing_follows_from_one() {
        let (roots, _) = folded_after(vec![judged("SN-09", on(&["n3"]), &[])], &of_api_server());
        assert_eq!(roots, ["SN-09"]);
    }
}
