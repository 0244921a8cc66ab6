//! What the checks of NodeRestriction share: how the answers to a kubelet's writes are judged.

use crate::check::{Finding, Subject, Verdict};
use crate::fact::Unobserved;
use crate::fact::facts::node_restriction::{Answered, NodeRestriction, Write};

/// A write that NodeRestriction refuses: the write, what it would do, and the words in which it is refused.
pub(super) struct Refused(pub(super) Write, pub(super) &'static str, pub(super) &'static str);

/// Asserts that NodeRestriction refuses these writes of a node. Refusals count only if the same node may write what
/// `control` says; without that anything may have refused it.
pub(super) fn are_refused(
    verdict: &mut Verdict,
    fact: &NodeRestriction,
    refused: &[Refused],
    control: (Write, &str),
    consequence: &str,
) {
    let subject = || Subject::node(&fact.node);
    let mut accepted = Vec::new();
    for Refused(write, what, words) in refused {
        let Some(seen) = fact.writes.get(write) else { continue };
        let Some(answer) = verdict.seen(subject, seen) else { continue };
        match answer.status {
            _ if passed(answer) => accepted.push(format!("{what} (HTTP {})", answer.status)),
            403 if answer.message.contains(words) => verdict.confirm(),
            403 => verdict.find(
                subject(),
                Finding::new(format!("refused by NodeRestriction: {what}"), format!("refused by: {}", answer.message))
                    .so("something else refuses it, after or instead of NodeRestriction")
                    .info(),
            ),
            _ => verdict.undecided(subject(), &inconclusive(what, answer)),
        }
    }
    if !accepted.is_empty() {
        let finding = Finding::new(
            format!("NodeRestriction refuses what {} must not do", fact.node),
            format!("accepted from the credential of {}: {}", fact.node, accepted.join("; ")),
        );
        verdict.find(subject(), finding.so(consequence));
    }
    let (write, what) = control;
    match fact.writes.get(&write) {
        Some(Ok(answer)) if passed(answer) => verdict.confirm(),
        Some(Ok(answer)) => {
            let what = format!("{what}, which it must be able to do or refusals prove nothing");
            verdict.undecided(subject(), &inconclusive(&what, answer));
        }
        Some(Err(why)) => verdict.undecided(subject(), why),
        None => verdict.undecided(subject(), &Unobserved::absent(format!("it was not tried: {what}"))),
    }
}

/// Whether authorization and admission let it through: done, or refused only for what the object is.
fn passed(answer: &Answered) -> bool {
    matches!(answer.status, 200..=299 | 409 | 422 | 429)
}

fn inconclusive(what: &str, answer: &Answered) -> Unobserved {
    Unobserved::invalid(format!("the dry run of {what}"), format!("HTTP {}: {}", answer.status, answer.message))
}

#[cfg(test)]
pub(super) mod testing {
    use super::{Answered, NodeRestriction, Write};

    /// Writes with their status and message.
    pub(crate) fn writes(answers: &[(Write, u16, &str)]) -> NodeRestriction {
        let answer = |(write, status, message): &(Write, u16, &str)| {
            (*write, Ok(Answered { status: *status, message: (*message).to_owned() }))
        };
        NodeRestriction { node: "n2".into(), writes: answers.iter().map(answer).collect() }
    }
}
