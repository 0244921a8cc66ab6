//! The last lines: what was not checked, where the reports are, and the verdict.

use std::fmt::Write;
use std::path::PathBuf;

use super::page::{INDENT, Page};
use super::style::{self, FAINT};
use crate::check::Outcome;
use crate::event::Cost;
use crate::report::Gathered;
use crate::report::conclusion::{self, Conclusion, grouped};
use crate::report::shortened;

/// Room for what ends the line about skipped checks when not all reasons fit.
const OTHERS: &str = "; others (999), see -v";

/// Writes the last lines.
pub fn write(page: &mut Page, run: &Gathered, files: &[(String, PathBuf)], verbose: bool) {
    waived(page, run, verbose);
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

/// How many findings do not count, of which checks; with -v, each with the reason.
fn waived(page: &mut Page, run: &Gathered, verbose: bool) {
    let checks = run.checks().into_iter().map(|timed| &timed.check);
    let waived: Vec<_> = checks
        .flat_map(|check| {
            check.findings.iter().filter_map(move |finding| Some((check, finding, finding.waived.as_ref()?)))
        })
        .collect();
    let mut ids: Vec<&str> = waived.iter().map(|(check, ..)| check.id.as_str()).collect();
    ids.dedup();
    if verbose {
        for (check, finding, why) in waived {
            let subjects = shortened::subjects(&finding.subjects, true);
            page.paragraph(0, FAINT, &format!("{} {why}: {subjects}: {}", check.id, finding.seen));
        }
    } else if !waived.is_empty() {
        let findings = counted(waived.len(), "accepted or known finding");
        page.paragraph(0, FAINT, &format!("{findings} of {}: -v lists them", shortened::items(&ids, " ", false)));
    }
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
        if line.len() + part.len() + OTHERS.len() > page.room(0) && !(shown == 0 && conclusion::nothing_judged(run)) {
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
    let Conclusion { verdict, outcome, details } = Conclusion::of(run);
    page.lead(style::outcome(outcome), &format!("{verdict}:"), INDENT, &details);
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn sizes_read_well() {
        assert_eq!([0, 12_345, 4_193_280].map(size), ["0 bytes", "12 kB", "4.1 MB"]);
    }
}
