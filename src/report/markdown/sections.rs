//! The parts of the page, in the order in which to read them.

use std::fmt::Write;

use super::block::Block;
use super::escape::{code_block, text};
use crate::check::{Finding, Judged, Outcome};
use crate::event::RunStarted;
use crate::report::causes_first::causes_first;
use crate::report::conclusion::{Conclusion, unfinished};
use crate::report::excerpt::{about, excerpt, line};
use crate::report::{Gathered, plain, shortened};

/// How many characters of one text are shown.
const TEXT: usize = 600;
/// How many consequences of one cause are listed.
const CONSEQUENCES: usize = 10;

const FAILURES: &str = "### Failures";
const NOT_CHECKED: &str = "### Could not be checked\n\n| check | about | why |\n|---|---|---|";
const WARNINGS: &str = "### Warnings\n\n| check | severity | about | expected | seen |\n|---|---|---|---|---|";
const SKIPPED: &str = "### Skipped\n\n| checks | why |\n|---|---|";

/// The verdict and the numbers.
pub(super) fn head(run: &Gathered, started: &RunStarted) -> String {
    let Conclusion { verdict, .. } = Conclusion::of(run);
    let mut head = format!("## {}{}\n\n", verdict[..1].to_uppercase(), &verdict[1..]);
    if let Some(why) = unfinished(run) {
        _ = write!(head, "**{}**\n\n", text(&line(&why, TEXT)));
    }
    let cluster = &started.cluster;
    _ = write!(
        head,
        "Cluster {}, Kubernetes {}, profile {}, {} UTC, seaworthy {}\n\n",
        text(&line(&cluster.name, TEXT)),
        text(&line(&cluster.version, TEXT)),
        text(&line(&started.profile, TEXT)),
        started.at.strftime("%Y-%m-%d %H:%M"),
        text(&line(&started.seaworthy, TEXT)),
    );
    let counts = Outcome::ALL.map(|outcome| run.with(outcome).len());
    _ = writeln!(head, "| {} |", Outcome::ALL.map(Outcome::name).join(" | "));
    _ = writeln!(head, "|{}", "---:|".repeat(counts.len()));
    _ = writeln!(head, "| {} |", counts.map(|count| count.to_string()).join(" | "));
    head
}

/// Everything else, the most important first.
pub(super) fn body(run: &Gathered) -> Vec<Block> {
    let (mut failures, mut not_checked, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    for check in causes_first(run) {
        let own: Vec<_> =
            check.findings.iter().filter(|finding| finding.cause.is_none() && finding.waived.is_none()).collect();
        match check.outcome {
            Outcome::Fail => {
                failures.extend(own.iter().enumerate().map(|(i, finding)| failure(check, finding, i == 0)));
                failures.extend(consequences(run, check));
            }
            Outcome::Error | Outcome::Blocked | Outcome::Warn => {
                warnings.extend(own.iter().map(|finding| warning(check, finding)));
            }
            Outcome::Waived | Outcome::Skip | Outcome::Pass => {}
        }
        let unseen = check.unseen.iter().filter(|unseen| unseen.cause.is_none());
        not_checked.extend(unseen.map(|unseen| {
            let cells = [line(&check.id, TEXT), about(&unseen.subjects), line(&unseen.why, TEXT)];
            row(NOT_CHECKED, &cells)
        }));
        if check.outcome == Outcome::Error && !consequence_lines(run, check).is_empty() {
            let follows = consequence_lines(run, check).len();
            let why = format!("{follows} results of other checks follow from it");
            not_checked.push(row(NOT_CHECKED, &[line(&check.id, TEXT), String::new(), why]));
        }
    }
    [failures, not_checked, warnings, skipped(run)].into_iter().flatten().collect()
}

fn failure(check: &Judged, finding: &Finding, first: bool) -> Block {
    let mut markdown = String::new();
    if first {
        let (id, title) = (text(&line(&check.id, TEXT)), text(&line(&check.title, TEXT)));
        _ = write!(markdown, "\n#### {id}: {title}\n");
    }
    let subjects = text(&about(&finding.subjects));
    let subjects = if subjects.is_empty() { "the cluster" } else { &subjects };
    _ = write!(markdown, "\n**{subjects}** ({})\n\n", finding.severity);
    let evidence = shortened::evidence(&finding.evidence, false);
    let lines = [
        ("expected", finding.expected.as_str()),
        ("seen", finding.seen.as_str()),
        ("evidence", evidence.as_str()),
        ("impact", finding.impact.as_deref().unwrap_or_default()),
    ];
    for (label, value) in lines.into_iter().filter(|(_, value)| !value.is_empty()) {
        _ = writeln!(markdown, "- {label}: {}", text(&line(value, TEXT)));
    }
    if !finding.fix.is_empty() {
        _ = write!(markdown, "- fix:\n\n{}", code_block(&excerpt(&finding.fix, TEXT)));
    }
    Block { heading: FAILURES, markdown, results: 1 }
}

fn consequence_lines(run: &Gathered, root: &Judged) -> Vec<String> {
    let checks = run.checks();
    let lines = checks.iter().flat_map(|timed| {
        let lines = plain::consequences(&timed.check, &root.id).into_iter();
        lines.map(|what| format!("{}: {what}", timed.check.id))
    });
    lines.collect()
}

fn consequences(run: &Gathered, root: &Judged) -> Option<Block> {
    let lines = consequence_lines(run, root);
    let number = lines.len();
    let results = if number == 1 { "1 result follows".into() } else { format!("{number} results follow") };
    let mut markdown = format!("\n{results} from {}:\n\n", text(&line(&root.id, TEXT)));
    for what in lines.iter().take(CONSEQUENCES) {
        _ = writeln!(markdown, "- {}", text(&line(what, TEXT)));
    }
    if number > CONSEQUENCES {
        _ = writeln!(markdown, "- and {} more", number - CONSEQUENCES);
    }
    (number > 0).then_some(Block { heading: FAILURES, markdown, results: number })
}

fn warning(check: &Judged, finding: &Finding) -> Block {
    let (expected, seen) = (line(&finding.expected, TEXT), line(&finding.seen, TEXT));
    let cells = [line(&check.id, TEXT), finding.severity.to_string(), about(&finding.subjects), expected, seen];
    row(WARNINGS, &cells)
}

/// Why checks were skipped, each reason once.
fn skipped(run: &Gathered) -> Vec<Block> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for check in run.with(Outcome::Skip) {
        let reason = check.reason.as_deref().unwrap_or_default();
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, ids)) => ids.push(&check.id),
            None => reasons.push((reason, vec![&check.id])),
        }
    }
    let rows = reasons.into_iter().map(|(reason, ids)| {
        let cells = [line(&shortened::items(&ids, ", ", false), TEXT), line(reason, TEXT)];
        Block { results: ids.len(), ..row(SKIPPED, &cells) }
    });
    rows.collect()
}

fn row(heading: &'static str, cells: &[String]) -> Block {
    let cells: Vec<String> = cells.iter().map(|cell| text(cell)).collect();
    Block { heading, markdown: format!("| {} |\n", cells.join(" | ")), results: 1 }
}
