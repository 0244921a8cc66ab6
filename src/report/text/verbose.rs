//! What is shown only on request: passes, skips, and what the facts cost.

use super::page::{INDENT, Page};
use super::style::{self, FAINT, PLAIN, STRONG};
use crate::check::{Judged, Outcome};
use crate::report::conclusion::grouped;
use crate::report::{Gathered, plain};

/// Writes passes, skips and facts.
pub fn write(page: &mut Page, run: &Gathered) {
    for outcome in [Outcome::Pass, Outcome::Skip] {
        let checks = run.with(outcome);
        for check in &checks {
            one(page, check);
        }
        if !checks.is_empty() {
            page.blank();
        }
    }
    facts(page, run);
}

fn one(page: &mut Page, check: &Judged) {
    let about = match (check.outcome, check.observations) {
        (Outcome::Skip, _) => String::new(),
        (_, 1) => "on 1 observation".into(),
        (_, number) => format!("on {} observations", grouped(number)),
    };
    page.words(
        &[
            (style::outcome(check.outcome), &style::word(check.outcome)),
            (STRONG, &check.id),
            (PLAIN, &check.name),
            (FAINT, &about),
        ],
        INDENT,
    );
    if let Some(reason) = &check.reason {
        page.paragraph(INDENT, PLAIN, reason);
    }
    for note in &check.notes {
        page.paragraph(INDENT, FAINT, &plain::note(note, true));
    }
}

fn facts(page: &mut Page, run: &Gathered) {
    if run.facts.is_empty() {
        return;
    }
    page.paragraph(0, STRONG, &format!("{} facts", run.facts.len()));
    if let Some(cost) = run.finished.as_ref().map(|finished| &finished.cost).filter(|cost| !cost.retries.is_empty()) {
        let causes: Vec<_> = cost.retries.iter().map(|(cause, number)| format!("{cause} ({number})")).collect();
        let total: usize = cost.retries.values().sum();
        page.paragraph(0, PLAIN, &format!("{} requests were sent again: {}", grouped(total), causes.join(", ")));
    }
    let mut facts: Vec<_> = run.facts.iter().collect();
    // The slowest first: they are what a reader looks for here.
    facts.sort_by(|a, b| b.elapsed_ms.cmp(&a.elapsed_ms).then_with(|| a.fact.cmp(&b.fact)));
    let widest = facts.iter().map(|fact| fact.fact.len()).max().unwrap_or_default() + 2;
    for fact in facts {
        let mut text = format!("{:>6} ms", grouped(usize::try_from(fact.elapsed_ms).unwrap_or(usize::MAX)));
        if let Some(why) = &fact.unobserved {
            text = format!("{text}  not observed: {why}");
        }
        page.columns(INDENT, &fact.fact, widest, &text);
    }
    page.blank();
}
