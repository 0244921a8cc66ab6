//! A check.

use maud::{Markup, html};

use crate::check::{Finding, Judged, Outcome};
use crate::report::excerpt::{about, excerpt, line};
use crate::report::{Gathered, documentation, plain, shortened};

/// How many characters of a text are shown. No run has longer ones, but a stream of events may be anything.
const TEXT: usize = 2000;
/// How many findings of a check, and consequences of a cause, are written out.
const SHOWN: usize = 20;

/// A root cause, with what follows from it.
pub(super) fn cause(run: &Gathered, check: &Judged) -> Markup {
    html! {
        article class=(check.outcome) #(line(&check.id, TEXT)) data-check data-outcome=(check.outcome) data-suite=(line(&check.suite, TEXT))
            data-severity=(severity(check)) {
            header {
                span.badge { (severity(check)) }
                h3 { span.id { (line(&check.id, TEXT)) } " " (line(&check.title, TEXT)) }
            }
            (findings(check, true))
            (unseen(check))
            (consequences(run, check))
            (documented(check))
        }
    }
}

/// A check in one line that opens, or in one that does not.
pub(super) fn row(run: &Gathered, check: &Judged, short: bool) -> Markup {
    html! {
        details.row class=(check.outcome) #(line(&check.id, TEXT)) data-check data-outcome=(check.outcome) data-suite=(line(&check.suite, TEXT))
            data-severity=(severity(check)) {
            summary {
                span.badge { (check.outcome) }
                span.id { (line(&check.id, TEXT)) }
                span.title {
                    (line(&check.title, TEXT))
                    @if check.outcome != Outcome::Pass { br; span.faint { (line(&plain::line(check), TEXT)) } }
                }
            }
            div.inside {
                @if short {
                    p { "The findings are not listed here, because there are too many: the other reports have all." }
                } @else {
                    (findings(check, false))
                    (unseen(check))
                    (consequences(run, check))
                    @for note in check.notes.iter().take(SHOWN) { p.faint { (line(&plain::note(note, false), TEXT)) } }
                    @if check.outcome == Outcome::Pass { p.faint { "Seen to be so " (check.observations) " times." } }
                }
                (documented(check))
            }
        }
    }
}

fn severity(check: &Judged) -> String {
    check.findings.first().map_or(check.severity, |worst| worst.severity).to_string()
}

/// The findings; of a root cause only its own.
fn findings(check: &Judged, own: bool) -> Markup {
    let is_shown = |finding: &&Finding| !own || (finding.cause.is_none() && finding.waived.is_none());
    let all: Vec<&Finding> = check.findings.iter().filter(is_shown).collect();
    html! {
        @for finding in all.iter().take(SHOWN) { (described(finding)) }
        @if all.len() > SHOWN { p { "And " (all.len() - SHOWN) " more findings: the other reports have them." } }
    }
}

fn described(finding: &Finding) -> Markup {
    let Finding { subjects, expected, seen, evidence, impact, fix, severity, cause, waived, .. } = finding;
    html! {
        p.about { (about(subjects)) " " span.faint { "(" (severity) ")" } }
        dl {
            dt { "expected" } dd { (excerpt(expected, TEXT)) }
            dt { "seen" } dd { (excerpt(seen, TEXT)) }
            @if let Some(impact) = impact { dt { "impact" } dd { (excerpt(impact, TEXT)) } }
            dt { "fix" }
            dd.fix { pre { (excerpt(fix, TEXT)) } button.copy type="button" hidden { "Copy" } }
            @if !evidence.is_empty() { dt { "evidence" } dd { (shortened::evidence(evidence, false)) } }
            @if let Some(cause) = cause { dt { "cause" } dd { a href={ "#" (cause.check) } { (cause.check) } } }
            @if let Some(waived) = waived { dt { "accepted" } dd { (line(&waived.to_string(), TEXT)) } }
        }
    }
}

fn unseen(check: &Judged) -> Markup {
    html! {
        @for unseen in check.unseen.iter().take(SHOWN) {
            p {
                "Could not be checked: "
                @if !unseen.subjects.is_empty() { (about(&unseen.subjects)) ": " }
                (excerpt(&unseen.why, TEXT))
                @if let Some(cause) = &unseen.cause { " (" a href={ "#" (cause.check) } { (cause.check) } ")" }
            }
        }
        @if check.unseen.len() > SHOWN { p { "And " (check.unseen.len() - SHOWN) " more." } }
    }
}

/// What follows from a check.
fn consequences(run: &Gathered, root: &Judged) -> Markup {
    let follows = |check: &&Judged| check.causes().any(|cause| cause.check == root.id);
    let checks: Vec<&Judged> = run.checks().into_iter().map(|timed| &timed.check).filter(follows).collect();
    let lines: Vec<(&str, String)> = checks
        .iter()
        .flat_map(|check| plain::consequences(check, &root.id).into_iter().map(|line| (check.id.as_str(), line)))
        .collect();
    html! {
        @if !lines.is_empty() {
            details {
                summary { "explains " (lines.len()) @if lines.len() == 1 { " result" } @else { " results" } }
                ul {
                    @for (id, what) in lines.iter().take(SHOWN) { li { a href={ "#" (id) } { (id) } ": " (excerpt(what, TEXT)) } }
                    @if lines.len() > SHOWN { li { "and " (lines.len() - SHOWN) " more" } }
                }
            }
        }
    }
}

fn documented(check: &Judged) -> Markup {
    let link = documentation::link(check);
    html! {
        p.faint {
            code { "seaworthy explain " (line(&check.id, TEXT)) }
            @if link.starts_with("https://") { " · " a href=(link) rel="noreferrer" { "documentation" } }
        }
    }
}
