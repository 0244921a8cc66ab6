//! What the checks of NodeRestriction share: how the answers to a kubelet's writes are judged.

use std::collections::BTreeMap;

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::answered::Answered;
use crate::seen::{Seen, Unobserved};

/// How to turn NodeRestriction on.
pub(crate) const NODE_RESTRICTION: &str = "on each control-plane node, in \
     /etc/kubernetes/manifests/kube-apiserver.yaml, add NodeRestriction to --enable-admission-plugins and remove it \
     from --disable-admission-plugins";

/// A request that NodeRestriction refuses: the request, what it would do, and the words of the refusal.
pub(crate) struct Refused<W>(pub(crate) W, pub(crate) &'static str, pub(crate) &'static str);

/// Requests of a node that NodeRestriction must refuse.
pub(crate) struct Guarded<W: 'static> {
    /// The requests.
    pub(crate) refused: &'static [Refused<W>],
    /// What follows if they are accepted.
    pub(crate) impact: &'static str,
    /// How to have them refused again.
    pub(crate) fix: &'static str,
    /// How bad it is if they are accepted.
    pub(crate) severity: Severity,
}

/// A node's requests and their answers.
#[derive(Clone, Copy)]
pub(crate) struct Tried<'a, W> {
    /// The node.
    pub(crate) node: &'a str,
    /// The answers.
    pub(crate) answers: &'a BTreeMap<W, Seen<Answered>>,
}

impl<W: Ord> Tried<'_, W> {
    /// Asserts that NodeRestriction refuses these requests. Refusals count only together with a control of the same
    /// node.
    pub(crate) fn are_refused(self, verdict: &mut Verdict, guarded: &Guarded<W>) {
        let subject = || Subject::node(self.node);
        for Refused(write, what, words) in guarded.refused {
            let Some(seen) = self.answers.get(write) else { continue };
            let Some(answer) = verdict.seen(subject, seen) else { continue };
            match answer.status {
                403 if answer.message.contains(words) => verdict.confirm(),
                403 => verdict.find(
                    subject(),
                    Finding::new(
                        format!("NodeRestriction refuses the request to {what}"),
                        format!("it is refused by: {}", answer.message),
                    )
                    .impact("something else refuses it today; if that is removed, a node might get through")
                    .fix(format!("check that NodeRestriction is on as well: {NODE_RESTRICTION}"))
                    .info(),
                ),
                _ if passed(answer) => {
                    let after = if answer.status == 409 { ", which comes after admission" } else { "" };
                    verdict.find(
                        subject(),
                        Finding::new(
                            "NodeRestriction refuses requests of a node for what it must not do",
                            "accepted requests made with the credential of this node",
                        )
                        .evidence([format!("{what} (HTTP {}{after})", answer.status)])
                        .impact(guarded.impact)
                        .fix(guarded.fix)
                        .severity(guarded.severity),
                    );
                }
                _ => verdict.unseen(subject(), &inconclusive(what, answer)),
            }
        }
    }

    /// Asserts that the same node may do what it needs; without that, anything may have refused the other requests.
    pub(crate) fn expect_allowed(self, verdict: &mut Verdict, write: &W, what: &str) {
        let subject = || Subject::node(self.node);
        match self.answers.get(write) {
            Some(Ok(answer)) if passed(answer) => verdict.confirm(),
            Some(Ok(answer)) => {
                let cause = format!("HTTP {}: {}; without it, refusals prove nothing", answer.status, answer.message);
                verdict.unseen(subject(), &Unobserved::invalid(format!("the attempt to {what}"), cause));
            }
            Some(Err(why)) => verdict.unseen(subject(), why),
            None => verdict.unseen(subject(), &Unobserved::absent(format!("it was not tried: {what}"))),
        }
    }
}

/// Whether authorization and admission let it through: done, or refused only because of the state of the object. An
/// eviction that a disruption budget holds up is; a server with too many requests has not even checked.
fn passed(answer: &Answered) -> bool {
    match answer.status {
        200..=299 | 409 | 422 => true,
        429 => answer.message.contains("disruption budget"),
        _ => false,
    }
}

fn inconclusive(what: &str, answer: &Answered) -> Unobserved {
    Unobserved::invalid(format!("the attempt to {what}"), format!("HTTP {}: {}", answer.status, answer.message))
}

#[cfg(test)]
mod tests {
    use super::super::super::{foreign_node, mirror_pods, node_labels};
    use super::*;
    use crate::fact::facts::node_restriction::{NodeRestriction, Write};

    type Judge = fn(&NodeRestriction) -> Verdict;

    /// A check with the requests that must be refused, and those that must be accepted.
    type Case = (Judge, Vec<&'static Refused<Write>>, Vec<Write>);

    fn family() -> [Case; 3] {
        [
            (foreign_node::judge, foreign_node::GUARDED.refused.iter().collect(), vec![Write::OwnNode]),
            (node_labels::judge, node_labels::GUARDED.refused.iter().collect(), vec![Write::OwnLabels]),
            (
                mirror_pods::judge,
                mirror_pods::PODS.refused.iter().chain(mirror_pods::EVICTIONS.refused).collect(),
                vec![Write::MirrorPod, Write::EvictOwnPod],
            ),
        ]
    }

    fn fact(refused: &[&Refused<Write>], controls: &[Write], different: &[(Write, u16, &str)]) -> NodeRestriction {
        let refused = refused.iter().map(|Refused(write, _, words)| (*write, 403, *words));
        let all = refused.chain(controls.iter().map(|write| (*write, 200, ""))).chain(different.iter().copied());
        let answered = |(write, status, message): (Write, u16, &str)| {
            (write, Ok(Answered { status, message: message.to_owned() }))
        };
        NodeRestriction { node: "n2".into(), writes: all.map(answered).collect() }
    }

    #[test]
    fn a_restricted_node_passes() {
        for (judge, refused, controls) in family() {
            let verdict = judge(&fact(&refused, &controls, &[]));
            assert!(verdict.findings(Severity::Critical).is_empty() && verdict.saw_everything());
            assert_eq!(verdict.observations(), refused.len() + controls.len());
        }
    }

    #[test]
    fn each_request_that_is_let_through_is_found() {
        for (judge, refused, controls) in family() {
            for Refused(write, what, _) in &refused {
                for (status, after) in [(200, ""), (409, ", which comes after admission"), (422, "")] {
                    let verdict = judge(&fact(&refused, &controls, &[(*write, status, "")]));
                    let findings = verdict.findings(Severity::Critical);
                    let [finding] = &findings[..] else { panic!("{findings:?}") };
                    assert_eq!(finding.evidence, [format!("{what} (HTTP {status}{after})")]);
                    assert!(finding.expected.starts_with("NodeRestriction") && finding.fix == NODE_RESTRICTION);
                    assert_eq!(finding.severity, Severity::Critical);
                }
            }
        }
    }

    #[test]
    fn requests_with_one_consequence_are_one_finding() {
        let through = [(Write::OtherNode, 200, ""), (Write::NewNode, 201, "")];
        let findings = foreign_node::judge(&fact(&[], &[Write::OwnNode], &through)).findings(Severity::Critical);
        assert_eq!((findings.len(), findings[0].evidence.len()), (1, 2));
    }

    #[test]
    fn a_refusal_by_something_else_is_information() {
        for (judge, refused, controls) in family() {
            let verdict = judge(&fact(&refused, &controls, &[(refused[0].0, 403, "denied by policy")]));
            let findings = verdict.findings(Severity::Critical);
            assert_eq!((findings.len(), findings[0].severity), (1, Severity::Info));
        }
    }

    #[test]
    fn refusals_without_a_control_are_inconclusive() {
        for (judge, refused, controls) in family() {
            let verdict = judge(&fact(&refused, &controls, &[(controls[0], 403, "read only")]));
            assert!(verdict.gaps()[0].why.to_string().contains("read only"));
        }
    }

    #[test]
    fn a_dead_webhook_is_not_node_restriction() {
        let dead = "failed calling webhook \"nodes.policy.example.com\"";
        for (judge, refused, controls) in family() {
            let verdict = judge(&fact(&refused, &controls, &[(controls[0], 500, dead)]));
            assert!(verdict.findings(Severity::Critical).is_empty());
            assert!(verdict.gaps()[0].why.to_string().contains("nodes.policy.example.com"));
        }
    }

    #[test]
    fn a_cluster_of_one_node_is_judged_by_what_was_tried() {
        for (judge, missing) in
            [(foreign_node::judge as Judge, Write::OtherNode), (mirror_pods::judge as Judge, Write::EvictForeignPod)]
        {
            let [_, _, (_, pods, _)] = family();
            let nodes = foreign_node::GUARDED.refused.iter().chain(pods);
            let mut fact = fact(&nodes.collect::<Vec<_>>(), &[Write::OwnNode, Write::MirrorPod], &[]);
            fact.writes.remove(&missing);
            let verdict = judge(&fact);
            assert_eq!(crate::check::testing::notes(&verdict).len(), 1);
            assert!(verdict.saw_everything() && verdict.observations() > 1);
        }
    }

    #[test]
    fn a_server_that_is_busy_has_let_nothing_through() {
        let evicted = |message| {
            let controls = [Write::MirrorPod, Write::EvictOwnPod];
            let verdict = mirror_pods::judge(&fact(&[], &controls, &[(Write::EvictForeignPod, 429, message)]));
            (verdict.findings(Severity::Critical).len(), verdict.gaps().len())
        };
        assert_eq!(evicted("Cannot evict pod as it would violate the pod's disruption budget."), (1, 0));
        assert_eq!(evicted("Too many requests, please try again later."), (0, 1));
    }
}
