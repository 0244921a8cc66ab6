//! The last lines: what was not checked, where the reports are, and the verdict.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

use super::page::{INDENT, Page};
use super::style::{self, FAINT};
use crate::check::{Outcome, Root};
use crate::event::{Cost, RunFinished};
use crate::report::Gathered;

/// Room for what ends the line about skipped checks when not all reasons fit.
const OTHERS: &str = "; others (999), see -v";

/// Writes the last lines.
pub fn write(page: &mut Page, run: &Gathered, files: &[(String, PathBuf)], verbose: bool) {
    if !verbose {
        skipped(page, run);
    }
    if !files.is_empty() {
        let files: Vec<_> = files.iter().map(|(name, path)| format!("{name}: {}", path.display())).collect();
        page.paragraph(0, FAINT, &files.join("   "));
    }
    if let Some(finished) = run.finished.as_ref().filter(|finished| finished.cost.requests > 0) {
        page.paragraph(0, FAINT, &cost(&finished.cost));
    }
    last(page, run);
}

/// One line: what the run cost the cluster.
fn cost(cost: &Cost) -> String {
    let mut parts = vec![format!("{} to the API server", counted(cost.requests, "request"))];
    if cost.kubelet_requests > 0 {
        parts.push(format!("{} to kubelets", grouped(cost.kubelet_requests)));
    }
    let retries: usize = cost.retries.values().sum();
    if retries > 0 {
        parts.push(format!("{} sent again", grouped(retries)));
    }
    parts.push(format!("{} received", size(cost.received_bytes)));
    if cost.pods > 0 {
        parts.push(format!("{} created", counted(cost.pods, "pod")));
    }
    format!("cost: {}", parts.join(", "))
}

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{} {what}s", grouped(number)) }
}

/// A number of bytes, in units of 1,000.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

/// Whether every check of a run that ended was skipped.
fn nothing_judged(run: &Gathered) -> bool {
    run.finished.as_ref().is_some_and(|finished| {
        let number = |outcome| finished.counts.get(outcome).copied().unwrap_or_default();
        Outcome::ALL.iter().all(|outcome| (*outcome == Outcome::Skip) == (number(outcome) > 0))
    })
}

/// One line: how many checks were skipped, for which reasons.
fn skipped(page: &mut Page, run: &Gathered) {
    let checks = run.with(Outcome::Skip);
    let mut reasons: Vec<(&str, usize)> = Vec::new();
    for reason in checks.iter().filter_map(|check| check.reason.as_deref()) {
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, number)) => *number += 1,
            None => reasons.push((reason, 1)),
        }
    }
    if reasons.is_empty() {
        return;
    }
    // Stable: the reasons of as many checks stay in the order of the plan.
    reasons.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    let mut line = format!("{} skipped: ", checks.len());
    let mut shown = 0;
    for (reason, number) in reasons {
        let part = format!("{}{reason} ({number})", if shown == 0 { "" } else { "; " });
        // Where nothing was judged, the reason is all that there is to show.
        if line.len() + part.len() + OTHERS.len() > page.room(0) && !(shown == 0 && nothing_judged(run)) {
            break;
        }
        line.push_str(&part);
        shown += number;
    }
    match (checks.len() - shown, shown) {
        (0, _) => {}
        (_, 0) => line.push_str("-v shows the reasons"),
        (others, _) => _ = write!(line, "; others ({others}), see -v"),
    }
    page.paragraph(0, FAINT, &line);
}

fn last(page: &mut Page, run: &Gathered) {
    let Some(finished) = &run.finished else {
        let judged = run.checks().len();
        let text = format!("{judged} of {} checks were judged", run.planned().len());
        page.lead(style::outcome(Outcome::Error), "cut off:", INDENT, &text);
        return;
    };
    let number = |outcome| finished.counts.get(&outcome).copied().unwrap_or_default();
    let (verdict, colour) = match finished {
        RunFinished { interrupted: true, .. } => ("interrupted:", Outcome::Error),
        _ if number(Outcome::Fail) > 0 => ("not seaworthy:", Outcome::Fail),
        _ if number(Outcome::Error) + number(Outcome::Blocked) > 0 => ("inconclusive:", Outcome::Error),
        _ if nothing_judged(run) => ("inconclusive:", Outcome::Error),
        _ => ("seaworthy:", Outcome::Pass),
    };
    let observations = match (number(Outcome::Pass), finished.observations) {
        (0, _) => String::new(),
        (_, 1) => " (on 1 observation)".into(),
        (_, many) => format!(" (on {} observations)", grouped(many)),
    };
    let counts = Outcome::ALL.map(|outcome| match outcome {
        Outcome::Pass => format!("{} pass{observations}", grouped(number(outcome))),
        outcome => format!("{} {outcome}", grouped(number(outcome))),
    });
    let total: usize = finished.counts.values().sum();
    let checks = if total == 1 { "1 check".into() } else { format!("{} checks", grouped(total)) };
    let nothing = if nothing_judged(run) { "nothing was judged; " } else { "" };
    let text = format!("{nothing}{}{checks} in {}: {}", causes(run), elapsed(finished.elapsed_ms), counts.join(", "));
    page.lead(style::outcome(colour), verdict, INDENT, &text);
}

/// How many root causes are behind what follows from something; nothing where nothing does.
fn causes(run: &Gathered) -> String {
    let explained: usize = run.roots.iter().map(|root| root.explains).sum();
    if explained == 0 {
        return String::new();
    }
    let own = run.roots.iter().filter_map(|root| run.check(&root.check));
    let own: usize = own.map(|check| check.findings.len() + check.unseen.len() - check.causes().count()).sum();
    let causes = if run.roots.len() == 1 { "1 cause".into() } else { format!("{} causes", run.roots.len()) };
    format!("{causes}{} behind {} results; ", place(&run.roots), grouped(own + explained))
}

/// Where several root causes are, if all are in one place.
fn place(roots: &[Root]) -> String {
    let places: BTreeSet<_> = roots.iter().map(|root| root.place.as_ref()).collect();
    match places.first() {
        Some(Some(place)) if roots.len() > 1 && places.len() == 1 => format!(", all on {place},"),
        _ => String::new(),
    }
}

/// A duration in words.
pub fn elapsed(ms: u64) -> String {
    match ms {
        0..=99 => format!("{ms} ms"),
        100..=59_999 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
    }
}

/// A number in groups of three digits.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Severity, Subject};

    #[test]
    fn several_causes_in_one_place_say_so() {
        let root = |place| Root { check: "KL-01".into(), severity: Severity::Major, explains: 1, place };
        let (n1, n2) = (|| Some(Subject::node("n1")), || Some(Subject::node("n2")));
        assert_eq!(place(&[root(n2()), root(n2())]), ", all on Node n2,");
        assert_eq!(place(&[root(n1()), root(n2())]), "");
        assert_eq!(place(&[root(n1()), root(None)]), "");
        assert_eq!(place(&[root(n1())]), "", "its finding names the node");
    }

    #[test]
    fn a_cost_lists_what_there_is() {
        let least = Cost { requests: 1, received_bytes: 999, ..Cost::default() };
        assert_eq!(cost(&least), "cost: 1 request to the API server, 999 bytes received");
        let retries = [("HTTP 503".to_owned(), 2)].into();
        let all = Cost { requests: 1042, retries, kubelet_requests: 96, received_bytes: 4_193_280, pods: 15 };
        assert_eq!(
            cost(&all),
            "cost: 1,042 requests to the API server, 96 to kubelets, 2 sent again, 4.1 MB received, 15 pods created"
        );
    }

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!([0, 999, 1000, 2913, 1_234_567].map(grouped), ["0", "999", "1,000", "2,913", "1,234,567"]);
        assert_eq!([0, 12_345, 4_193_280].map(size), ["0 bytes", "12 kB", "4.1 MB"]);
        assert_eq!([7, 3449, 61_000].map(elapsed), ["7 ms", "3.4 s", "1 min 1 s"]);
    }
}
