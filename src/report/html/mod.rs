//! One HTML file for people, which needs nothing else: the root causes first, with all checks below.
//!
//! A Content-Security-Policy with the digests of its script and its style keeps the browser from running or loading anything
//! else. All of it can also be read without the script.

mod check;
mod drawn;

use std::io::{self, Write};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::conclusion::Conclusion;
use super::excerpt::line;
use super::{Gathered, shortened};
use crate::check::{Judged, Outcome, Severity};

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");
/// How many characters of a name are shown.
const TEXT: usize = 1000;
/// From this size on, checks are one line each: 5 MB open within a second.
const LIMIT: usize = 4_500_000;

/// Writes the page.
pub(super) fn write(run: &Gathered, to: &mut dyn Write) -> io::Result<()> {
    to.write_all(page(run).into_string().as_bytes())?;
    to.write_all(b"\n")
}

fn page(run: &Gathered) -> Markup {
    let name = run.started.as_ref().map_or("", |started| started.cluster.name.as_str());
    let Conclusion { verdict, .. } = Conclusion::of(run);
    let policy = format!(
        "default-src 'none'; base-uri 'none'; form-action 'none'; style-src {}; script-src {}",
        source(STYLE),
        source(SCRIPT)
    );
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content="seaworthy";
                title { (line(name, TEXT)) ": " (verdict) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip-link href="#causes" { "Skip to the results" }
                (head(run))
                main {
                    (filter(run))
                    (results(run))
                    (drawn::paths(&run.survey))
                    (drawn::certificates(run))
                }
                (foot(run))
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

/// The digest of an inline script or style, as the policy states it.
fn source(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, text.as_bytes())))
}

fn head(run: &Gathered) -> Markup {
    let Conclusion { verdict, outcome, details } = Conclusion::of(run);
    html! {
        header {
            h1 class=(outcome) { (verdict) }
            p { (details) }
            @if let Some(started) = &run.started {
                p.faint {
                    strong { (line(&started.cluster.name, TEXT)) } " " (line(&started.cluster.version, TEXT)) " · "
                    (line(&started.cluster.server, TEXT)) " · profile " (line(&started.profile, TEXT)) " · " (started.at.strftime("%Y-%m-%d %H:%M UTC"))
                }
                @if let Some(failed) = &started.failed {
                    p { strong { "The run could not begin: " } (line(failed, TEXT)) }
                }
            }
        }
    }
}

fn filter(run: &Gathered) -> Markup {
    let mut suites: Vec<&str> = run.planned().iter().map(|check| check.suite.as_str()).collect();
    suites.dedup();
    html! {
        div.filter role="search" hidden {
            input type="search" aria-label="Search" placeholder="Search: node, check, word ( / )";
            select name="suite" aria-label="Suite" {
                option value="" { "every suite" }
                @for suite in suites { option value=(suite) { (suite) } }
            }
            select name="severity" aria-label="Severity" {
                option value="" { "every severity" }
                @for severity in Severity::ALL.into_iter().rev() { option value=(severity) { (severity) } }
            }
            @for outcome in Outcome::ALL {
                @let number = run.with(outcome).len();
                @if number > 0 {
                    button type="button" class=(outcome) data-outcome=(outcome) aria-pressed="false" { (number) " " (outcome) }
                }
            }
            span.faint #shown role="status" {}
        }
    }
}

/// The checks by what is to be done about them.
fn results(run: &Gathered) -> Markup {
    let mut size = 0;
    let mut fits = |markup: Markup, short: &dyn Fn() -> Markup| {
        size += markup.0.len();
        if size > LIMIT { short() } else { markup }
    };
    let roots: Vec<&Judged> = run.failing().into_iter().filter(|check| has_own(check)).collect();
    let is_root = |check: &Judged| roots.iter().any(|root| root.id == check.id);
    let rest: Vec<&Judged> =
        run.checks().into_iter().map(|timed| &timed.check).filter(|check| !is_root(check)).collect();
    html! {
        section #causes data-section {
            h2 { @if roots.is_empty() { "No cause of failure" } @else { "What is wrong" } }
            @if roots.is_empty() && run.finished.is_some() {
                p.faint { "No finding fails this run." }
            }
            @for root in &roots {
                (fits(check::cause(run, root), &|| check::row(run, root, true)))
            }
        }
        @for (outcome, title) in [
            (Outcome::Error, "What could not be checked"),
            (Outcome::Warn, "What is worth knowing"),
            (Outcome::Fail, "What also fails, for one of these causes"),
            (Outcome::Blocked, "What is blocked by a cause"),
            (Outcome::Waived, "What is accepted or known"),
            (Outcome::Skip, "What was skipped"),
            (Outcome::Pass, "What is as expected"),
        ] {
            @let checks: Vec<&&Judged> = rest.iter().filter(|check| check.outcome == outcome).collect();
            @if !checks.is_empty() {
                section data-section {
                    h2 { (title) " (" (checks.len()) ")" }
                    @for check in checks {
                        (fits(check::row(run, check, false), &|| check::row(run, check, true)))
                    }
                }
            }
        }
        @let unjudged = run.unjudged();
        @if !unjudged.is_empty() {
            section {
                h2 { "What the run did not come to (" (unjudged.len()) ")" }
                p { (shortened::items(&unjudged.iter().map(|planned| planned.id.as_str()).collect::<Vec<_>>(), " ", true)) }
            }
        }
    }
}

/// Whether a check has a finding that counts, and follows from nothing.
fn has_own(check: &Judged) -> bool {
    check.findings.iter().any(|finding| finding.cause.is_none() && finding.waived.is_none())
}

fn foot(run: &Gathered) -> Markup {
    html! {
        footer {
            @if let Some(started) = &run.started {
                p { "seaworthy " (started.seaworthy) ". Findings of severity " (started.gate) " and above fail the run." }
            }
            @if let Some(finished) = &run.finished {
                p {
                    "Exit code " (finished.exit_code) "; " (finished.cost.requests) " requests to the API server, "
                    (finished.cost.kubelet_requests) " to kubelets, " (finished.cost.pods) " pods created."
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Subject;
    use crate::report::testing;

    #[test]
    fn no_text_of_a_cluster_is_markup() {
        let mut run = testing::gathered(&testing::events());
        let hostile = "</style></script><img src=x onerror=alert(1)>\"'&";
        let finding = testing::finding(Subject::object("Pod", hostile, hostile), hostile);
        let check = run.failing()[0].clone();
        testing::add(&mut run, Judged { id: "ZZ-01".into(), title: hostile.into(), findings: vec![finding], ..check });
        let text = page(&run).into_string();
        assert!(!text.contains("<img") && text.contains("&lt;img src=x"), "{text}");
        assert_eq!((text.matches("</script>").count(), text.matches("</style>").count()), (1, 1));
    }

    #[test]
    fn the_policy_allows_what_the_page_holds_and_nothing_else() {
        let text = page(&testing::gathered(&testing::events())).into_string();
        assert!(text.contains("content=\"default-src 'none'; base-uri 'none';"));
        assert!(!text.contains(" style=\"") && !text.contains(" onclick=") && !text.contains("http://"));
        assert_eq!(source(""), "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='");
    }

    #[test]
    fn the_largest_run_opens_within_a_second() {
        let mut run = testing::gathered(&testing::events());
        let check = run.failing()[0].clone();
        let finding = testing::finding(Subject::node("n1"), &"x".repeat(2000));
        for i in 0..120 {
            testing::add(
                &mut run,
                Judged { id: format!("ZZ-{i:03}"), findings: vec![finding.clone(); 200], ..check.clone() },
            );
        }
        let text = page(&run).into_string();
        assert!(text.len() < 5_000_000, "{}", text.len());
        assert!(text.contains("ZZ-119"));
    }
}
