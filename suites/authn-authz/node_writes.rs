//! What the checks of NodeRestriction share: how the answers to a kubelet's writes are judged.

use std::collections::BTreeMap;

use crate::check::{Finding, Severity, Subject, Verdict};
use crate::fact::answered::Answered;
use crate::seen::{Seen, Unobserved};

/// A request that NodeRestriction refuses: the request, what it would do, and the words in which it is refused.
pub(super) struct Refused<W>(pub(super) W, pub(super) &'static str, pub(super) &'static str);

/// What came of a node's requests.
#[derive(Clone, Copy)]
pub(super) struct Tried<'a, W> {
    /// The node.
    pub(super) node: &'a str,
    /// The answers.
    pub(super) answers: &'a BTreeMap<W, Seen<Answered>>,
}

/// Asserts that NodeRestriction refuses these requests of a node, and what follows where it does not. Refusals count only
/// together with a control of the same node.
pub(super) fn are_refused<W: Ord>(
    verdict: &mut Verdict,
    tried: Tried<'_, W>,
    refused: &[Refused<W>],
    consequence: &str,
    severity: Severity,
) {
    let subject = || Subject::node(tried.node);
    let mut let_through = Vec::new();
    for Refused(write, what, words) in refused {
        let Some(seen) = tried.answers.get(write) else { continue };
        let Some(answer) = verdict.seen(subject, seen) else { continue };
        match answer.status {
            409 => let_through.push(format!("{what} (HTTP 409, which comes after admission)")),
            _ if passed(answer) => let_through.push(format!("{what} (HTTP {})", answer.status)),
            403 if answer.message.contains(words) => verdict.confirm(),
            403 => verdict.find(
                subject(),
                Finding::new(format!("refused by NodeRestriction: {what}"), format!("refused by: {}", answer.message))
                    .so("something else refuses it, after or instead of NodeRestriction")
                    .info(),
            ),
            _ => verdict.unseen(subject(), &inconclusive(what, answer)),
        }
    }
    if !let_through.is_empty() {
        let finding = Finding::new(
            format!("NodeRestriction refuses what {} must not do", tried.node),
            format!("let through from the credential of {}: {}", tried.node, let_through.join("; ")),
        );
        verdict.find(subject(), finding.so(consequence).severity(severity));
    }
}

/// Asserts that the same node may do what it must be able to; without that anything may have refused the rest.
pub(super) fn control<W: Ord>(verdict: &mut Verdict, tried: Tried<'_, W>, (write, what): (W, &str)) {
    let subject = || Subject::node(tried.node);
    match tried.answers.get(&write) {
        Some(Ok(answer)) if passed(answer) => verdict.confirm(),
        Some(Ok(answer)) => {
            let cause = format!("HTTP {}: {}; without it refusals prove nothing", answer.status, answer.message);
            verdict.unseen(subject(), &Unobserved::invalid(format!("the attempt to {what}"), cause));
        }
        Some(Err(why)) => verdict.unseen(subject(), why),
        None => verdict.unseen(subject(), &Unobserved::absent(format!("it was not tried: {what}"))),
    }
}

/// Whether authorization and admission let it through: done, or refused only for what the object is. An eviction that a
/// disruption budget holds up is; a server with too many requests has not even looked.
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
    use super::*;

    #[test]
    fn a_server_that_is_busy_has_let_nothing_through() {
        let judged = |message: &str| {
            let answers = [(1, Ok(Answered { status: 429, message: message.into() }))].into();
            let mut verdict = Verdict::new();
            let tried = Tried { node: "n2", answers: &answers };
            are_refused(&mut verdict, tried, &[Refused(1, "evict", "only")], "so", Severity::Critical);
            (verdict.findings(Severity::Critical).len(), verdict.gaps().len())
        };
        assert_eq!(judged("Cannot evict pod as it would violate the pod's disruption budget."), (1, 0));
        assert_eq!(judged("Too many requests, please try again later."), (0, 1));
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::Answered;
    use crate::fact::facts::node_restriction::{NodeRestriction, Write};

    /// Writes with their status and message.
    pub(crate) fn writes(answers: &[(Write, u16, &str)]) -> NodeRestriction {
        let answer = |(write, status, message): &(Write, u16, &str)| {
            (*write, Ok(Answered { status: *status, message: (*message).to_owned() }))
        };
        NodeRestriction { node: "n2".into(), writes: answers.iter().map(answer).collect() }
    }
}
